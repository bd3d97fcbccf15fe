import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { StreamId } from '../../src/record.ts';
import type { Store } from '../../src/store/log.ts';
import {
  append,
  entriesOf,
  fill,
  FOREVER,
  onDisk,
  readAll,
  type Place,
} from '../support/store-kit.ts';

/**
 * LevelDB really ends the process when it seeks into a zeroed page (research/store.md, section 10).
 * A store that only gave up there would end at every start.
 */
let place: Place;

beforeEach(async () => {
  place = await onDisk.make();
});
afterEach(() => place.remove());

const RECORDS = 3800;
const STARTS = 8;
const SMALL = { segmentBytes: 6_000_000, compression: 'none' } as const;

/** Two segments whose tables are not compressed, for random bytes do not get smaller. */
async function twoSegments(): Promise<void> {
  const store = await place.open(SMALL);
  const topic = store.writer.defineTopic('t', FOREVER);
  await fill(store, topic, RECORDS, { bytes: 3000, perCommit: 2 });
  await store.close();
}

/** The first page of a table of the segment at `index` of `log/`. */
async function zeroPage(index: number): Promise<void> {
  const segments = (await readdir(join(place.folder, 'log'))).toSorted();
  const folder = join(place.folder, 'log', segments.at(index) ?? '');
  const [table = ''] = (await readdir(folder)).filter((name) => name.endsWith('.ldb')).toSorted();
  const file = await open(join(folder, table), 'r+');
  await file.write(Buffer.alloc(4096), 0, 4096, 0);
  await file.close();
}

/** Opens the store in a process of its own and reads everything; how that ended. */
async function readInChild(): Promise<string> {
  const child = spawn(process.execPath, ['test/support/store-child.ts', place.folder, 'read'], {
    stdio: ['ignore', 'ignore', 'ignore'],
  });
  const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
  return signal ?? String(code);
}

/** How processes ended that read everything, up to the first that did not die of it. */
async function startsUntilAlive(): Promise<string[]> {
  const ends: string[] = [];
  while (ends.at(-1) !== '0' && ends.length < STARTS) ends.push(await readInChild());
  expect(ends.at(-1)).toBe('0');
  return ends;
}

async function expectAllButAFew(store: Store): Promise<void> {
  const { streams } = store.writer.defineTopic('t', FOREVER);
  const { records, gaps } = await readAll(store, streams);
  const read = [...records.values()].flat().length;
  const missing = gaps.reduce((sum, { fromOffset, toOffset }) => sum + toOffset - fromOffset, 0);
  expect(read).toBeGreaterThan(RECORDS / 3);
  expect(missing).toBeGreaterThan(0);
  expect(read + missing).toBe(RECORDS);
  await expect
    .poll(async () => (await entriesOf(store)).reduce((sum, entry) => sum + entry.records, 0))
    .toBe(missing);
  expect(await append(store, streams[0] as StreamId)).toBe(RECORDS / 2);
}

test.each([
  ['an old segment', 0],
  ['the newest segment', -1],
])(
  '%s that ends every process: after two, its deadly table is set aside',
  async (_, index) => {
    await twoSegments();
    await zeroPage(index);
    const ends = await startsUntilAlive();
    // The first two at least; a busy machine may not find out at once.
    expect(ends.slice(0, 2)).toEqual(['SIGABRT', 'SIGABRT']);
    const store = await place.open(SMALL);
    await expectAllButAFew(store);
    await store.close();
    const names = await readdir(join(place.folder, 'quarantine'));
    const note = names.find((name) => name.endsWith('.ldb.json')) ?? '';
    const text = await readFile(join(place.folder, 'quarantine', note), 'utf8');
    expect(JSON.parse(text)).toMatchObject({
      why: expect.stringMatching(/the process ended \d times in a row while it was open/u),
      bytes: expect.any(Number),
    });
    expect(await readInChild()).toBe('0');
  },
  120_000,
);

test('processes that were killed in a row are only a suspicion: nothing is set aside', async () => {
  await twoSegments();
  for (let round = 0; round < 3; round++) {
    const child = spawn(process.execPath, ['test/support/store-child.ts', place.folder, 'hold'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  expect((await stat(join(place.folder, 'opening.json'))).size).toBeGreaterThan(2);
  const store = await place.open(SMALL);
  const { streams } = store.writer.defineTopic('t', FOREVER);
  const { records, gaps } = await readAll(store, streams);
  expect([...records.values()].flat()).toHaveLength(RECORDS);
  expect(gaps).toEqual([]);
  await store.close();
  expect(await readdir(join(place.folder, 'quarantine'))).toEqual([]);
}, 120_000);
