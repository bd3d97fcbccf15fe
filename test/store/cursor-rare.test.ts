import { expect, test } from 'vitest';
import type { StreamId } from '../../src/record.ts';
import type { LogCursor, Store } from '../../src/store/log.ts';
import { faultyEngine, noFaults } from '../support/faulty-engine.ts';
import { MemoryDisk, memoryEngine } from '../support/memory-engine.ts';
import { append, FOREVER, onDisk } from '../support/store-kit.ts';

const LIMITS = { maxRecords: 1000, maxBytes: 1e7 };
const COMMITS = 300;

/** A commit of 100 kB each. */
async function fill(store: Store, stream: StreamId, commits: number): Promise<void> {
  for (let at = 0; at < commits; at++) {
    await append(store, stream, { value: Buffer.alloc(100_000, at) });
  }
}

async function offsets(cursor: LogCursor): Promise<number[]> {
  const { slices, gaps } = await cursor.next(LIMITS);
  expect(gaps).toEqual([]);
  return slices.flatMap(({ records }) => records.map(({ offset }) => offset));
}

test('a reader of a rare topic does not read all that stands between its records', async () => {
  const place = await onDisk.make();
  const faults = noFaults();
  const engine = faultyEngine(memoryEngine(new MemoryDisk()), faults);
  const store = await place.open({ engine, compression: 'none', segmentBytes: 8_000_000 });
  const [often] = store.writer.defineTopic('often', { ...FOREVER, partitions: 1 }).streams;
  const [rare] = store.writer.defineTopic('rare', { ...FOREVER, partitions: 1 }).streams;
  const [one, other] = [often as StreamId, rare as StreamId];
  await append(store, other);
  const standing = store.reader.cursor(new Map([[other, 0]]));
  expect(await offsets(standing)).toEqual([0]);
  for (let count = 0; count < 3; count++) {
    await fill(store, one, COMMITS);
    await append(store, other);
  }
  // Those that were found are not held back while the next one is looked for.
  const before = faults.counts.entries;
  expect(await offsets(standing)).toEqual([1]);
  expect(await offsets(standing)).toEqual([2]);
  expect(await offsets(standing)).toEqual([3]);
  const fresh = store.reader.cursor(new Map([[other, 0]]));
  for (const offset of [0, 1, 2, 3]) expect(await offsets(fresh)).toEqual([offset]);
  expect(await offsets(fresh)).toEqual([]);
  // Seven times about 40 commits to notice, and a checkpoint's worth to find it: not 300 each.
  expect(faults.counts.entries - before).toBeLessThan((7 * COMMITS) / 2);
  // One that is not so rare is not gathered from all over the log before any of it is handed out.
  const [some] = store.writer.defineTopic('some', { ...FOREVER, partitions: 1 }).streams;
  const third = some as StreamId;
  for (let count = 0; count < 25; count++) {
    await append(store, third);
    await fill(store, one, 10);
  }
  const gathering = store.reader.cursor(new Map([[third, 0]]));
  const first = await offsets(gathering);
  expect(first.length).toBeLessThan(20);
  expect([...first, ...(await offsets(gathering))]).toEqual(
    Array.from({ length: 25 }, (_, at) => at),
  );
  // Nothing of a frequent topic is lost by it.
  const all = store.reader.cursor(
    new Map([
      [one, 0],
      [other, 1],
    ]),
  );
  const found: number[] = [];
  for (;;) {
    const { slices, records } = await all.next(LIMITS);
    if (records === 0) break;
    for (const { stream, records: own } of slices)
      if (stream === one) found.push(...own.map(({ offset }) => offset));
  }
  expect(found).toEqual(Array.from({ length: 3 * COMMITS + 250 }, (_, at) => at));
  await store.close();
  await place.remove();
});
