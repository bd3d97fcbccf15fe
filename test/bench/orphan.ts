import { spawn } from 'node:child_process';
import { createKafkaUpstream } from '../../src/mirror/kafka/kafka-upstream.ts';
import { upTo } from '../../src/coverage.ts';
import { GatelogError } from '../../src/errors.ts';
import type { UpstreamSession } from '../../src/mirror/upstream.ts';
import { streamId } from '../../src/record.ts';
import type { KeyValue } from '../../src/store/log.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { startKafkaCluster } from '../support/kafka/cluster.ts';
import { openKafkaLink } from '../support/kafka/link.ts';
import { runChecked } from '../support/process.ts';

/**
 * npm run bench:orphan: gateways whose link goes silent (no FIN, no RST) between Produce and EndTxn,
 * each on a partition of its own, at different moments of the coordinator's sweep (every 10 s, as Kafka
 * has it; the cluster of the tests sweeps every second, so this one is its own). A record that another producer then
 * writes to the partition: after how long does a read_committed reader have it? Goal: at most 15 s.
 */
const GATEWAYS = 12;
const SPREAD_MS = 12_000;

function memory(): KeyValue {
  const values = new Map<string, Uint8Array>();
  return {
    get: (key) => Promise.resolve(values.get(key)),
    put: (key, value) => Promise.resolve(void values.set(key, value)),
    delete: (key) => Promise.resolve(void values.delete(key)),
  };
}

const SWEEP = { 'transaction.abort.timed.out.transaction.cleanup.interval.ms': '10000' };
const cluster = await startKafkaCluster({ properties: SWEEP });
const link = await openKafkaLink(cluster);
const topic = `orphans-${process.pid}`;
const plain = cluster.bootstrap('plaintext').join(',');
try {
  await cluster.createTopic(topic, { partitions: GATEWAYS });
  await cluster.createTopic('gatelog.positions', { partitions: 64 }).catch(() => {}); // There already.
  const everything = (['topic', 'group', 'transactionalId'] as const).map((resource) => ({
    resource,
    name: '*',
    operations: ['ALL' as const],
  }));
  await cluster.grant(cluster.state.users.gw.name, everything);
  const arrived = reader();
  const waits: number[] = [];
  for (let index = 0; index < GATEWAYS; index++) {
    await orphan(index);
    const sentMs = performance.now();
    const produce = ['-P', '-b', plain, '-t', topic, '-p', String(index)];
    await runChecked({ command: 'sh', args: ['-c', `echo later | kcat ${produce.join(' ')}`] });
    void arrived.of(index).then((atMs) => waits.push(atMs - sentMs));
    await systemClock.sleep(SPREAD_MS / GATEWAYS);
  }
  while (waits.length < GATEWAYS) await systemClock.sleep(100);
  arrived.stop();
  const [least = 0, median = 0, most = 0] = [0, 0.5, 0.999].map(
    (share) => waits.toSorted((a, b) => a - b)[Math.floor(share * GATEWAYS)] ?? 0,
  );
  const [a, b, c] = [least, median, most].map((ms) => (ms / 1000).toFixed(1));
  console.log(
    `readers behind an orphaned transaction wait ${a} to ${c} s, median ${b} (goal <= 15)`,
  );
} finally {
  await link.close();
  await cluster.close();
}

/** Leaves a transaction with data open behind a silent link. */
async function orphan(index: number): Promise<void> {
  const { gw } = cluster.state.users;
  const upstream = createKafkaUpstream({
    brokers: cluster.bootstrap('proxied'),
    sasl: { mechanism: 'PLAIN', username: gw.name, password: gw.password },
    gateway: `orphan-${process.pid}-${index}`,
    incarnation: '00112233445566aa',
    topicTemplate: topic,
    journal: memory(),
    clock: systemClock,
    logger: silentLogger,
  });
  const stream = streamId(index);
  const connect = (): Promise<UpstreamSession> =>
    upstream.connect(
      [{ stream, topic: 'telemetry', partition: index, had: upTo(0) }],
      AbortSignal.timeout(30_000),
      { seek: new Map(), quarantine: () => Promise.resolve() },
    );
  const session = await whenGranted(connect);
  const record = {
    offset: 0,
    timestampMs: systemClock.nowMs(),
    key: null,
    value: Buffer.from('x'),
    headers: new Uint8Array(0),
  };
  const cut = link.cut('EndTxn', { where: 'request', how: 'silent' });
  const after = new Map([[stream, upTo(1)]]);
  session.send([{ stream, records: [record] }], after).catch(() => {}); // Its link is gone.
  session.broken.catch(() => {});
  await cut.done;
}

/** Rights that were just granted reach the brokers one by one. */
async function whenGranted<T>(connect: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await connect();
    } catch (error) {
      const isEarly = error instanceof GatelogError && error.code === 'UPSTREAM_UNAUTHORIZED';
      if (!isEarly || attempt === 100) throw error;
      await systemClock.sleep(100);
    }
  }
}

function reader(): { of: (partition: number) => Promise<number>; stop: () => void } {
  const args = ['-C', '-b', plain, '-t', topic, '-u', '-q', '-f', '%p %s\\n'];
  const command = 'kcat'; // Installed by test/setup.
  const kcat = spawn(command, [...args, '-X', 'isolation.level=read_committed']);
  const seen = new Map<number, PromiseWithResolvers<number>>();
  const entry = (partition: number): PromiseWithResolvers<number> => {
    const known = seen.get(partition) ?? Promise.withResolvers<number>();
    seen.set(partition, known);
    return known;
  };
  kcat.stdout.on('data', (chunk: Buffer) => {
    for (const line of chunk.toString('utf8').split('\n')) {
      const [partition, value] = line.split(' ');
      if (value === 'later') entry(Number(partition)).resolve(performance.now());
    }
  });
  return { of: (partition) => entry(partition).promise, stop: () => void kcat.kill() };
}
