import { spawn } from 'node:child_process';
import { upTo } from '../../src/coverage.ts';
import { ConnectAttempts } from '../../src/mirror/connect-attempts.ts';
import { createKafkaUpstream } from '../../src/mirror/kafka/kafka-upstream.ts';
import type { Upstream, UpstreamSession } from '../../src/mirror/upstream.ts';
import { seededRandom } from '../../src/random.ts';
import { streamId } from '../../src/record.ts';
import type { KeyValue } from '../../src/store/log.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { startKafkaCluster } from '../support/kafka/cluster.ts';
import { type KafkaLink, openKafkaLink } from '../support/kafka/link.ts';

/**
 * npm run bench:fleet-kafka [SECONDS [CUT_EVERY_S]]: the model of bench:fleet held against real brokers. 200
 * gateways write one record each every 10 s to one partition, over links of 200 ms, so a transaction is open
 * for some 0.6 s; every CUT_EVERY_S a link goes silent inside one, and its gateway is back after a minute on
 * average. How long after it was sent does a read_committed reader have a record?
 */
const GATEWAYS = 200;
const EVERY_MS = 10_000;
const BACK_AFTER_MS = 60_000;
const [seconds = '100', cutEvery = '6'] = process.argv.slice(2);
const FOR_MS = Number(seconds) * 1000;
const CUT_EVERY_MS = Number(cutEvery) * 1000;
const CONNECTS_AT_ONCE = 16;
const SWEEP = { 'transaction.abort.timed.out.transaction.cleanup.interval.ms': '10000' };
const random = seededRandom(1);
const exponential = (meanMs: number): number => -Math.log(1 - random.next()) * meanMs;

function memory(): KeyValue {
  const values = new Map<string, Uint8Array>();
  return {
    get: (key) => Promise.resolve(values.get(key)),
    put: (key, value) => Promise.resolve(void values.set(key, value)),
    delete: (key) => Promise.resolve(void values.delete(key)),
  };
}

const topic = `fleet-${process.pid}`;
const cluster = await startKafkaCluster({ properties: SWEEP });
const link = await openKafkaLink(cluster);
const over = new AbortController();
let broken = 0;

class Gateway {
  readonly #upstream: Upstream;
  #session: UpstreamSession | undefined;
  #next = 0;

  constructor(index: number) {
    const { gw } = cluster.state.users;
    this.#upstream = createKafkaUpstream({
      brokers: cluster.bootstrap('proxied'),
      sasl: { mechanism: 'PLAIN', username: gw.name, password: gw.password },
      gateway: `fleet-${process.pid}-${index}`,
      incarnation: '00112233445566aa',
      topicTemplate: topic,
      journal: memory(),
      clock: systemClock,
      logger: silentLogger,
      attempts: new ConnectAttempts(systemClock, 10_000),
    });
  }

  async connect(): Promise<void> {
    const had = upTo(this.#next);
    const at = { stream: streamId(0), topic: 'telemetry', partition: 0, had };
    const more = { seek: new Map(), quarantine: () => Promise.resolve() };
    for (;;) {
      try {
        this.#session = await this.#upstream.connect([at], AbortSignal.timeout(60_000), more);
        this.#session.broken.catch(() => {});
        this.#next = this.#session.positions.get(streamId(0))?.next ?? this.#next;
        return;
      } catch (error) {
        if (over.signal.aborted) throw error;
        await systemClock.sleep(500, over.signal); // Rights arrive one by one, too.
      }
    }
  }

  /** A record every ten seconds; back after a while when its link broke. */
  async run(): Promise<void> {
    await systemClock.sleep(random.next() * EVERY_MS, over.signal);
    while (!over.signal.aborted) {
      const begun = systemClock.monotonicMs();
      try {
        await this.#send();
      } catch {
        broken++;
        const away = exponential(BACK_AFTER_MS) - (systemClock.monotonicMs() - begun);
        await this.#session?.close();
        await systemClock.sleep(Math.max(0, away), over.signal);
        if (over.signal.aborted) return;
        await this.connect();
      }
      const restMs = begun + EVERY_MS - systemClock.monotonicMs();
      await systemClock.sleep(Math.max(0, restMs), over.signal);
    }
  }

  async #send(): Promise<void> {
    const nowMs = systemClock.nowMs();
    const value = Buffer.from(`sent ${nowMs}`);
    const record = { offset: this.#next, timestampMs: nowMs, key: null, value, headers: NONE };
    const after = new Map([[streamId(0), upTo(this.#next + 1)]]);
    await this.#session?.send([{ stream: streamId(0), records: [record] }], after);
    this.#next++;
  }

  async end(): Promise<void> {
    await this.#session?.close();
  }
}

const NONE = new Uint8Array(0);

/** Seconds, of every record that a reader saw. */
function reader(): { readonly delays: number[]; stop(): void } {
  const plain = cluster.bootstrap('plaintext').join(',');
  const flags = ['-C', '-b', plain, '-t', topic, '-p', '0', '-u', '-q', '-f', '%s\\n'];
  const command = 'kcat'; // Installed by test/setup.
  const kcat = spawn(command, [...flags, '-X', 'isolation.level=read_committed']);
  const delays: number[] = [];
  kcat.stdout.on('data', (chunk: Buffer) => {
    for (const line of chunk.toString('utf8').split('\n')) {
      const sentMs = /^sent (\d+)$/u.exec(line)?.[1];
      if (sentMs !== undefined) delays.push((systemClock.nowMs() - Number(sentMs)) / 1000);
    }
  });
  return { delays, stop: () => void kcat.kill() };
}

async function breakLinks(way: KafkaLink): Promise<number> {
  for (let cuts = 0; ; cuts++) {
    await systemClock.sleep(exponential(CUT_EVERY_MS), over.signal);
    if (over.signal.aborted) return cuts;
    await way.cut('EndTxn', { where: 'request', how: 'silent' }).done;
  }
}

try {
  await cluster.createTopic(topic, { partitions: 1 });
  await cluster.createTopic('gatelog.positions', { partitions: 64 }).catch(() => {}); // There already.
  const everything = (['topic', 'group', 'transactionalId'] as const).map((resource) => ({
    resource,
    name: '*',
    operations: ['ALL' as const],
  }));
  await cluster.grant(cluster.state.users.gw.name, everything);
  const fleet = Array.from({ length: GATEWAYS }, (_, index) => new Gateway(index));
  for (let at = 0; at < GATEWAYS; at += CONNECTS_AT_ONCE) {
    await Promise.all(fleet.slice(at, at + CONNECTS_AT_ONCE).map((one) => one.connect()));
  }
  console.log(`${GATEWAYS} gateways are connected`);
  link.setShape({ latencyMs: 100 });
  const watching = reader();
  const running = fleet.map((one) => one.run());
  await systemClock.sleep(EVERY_MS);
  watching.delays.splice(0); // As it settles.
  const cutting = breakLinks(link);
  await systemClock.sleep(FOR_MS);
  const delays = watching.delays.toSorted((one, other) => one - other);
  over.abort();
  watching.stop();
  const at = (share: number): string => (delays[Math.floor(delays.length * share)] ?? 0).toFixed(1);
  console.log(
    `${delays.length} records, ${broken} links found broken: readers had them after ` +
      `${at(0.5)} s in the median, 90 % ${at(0.9)}, 99 % ${at(0.99)}, most ${at(0.9999)}`,
  );
  void cutting;
  void running;
  await Promise.race([Promise.all(fleet.map((one) => one.end())), systemClock.sleep(5000)]);
} finally {
  await link.close();
  await cluster.close();
}
process.exit(0);
