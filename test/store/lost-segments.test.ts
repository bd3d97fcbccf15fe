import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { StreamId } from '../../src/record.ts';
import { entryKey } from '../../src/store/commit-key.ts';
import { openLevel } from '../../src/store/level-database.ts';
import { entriesOf, fill, FOREVER, onDisk, readAll, type Place } from '../support/store-kit.ts';

let place: Place;

beforeEach(async () => {
  place = await onDisk.make();
});
afterEach(async () => {
  await place.remove();
});

async function names(): Promise<string[]> {
  return (await readdir(join(place.folder, 'log'))).toSorted();
}

/** A segment no longer tells how it begins. */
async function alterBeginning(name: string): Promise<void> {
  const database = await openLevel(join(place.folder, 'log', name), false);
  const key = entryKey(Number(name) - 1, 'checkpoint');
  const value = Buffer.from((await database.get(key)) ?? []);
  value[20] = (value[20] ?? 0) ^ 1;
  await database.put(key, value, true);
  await database.close();
}

test.each([2, -2])(
  'a segment is gone and the one after it (%d) does not tell how it begins: what that holds is not lost',
  async (after) => {
    const small = { segmentBytes: 30_000, compression: 'none' } as const;
    let store = await place.open(small);
    const topic = store.writer.defineTopic('t', { ...FOREVER, partitions: 1 });
    await fill(store, topic, 2000, { bytes: 200 });
    await store.close();
    const all = await names();
    expect(all.length).toBeGreaterThan(4);
    const at = all.at(after) as string;
    await alterBeginning(at);
    await rm(join(place.folder, 'log', all[all.indexOf(at) - 1] as string), { recursive: true });
    store = await place.open(small);
    await store.close(); // By then it was told.
    store = await place.open(small);
    const { records, gaps } = await readAll(store, topic.streams);
    const entries = await entriesOf(store);
    await store.close();
    expect(gaps).toHaveLength(1);
    expect(entries.map(({ fromOffset, toOffset }) => [fromOffset, toOffset])).toEqual(
      gaps.map(({ fromOffset, toOffset }) => [fromOffset, toOffset]),
    );
    const read = records.get(topic.streams[0] as StreamId) ?? [];
    const lost = gaps.reduce((sum, { fromOffset, toOffset }) => sum + toOffset - fromOffset, 0);
    expect(read.length + lost).toBe(2000);
    expect(lost).toBeLessThan(500);
  },
);
