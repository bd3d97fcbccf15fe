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
 * as JSON, and every second where it stands. With GATELOG_ALARM_MS an alarm is appended that often, of a
 * topic that goes first, and the times from there to its receipt are in the result.
 */
const [, , folder = '', brokers = '', gateway = '', central = '', codec = 'zstd'] = process.argv;
const [username, password, seconds] = process.argv.slice(7);
const compression = COMPRESSIONS.find((known) => known === codec) ?? 'zstd';

const alarmMs = process.env['GATELOG_ALARM_MS'];
const ALARM_MS = alarmMs === undefined ? undefined : Number(alarmMs);

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
const alarms = store.writer.defineTopic('alarms', {
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
  topicTemplate: ALARM_MS === undefined ? central : `${central}-{topic}`,
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
  topics: [
    ...(ALARM_MS === undefined
      ? []
      : [{ match: 'alarms', class: 'alarm', drain: 'backlog-first' } as const]),
    'telemetry',
  ],
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
/** When the first records were there: connecting, and making topics, is measured by round trips. */
let firstMs: number | undefined;
let toldMs = start;
const raisedMs: number[] = [];
const delaysMs: number[] = [];

/** Notes what has arrived, and raises the next one when it is time. */
function watchAlarms(): void {
  if (ALARM_MS === undefined) return;
  const [sent = 0] = mirror
    .status()
    .topics.filter((one) => one.topic === 'alarms')
    .flatMap((one) => one.partitions.map(({ recordsSent }) => recordsSent));
  const nowMs = clock.monotonicMs();
  while (delaysMs.length < sent) delaysMs.push(nowMs - (raisedMs[delaysMs.length] ?? nowMs));
  const lastMs = raisedMs.at(-1) ?? start;
  const [stream] = alarms.streams;
  if (nowMs < lastMs + ALARM_MS || stream === undefined) return;
  raisedMs.push(nowMs);
  const value = Buffer.from(JSON.stringify({ alarm: 'door open', number: raisedMs.length }));
  store.writer.append(stream, clock.nowMs(), null, value, Buffer.alloc(0), 'fsync', () => {});
}

while (delivered < total && clock.monotonicMs() < endMs) {
  await clock.sleep(10);
  watchAlarms();
  const partitions = mirror
    .status()
    .topics.filter((one) => one.topic === 'telemetry')
    .flatMap((one) => one.partitions);
  delivered = partitions.reduce((sum, { recordsSent }) => sum + recordsSent, 0);
  if (delivered > 0) firstMs ??= clock.monotonicMs() - start;
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
  `${JSON.stringify({ records: delivered, ms, firstMs, cpuMs, peakKiB, idleKiB, bytesSent: mirror.status().bytesSent, delaysMs, raised: raisedMs.length })}\n`,
);
process.exit(0);
