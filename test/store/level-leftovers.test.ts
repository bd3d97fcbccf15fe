import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { levelEngine } from '../../src/store/level-engine.ts';
import { listAside } from '../../src/store/quarantine-folder.ts';
import {
  dropReplacement,
  makeReplacement,
  takeReplacement,
} from '../../src/store/segment-replacement.ts';

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

test('what a repair left over is set aside, counts until then, and is bounded', async () => {
  const engine = levelEngine(folder, false);
  const before = (await engine.otherBytes?.()) ?? 0;
  const within = await engine.segmentBytes(1);
  for (const path of [join(log, '0000000000000001'), join(folder, 'state')]) {
    await mkdir(join(path, 'lost'));
    await writeFile(join(path, 'lost', '000007.ldb'), Buffer.alloc(1000));
  }
  await writeFile(join(log, 'a-file-of-somebody'), Buffer.alloc(500));
  expect(await engine.otherBytes?.()).toBe(before + 1500);
  expect(await engine.segmentBytes(1)).toBe(within + 1000);
  const state = await engine.openState();
  const segment = await engine.openSegment(1, 'existing');
  expect((await listAside(folder)).map(({ name, bytes }) => ({ name, bytes }))).toEqual([
    { name: '0001-state-lost', bytes: 1000 },
    { name: '0002-segment-1-lost', bytes: 1000 },
  ]);
  expect(await segment.get(Buffer.from('k'))).toEqual(Buffer.from('v'));
  expect(await engine.segmentBytes(1)).toBeLessThan(within + 1000);
  await segment.close();
  await state.close();
});

test('a segment whose place could not be given to another is there as before', async () => {
  const path = join(log, '0000000000000001');
  // Nothing can be put in its place: there is no replacement.
  await expect(takeReplacement(path)).rejects.toThrow('ENOENT');
  expect(await readdir(log)).toEqual(['0000000000000001']);
  const engine = levelEngine(folder, false);
  expect(await engine.segments()).toEqual([1]);
  const segment = await engine.openSegment(1, 'existing');
  expect(await segment.get(Buffer.from('k'))).toEqual(Buffer.from('v'));
  await segment.close();
});

test('a replacement is not dropped while nothing stands in its segment’s place', async () => {
  const path = join(log, '0000000000000001');
  await makeReplacement(path, '', async (target) => {
    await target.put(Buffer.from('k'), Buffer.from('new'), true);
    return true;
  });
  await rename(path, `${path}.removed`);
  await dropReplacement(path);
  const engine = levelEngine(folder, false);
  expect(await engine.segments()).toEqual([1]);
  const segment = await engine.openSegment(1, 'existing');
  expect(await segment.get(Buffer.from('k'))).toEqual(Buffer.from('new'));
  await segment.close();
});

test('a pipe in place of a table or of the markers keeps nobody waiting', async () => {
  await rm(join(folder, 'opening.json'), { force: true });
  execFileSync('mkfifo', [
    join(log, '0000000000000001', '000077.ldb'),
    join(folder, 'opening.json'),
  ]);
  const engine = levelEngine(folder, false);
  const segment = await engine.openSegment(1, 'existing');
  expect(await segment.get(Buffer.from('k'))).toEqual(Buffer.from('v'));
  await segment.close();
  expect((await listAside(folder)).map(({ what }) => what)).toEqual(['segment-1-000077.ldb']);
});

test('a segment whose tables were emptied is no left-over', async () => {
  const path = join(log, '0000000000000001');
  for (const name of await readdir(path)) await writeFile(join(path, name), '');
  await writeFile(join(path, '000005.ldb'), '');
  expect(await levelEngine(folder, false).segments()).toEqual([1]);
});
