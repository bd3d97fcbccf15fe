import { readFileSync } from 'node:fs';
import { createKafkaUpstream } from '../../src/mirror/kafka/kafka-upstream.ts';
import { COMPRESSIONS } from '../../src/mirror/kafka/options.ts';
import { Mirror } from '../../src/mirror/mirror.ts';
import { systemRandom } from '../../src/random.ts';
import { openStore } from '../../src/store/open.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';

/**
 * node drain-agent.ts FOLDER BROKERS GATEWAY TOPIC COMPRESSION: drains the folder's `telemetry`
 * through the product's own mirror and prints what it took as JSON.
 */
const [, , folder = '', brokers = '', gateway = '', central = '', codec = 'zstd'] = process.argv;
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
let delivered = 0;
while (delivered < total) {
  await clock.sleep(10);
  const partitions = mirror.status().topics.flatMap((one) => one.partitions);
  delivered = partitions.reduce((sum, { recordsSent }) => sum + recordsSent, 0);
}
const ms = clock.monotonicMs() - start;
const cpu = process.cpuUsage(cpuBefore);
clearInterval(watch);
await mirror.stop();
await store.close();
const cpuMs = (cpu.user + cpu.system) / 1000;
process.stdout.write(`${JSON.stringify({ records: delivered, ms, cpuMs, peakKiB, idleKiB })}\n`);
process.exit(0);
