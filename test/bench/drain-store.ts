import { createWriteStream } from 'node:fs';
import { encodeHeaders } from '../../src/headers.ts';
import { partitionOfKey } from '../../src/murmur2.ts';
import { seededRandom, systemRandom } from '../../src/random.ts';
import { openStore } from '../../src/store/open.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';

/**
 * node drain-store.ts FOLDER RECORDS FILE: fills a data folder as the agent would, and writes the
 * same keys and payloads to a file for kcat (`key TAB payload`). JSON of 120 B, 1,000 devices.
 */
const [, , folder = '', count = '0', file = ''] = process.argv;
const RECORDS = Number(count);
const PARTITIONS = 8;

const random = seededRandom(11);
const store = await openStore({
  folder,
  clock: systemClock,
  random: systemRandom,
  logger: silentLogger,
});
const topic = store.writer.defineTopic('telemetry', {
  partitions: PARTITIONS,
  durability: 'fsync',
  retentionMs: undefined,
  retentionBytes: undefined,
});
const lines = createWriteStream(file);
const devices = Array.from({ length: 1000 }, (_, device) => {
  const text = `plant/line${device % 7}/sensor${device}/climate`;
  const key = Buffer.from(text);
  const stream = topic.streams[partitionOfKey(key, PARTITIONS)];
  if (stream === undefined) throw new Error('a partition has a stream');
  const headers = encodeHeaders([
    { key: 'mqtt.topic', value: key },
    { key: 'mqtt.qos', value: Buffer.from('1') },
    { key: 'mqtt.retain', value: Buffer.from('0') },
  ]);
  return { text, key, stream, headers };
});
const startMs = systemClock.nowMs();
let failed: Error | null = null;
for (let index = 0; index < RECORDS; index++) {
  const device = devices[Math.floor(random.next() * devices.length)];
  if (device === undefined) throw new Error('within the devices');
  const reading = {
    device: device.text.slice(-12),
    ts: startMs + index,
    temperature: Number((random.next() * 40).toFixed(3)),
    humidity: Number((random.next() * 100).toFixed(2)),
  };
  const text = JSON.stringify(reading);
  const value = `${text.slice(0, -1)},"n":"${String(index).padStart(120 - text.length - 7, '0')}"}`;
  lines.write(`${device.text}\t${value}\n`);
  const { stream, key, headers } = device;
  const timestamp = startMs + Math.floor(index / 100);
  store.writer.append(stream, timestamp, key, Buffer.from(value), headers, 'fsync', (error) => {
    failed ??= error;
  });
  if (store.writer.pendingBytes() > 4_000_000) await store.writer.relieved();
}
await store.close();
if (failed !== null) throw new Error('the store did not take a record', { cause: failed });
await new Promise<void>((resolve) => {
  lines.end(() => resolve());
});
