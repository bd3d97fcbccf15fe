/**
 * Drain rate of one cursor over 8 streams: node test/bench/store-read.ts [records] [records a commit]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { open, RssPeak, samples, say } from './store-data.ts';

const RECORDS = Number(process.argv[2] ?? 1_000_000);
const PER_COMMIT = Number(process.argv[3] ?? 1000);
const folder = await mkdtemp(join(process.env['BENCH_DIR'] ?? '/var/tmp', 'gatelog-bench-'));
const none = new Uint8Array(0);
{
  const store = await open(folder);
  const { streams } = store.writer.defineTopic('telemetry', {
    partitions: 8,
    durability: 'fsync',
    retentionMs: undefined,
    retentionBytes: undefined,
  });
  const pool = samples();
  for (let done = 0; done < RECORDS; done += PER_COMMIT) {
    await new Promise<void>((resolve) => {
      let answers = 0;
      for (let index = done; index < done + PER_COMMIT; index++) {
        const sample = pool[index % pool.length];
        if (sample === undefined) continue;
        const stream = streams[sample.partition] as never;
        store.writer.append(stream, index, sample.key, sample.value, none, 'os', () => {
          if (++answers === PER_COMMIT) resolve();
        });
      }
    });
  }
  await store.close();
}
globalThis.gc?.();
const store = await open(folder);
const { streams } = store.reader.topic('telemetry') ?? { streams: [] };
for (let round = 0; round < 3; round++) {
  const peak = new RssPeak();
  const cursor = store.reader.cursor(new Map(streams.map((stream) => [stream, 0])));
  const cpuBefore = process.cpuUsage();
  const before = performance.now();
  let records = 0;
  let bytes = 0;
  for (;;) {
    const batch = await cursor.next({ maxRecords: 10_000, maxBytes: 1_048_576 });
    if (batch.records === 0) break;
    records += batch.records;
    bytes += batch.bytes;
    if (records % 50_000 < 10_000) peak.sample();
  }
  const seconds = (performance.now() - before) / 1000;
  const cpu = process.cpuUsage(cpuBefore);
  say(
    `read: ${Math.round(records / seconds)} records/s of ${(bytes / records).toFixed(0)} B, ` +
      `CPU ${(((cpu.user + cpu.system) / records) * 1000).toFixed(0)} ns a record, RssAnon peak ${peak.mib.toFixed(0)} MiB`,
  );
  await cursor.close();
}
await store.close();
await rm(folder, { recursive: true });
