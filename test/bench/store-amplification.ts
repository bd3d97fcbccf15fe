/**
 * Write amplification and bytes per record against the design's table:
 * node test/bench/store-amplification.ts [share of the design's record counts, 0.2 by default]
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { folderSize } from '../support/store-kit.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Store } from '../../src/store/log.ts';
import { defineTopics, open, samples, say, streamOf, writtenBytes } from './store-data.ts';

const SHARE = Number(process.argv[2] ?? 0.2);
const only = process.argv[3];
const CASES = [
  { perCommit: 1000, records: 3_000_000, none: 1.5, zstd: 0.5 },
  { perCommit: 50, records: 3_000_000, none: 1.7, zstd: 0.6 },
  { perCommit: 5, records: 1_500_000, none: 1.8, zstd: 1.2 },
];
const pool = samples();
const none = new Uint8Array(0);

async function ingest(store: Store, perCommit: number, records: number): Promise<number> {
  const topics = defineTopics(store);
  const streams = pool.map((sample) => streamOf(topics, sample));
  let payload = 0;
  let sent = 0;
  for (let done = 0; done < records; done += perCommit) {
    await new Promise<void>((resolve, reject) => {
      let answers = 0;
      for (let index = 0; index < perCommit; index++) {
        const at = sent++ % pool.length;
        const sample = pool[at];
        if (sample === undefined) continue;
        payload += sample.key.length + sample.value.length;
        const time = 1_700_000_000_000 + sent;
        store.writer.append(
          streams[at] as never,
          time,
          sample.key,
          sample.value,
          none,
          'os',
          (error) => {
            if (error !== null) reject(error);
            if (++answers === perCommit) resolve();
          },
        );
      }
    });
  }
  return payload;
}

for (const { perCommit, records, ...bounds } of CASES) {
  if (only !== undefined && Number(only) !== perCommit) continue;
  for (const compression of ['zstd', 'none'] as const) {
    const folder = await mkdtemp(join(process.env['BENCH_DIR'] ?? '/var/tmp', 'gatelog-bench-'));
    const store = await open(folder, { compression });
    const count = Math.ceil((records * SHARE) / perCommit) * perCommit;
    const before = writtenBytes();
    const started = performance.now();
    const payload = await ingest(store, perCommit, count);
    const seconds = (performance.now() - started) / 1000;
    await sleep(1500); // Compactions in the background come to their end.
    const amplification = (writtenBytes() - before) / payload;
    await store.close();
    const disk = (await folderSize(join(folder, 'log'))) / count;
    say(
      `${String(perCommit).padStart(4)} a commit, ${compression.padEnd(4)}: amplification ` +
        `${amplification.toFixed(3)} (bound ${bounds[compression]}), ${disk.toFixed(1)} B a record of ` +
        `${(payload / count).toFixed(1)} B, ${Math.round(count / seconds)} records/s`,
    );
    await rm(folder, { recursive: true });
  }
}
