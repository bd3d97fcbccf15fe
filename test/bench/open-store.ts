/**
 * The other side of test/bench/open.ts, a process of its own because it is killed:
 * node test/bench/open-store.ts fill FOLDER GB | open FOLDER
 */
import { writeSync } from 'node:fs';
import { seededRandom } from '../../src/random.ts';
import type { StreamId } from '../../src/record.ts';
import type { Store } from '../../src/store/log.ts';
import { defineTopics, open, samples, streamOf } from './store-data.ts';

const [, , what = '', folder = '', size = '0.1'] = process.argv;
/** Large ones that can't be compressed, so that ten gigabytes take a minute. */
const VALUE_BYTES = 256 * 1024;
const AT_ONCE = 32;
/** Small commits at the end: what opening has to read again. */
const TAIL_COMMITS = 3000;
const NONE = new Uint8Array(0);

function append(store: Store, stream: StreamId, value: Uint8Array, sync: boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    const durability = sync ? 'fsync' : 'os';
    store.writer.append(stream, 1_700_000_000_000, null, value, NONE, durability, (error) =>
      error === null ? resolve() : reject(error),
    );
  });
}

async function fill(store: Store): Promise<void> {
  const topics = defineTopics(store);
  const pool = samples();
  const streams = pool.map((sample) => streamOf(topics, sample));
  const random = seededRandom(1);
  // All different: copies within one commit would be compressed away.
  const values = Array.from({ length: AT_ONCE }, () => Buffer.from(random.hex(VALUE_BYTES), 'hex'));
  const count = Math.ceil((Number(size) * 1e9) / VALUE_BYTES);
  for (let done = 0; done < count; done += AT_ONCE) {
    const waits: Promise<void>[] = [];
    for (let index = done; index < Math.min(count, done + AT_ONCE); index++) {
      const value = values[index - done] as Buffer;
      waits.push(append(store, streams[index % streams.length] as StreamId, value, false));
    }
    await Promise.all(waits);
  }
  for (let index = 0; index < TAIL_COMMITS; index++) {
    const at = index % pool.length;
    const sample = pool[at];
    if (sample !== undefined) await append(store, streams[at] as StreamId, sample.value, true);
  }
}

const from = performance.now();
const store = await open(folder);
if (what === 'fill') await fill(store);
const { segments } = store.counters();
writeSync(1, `${JSON.stringify({ ms: performance.now() - from, segments })}\n`);
process.stdin.resume(); // Until it is killed: nothing is closed.
