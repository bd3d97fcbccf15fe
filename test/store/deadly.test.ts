import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { LIMITS } from '../../src/limits.ts';
import type { StreamId } from '../../src/record.ts';
import { crc32c, masked } from '../../src/store/crc32c.ts';
import type { Store } from '../../src/store/log.ts';
import { TableFile } from '../../src/store/table-file.ts';
import {
  append,
  entriesOf,
  fill,
  FOREVER,
  onDisk,
  readAll,
  rememberingLogger,
  type Place,
} from '../support/store-kit.ts';

/**
 * LevelDB really ends the process when it seeks into a zeroed page (docs/leveldb.md).
 * A store that only gave up there would end at every start; this one looks at tables before.
 */
let place: Place;

beforeEach(async () => {
  place = await onDisk.make();
});
afterEach(() => place.remove());

const RECORDS = 3800;
/** A block holds 64 KiB, a record 3000 bytes; a commit has two. */
const RECORDS_A_BLOCK = 26;
const STARTS = 8;
const SMALL = { segmentBytes: 6_000_000, compression: 'none' } as const;

/** Two segments whose tables are not compressed, for random bytes do not get smaller. */
async function twoSegments(): Promise<void> {
  const store = await place.open(SMALL);
  const topic = store.writer.defineTopic('t', FOREVER);
  await fill(store, topic, RECORDS, { bytes: 3000, perCommit: 2 });
  await store.close();
}

/** A table of the segment at `index` of `log/`. */
async function tableOf(index: number): Promise<string> {
  const segments = (await readdir(join(place.folder, 'log'))).toSorted();
  const folder = join(place.folder, 'log', segments.at(index) ?? '');
  const [table = ''] = (await readdir(folder)).filter((name) => name.endsWith('.ldb')).toSorted();
  return join(folder, table);
}

/** Its first page. `hide`: under a checksum that is right, as no damage is, so that we find nothing. */
async function zeroPage(index: number, hide: boolean): Promise<void> {
  const path = await tableOf(index);
  const table = await TableFile.open(path);
  const [block] = (await table.books())?.blocks ?? [];
  const bytes = (await table.bytes()).fill(0, 0, 4096);
  await table.close();
  const end = (block?.size ?? 0) + 1;
  if (hide) bytes.writeUInt32LE(masked(crc32c(bytes.subarray(0, end))), end);
  await writeFile(path, bytes);
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

/** `atLeast`: so many are left. Those that are not stand in the ledger. */
async function expectAllButAFew(store: Store, atLeast: number): Promise<void> {
  const { streams } = store.writer.defineTopic('t', FOREVER);
  const { records, gaps } = await readAll(store, streams);
  const read = [...records.values()].flat().length;
  const missing = gaps.reduce((sum, { fromOffset, toOffset }) => sum + toOffset - fromOffset, 0);
  expect(read).toBeGreaterThanOrEqual(atLeast);
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
  'a zeroed page of %s ends no process, and costs one block of a table',
  async (_, index) => {
    await twoSegments();
    await zeroPage(index, false);
    expect(await readInChild()).toBe('0');
    const store = await place.open(SMALL);
    await expectAllButAFew(store, RECORDS - RECORDS_A_BLOCK);
    await store.close();
    expect(await readdir(join(place.folder, 'quarantine'))).toEqual([]);
  },
  120_000,
);

test('what ends processes and is not found: another process looks, and its table is set aside', async () => {
  await twoSegments();
  await zeroPage(-1, true);
  const ends = await startsUntilAlive();
  const deaths = Array.from({ length: LIMITS.deathsBeforeProbe }, () => 'SIGABRT');
  expect(ends).toEqual([...deaths, '0']);
  const store = await place.open(SMALL);
  await expectAllButAFew(store, RECORDS / 3);
  await store.close();
  const names = await readdir(join(place.folder, 'quarantine'));
  const note = names.find((name) => name.endsWith('.ldb.json')) ?? '';
  const text = await readFile(join(place.folder, 'quarantine', note), 'utf8');
  expect(JSON.parse(text)).toMatchObject({
    why: expect.stringMatching(/the process ended \d times in a row while it was open/u),
    bytes: expect.any(Number),
  });
  expect(await readInChild()).toBe('0');
}, 120_000);

test('who must not wait is told so at once, before the other process looks', async () => {
  await twoSegments();
  await zeroPage(-1, true);
  for (let death = 0; death < LIMITS.deathsBeforeProbe; death++) await readInChild();
  const logger = rememberingLogger();
  const opening = place.open({ ...SMALL, logger, patient: false });
  await expect(opening).rejects.toMatchObject({
    code: 'STORE_SUSPECT',
    message: expect.stringMatching(/processes in a row ended while .* was open/u),
  });
  expect(logger.lines.map(({ fields }) => fields['event'])).not.toContain('store.deadly');
}, 120_000);

test('what rots after it was read is found by the check, which does not die of it', async () => {
  await twoSegments();
  const args = ['test/support/store-child.ts', place.folder, 'scrub'];
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  let told = '';
  child.stdout.on('data', (text: Buffer) => (told += text.toString()));
  await expect.poll(() => told, { timeout: 30_000 }).toContain('read\n');
  await zeroPage(0, false);
  child.stdin.end();
  expect(await exited).toEqual([0, null]);
  expect(told).toMatch(/^1 findings$/mu);
}, 120_000);

async function killInARow(times: number): Promise<void> {
  for (let round = 0; round < times; round++) {
    const child = spawn(process.execPath, ['test/support/store-child.ts', place.folder, 'hold'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
}

test('processes that were killed in a row are only a suspicion: nothing is set aside', async () => {
  await twoSegments();
  await killInARow(LIMITS.deathsBeforeProbe);
  expect((await stat(join(place.folder, 'opening.json'))).size).toBeGreaterThan(2);
  const store = await place.open(SMALL);
  const { streams } = store.writer.defineTopic('t', FOREVER);
  const { records, gaps } = await readAll(store, streams);
  expect([...records.values()].flat()).toHaveLength(RECORDS);
  expect(gaps).toEqual([]);
  await store.close();
  expect(await readdir(join(place.folder, 'quarantine'))).toEqual([]);
}, 120_000);
