import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { levelEngine } from '../../src/store/level-engine.ts';

/** What a kill may leave behind while a segment is made or removed. */
let folder: string;
let log: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gatelog-leftovers-'));
  log = join(folder, 'log');
  const engine = levelEngine(folder, false);
  const state = await engine.openState();
  const segment = await engine.openSegment(1, 'create');
  await segment.put(Buffer.from('k'), Buffer.from('v'), true);
  await segment.close();
  await state.close();
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** As the acknowledged-set hunt found it after a SIGKILL (seed 2065046645). */
async function makeHalf(): Promise<void> {
  const half = join(log, '0000000000000607');
  await mkdir(half);
  for (const name of ['LOCK', 'LOG', 'MANIFEST-000001']) await writeFile(join(half, name), '');
}

test('a segment half made is cleared away', async () => {
  await makeHalf();
  expect(await levelEngine(folder, false).segments()).toEqual([1]);
  expect(await readdir(log)).toEqual(['0000000000000001']);
});

test('a reader leaves it alone and does not take it for a segment', async () => {
  await makeHalf();
  expect(await levelEngine(folder, true).segments()).toEqual([1]);
  expect(await readdir(log)).toHaveLength(2);
});

test('a segment half removed is gone, and the removal is finished', async () => {
  const path = join(log, '0000000000000001');
  await rename(path, `${path}.removed`);
  await rm(join(`${path}.removed`, 'CURRENT'));
  expect(await levelEngine(folder, true).segments()).toEqual([]);
  expect(await levelEngine(folder, false).segments()).toEqual([]);
  expect(await readdir(log)).toEqual([]);
});

test('a segment with entries whose CURRENT is missing is damage: kept, and repaired', async () => {
  await rm(join(log, '0000000000000001', 'CURRENT'));
  const engine = levelEngine(folder, false);
  expect(await engine.segments()).toEqual([1]);
  const segment = await engine.openSegment(1, 'existing');
  expect(await segment.get(Buffer.from('k'))).toEqual(Buffer.from('v'));
  await segment.close();
});

test('removing gives the space back, also twice', async () => {
  const engine = levelEngine(folder, false);
  await engine.removeSegment(1);
  await engine.removeSegment(1);
  expect(await readdir(log)).toEqual([]);
});
