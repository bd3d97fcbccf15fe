import { readFileSync } from 'node:fs';
import { createKafkaUpstream } from '../../src/mirror/kafka/kafka-upstream.ts';
import { COMPRESSIONS } from '../../src/mirror/kafka/options.ts';
import { Mirror } from '../../src/mirror/mirror.ts';
import { systemRandom } from '../../src/random.ts';
import { openStore } from '../../src/store/open.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';

/**
 * node drain-agent.ts FOLDER BROKERS GATEWAY TOPIC COMPRESSION [USER PASSWORD SECONDS]: drains the
 * folder's `telemetry` through the product's own mirror, for so long at most, and prints what it took
 * as JSON, and every second where it stands.
 */
const [, , folder = '', brokers = '', gateway = '', central = '', codec = 'zstd'] = process.argv;
const [username, password, seconds] = process.argv.slice(7);
const compression = COMPRESSIONS.find((known) => known === codec) ?? 'zstd';

function anonymousKiB(): number {
  const status = readFileSync('/proc/self/status', 'utf8');
  return Number(/RssAnon:\s+(\d+)/u.exec(status)?.[1] ?? 0);
}

const clock = systemClock;
const logger = silentLogger;
const store = await openStore({ folder, clock, random: systemRandom, logger });
const quarantineTopic = store.writer.defineTopic('_quarantine', {
  partitions: 1,
  durability: 'fsync',
  retentionMs: undefined,
  retentionBytes: undefined,
});
const upstream = createKafkaUpstream({
  brokers: brokers.split(','),
  ...(username !== undefined &&
    password !== undefined && { sasl: { mechanism: 'PLAIN', username, password } as const }),
  gateway,
  incarnation: store.identity.incarnation,
  topicTemplate: central,
  compression,
  create: { partitions: 8, replicationFactor: 3 },
  journal: store.keyValue(`kafka.${gateway}`),
  clock,
  logger,
});
const positions = await store.positions(gateway, { pins: true });
const mirror = new Mirror({
  name: gateway,
  gateway,
  incarnation: store.identity.incarnation,
  reader: store.reader,
  positions,
  ledger: store.ledger,
  quarantine: { writer: store.writer, topic: quarantineTopic },
  decisions: store.keyValue(`decisions.${gateway}`),
  sampled: store.keyValue(`sampled.${gateway}`),
  upstream,
  topics: ['telemetry'],
  clock,
  random: systemRandom,
  logger,
});
const topic = store.reader.topic('telemetry');
const streams = topic?.streams ?? [];
const total = streams.reduce((sum, stream) => sum + store.reader.range(stream).endOffset, 0);
let peakKiB = 0;
const idleKiB = anonymousKiB();
const watch = setInterval(() => {
  peakKiB = Math.max(peakKiB, anonymousKiB());
}, 20);
const cpuBefore = process.cpuUsage();
const start = clock.monotonicMs();
await mirror.start();
const endMs = start + Number(seconds ?? Number.POSITIVE_INFINITY) * 1000;
let delivered = 0;
let toldMs = start;
while (delivered < total && clock.monotonicMs() < endMs) {
  await clock.sleep(10);
  const partitions = mirror.status().topics.flatMap((one) => one.partitions);
  delivered = partitions.reduce((sum, { recordsSent }) => sum + recordsSent, 0);
  if (seconds === undefined || clock.monotonicMs() < toldMs + 1000) continue;
  toldMs += 1000;
  const { bytesSent } = mirror.status();
  process.stdout.write(
    `${JSON.stringify({ atMs: toldMs - start, records: delivered, bytesSent })}\n`,
  );
}
const ms = clock.monotonicMs() - start;
const cpu = process.cpuUsage(cpuBefore);
clearInterval(watch);
await mirror.stop();
await store.close();
const cpuMs = (cpu.user + cpu.system) / 1000;
process.stdout.write(
  `${JSON.stringify({ records: delivered, ms, cpuMs, peakKiB, idleKiB, bytesSent: mirror.status().bytesSent })}\n`,
);
process.exit(0);
