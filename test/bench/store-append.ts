/**
 * Append rate, durable: node test/bench/store-append.ts [records] [in flight]
 * Appends are made as from sockets: a burst when answers arrive, so commits grow by themselves.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { defineTopics, open, RssPeak, samples, say, streamOf } from './store-data.ts';

const RECORDS = Number(process.argv[2] ?? 1_000_000);
const IN_FLIGHT = Number(process.argv[3] ?? 5000);
const folder = await mkdtemp(join(process.env['BENCH_DIR'] ?? '/var/tmp', 'gatelog-bench-'));
const store = await open(folder);
const topics = defineTopics(store);
const pool = samples();
const streams = pool.map((sample) => streamOf(topics, sample));
const none = new Uint8Array(0);
const peak = new RssPeak();

function run(records: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let sent = 0;
    let answered = 0;
    const answer = (error: Error | null): void => {
      if (error !== null) reject(error);
      answered++;
      if (answered === records) resolve();
      else if (sent < records) next();
    };
    const next = (): void => {
      const at = sent++ % pool.length;
      const sample = pool[at];
      if (sample === undefined) return;
      store.writer.append(
        streams[at] as never,
        1_700_000_000_000 + sent,
        sample.key,
        sample.value,
        none,
        'fsync',
        answer,
      );
    };
    for (let index = 0; index < Math.min(IN_FLIGHT, records); index++) next();
  });
}

await run(50_000);
const commitsBefore = store.counters().commits;
const cpuBefore = process.cpuUsage();
const loopBefore = performance.eventLoopUtilization();
const before = performance.now();
const sampling = setInterval(() => peak.sample(), 20);
await run(RECORDS);
clearInterval(sampling);
const seconds = (performance.now() - before) / 1000;
const cpu = process.cpuUsage(cpuBefore);
const loop = performance.eventLoopUtilization(loopBefore);
const commits = store.counters().commits - commitsBefore;
say(
  `append: ${Math.round(RECORDS / seconds)} records/s durable, ${(RECORDS / commits).toFixed(0)} a commit, ` +
    `JS thread busy ${((loop.active / RECORDS) * 1e6).toFixed(0)} ns a record (${(loop.utilization * 100).toFixed(0)} %), ` +
    `CPU ${(((cpu.user + cpu.system) / RECORDS) * 1000).toFixed(0)} ns a record, RssAnon peak ${peak.mib.toFixed(0)} MiB`,
);
await store.close();
await rm(folder, { recursive: true });
