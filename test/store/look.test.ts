import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { lookAtFolder, lookAtState, type StateLook } from '../../src/store/look.ts';
import {
  damageRig,
  empty,
  flip,
  leaveAsKilled,
  replaceByFile,
  replaceByFolder,
  SMALL,
  zero,
  type DamageRig,
} from '../support/damage-kit.ts';

/** What `gatelog doctor` finds in the files of a stopped folder. */
let rig: DamageRig;
beforeEach(async () => {
  rig = await damageRig();
  // The second opening makes tables of what the first one wrote.
  await (await rig.place.open({ ...SMALL, gateway: 'gw' })).close();
});
afterEach(() => rig.place.remove());

async function look(): Promise<StateLook> {
  const { folder } = rig.place;
  const names = async (): Promise<string[]> => readdir(folder, { recursive: true });
  const before = await names();
  const found = await lookAtState(folder, await lookAtFolder(folder));
  expect(await names()).toEqual(before);
  return found;
}

test('nothing in a healthy folder', async () => {
  expect(await look()).toMatchObject({ trouble: undefined, damaged: [], missing: [] });
});

const TABLE = /\.ldb$/u;

test.each<readonly [string, (folder: string) => Promise<void>, RegExp]>([
  ['CURRENT gone', (at) => rm(rig.path(at, 'CURRENT')), /^CURRENT is missing/u],
  ['CURRENT empty', (at) => empty(rig.path(at, 'CURRENT')), /^CURRENT is empty/u],
  ['CURRENT of NULs', (at) => zero(rig.path(at, 'CURRENT')), /^CURRENT is full of NULs/u],
  [
    'CURRENT of something',
    (at) => writeFile(rig.path(at, 'CURRENT'), 'x'),
    /^CURRENT is none that LevelDB wrote/u,
  ],
  [
    'MANIFEST gone',
    async (at) => rm(await rig.file(at, /^MANIFEST/u)),
    /^MANIFEST-\d+ is missing or damaged/u,
  ],
  [
    'MANIFEST of NULs',
    async (at) => zero(await rig.file(at, /^MANIFEST/u)),
    /^MANIFEST-\d+ is missing or damaged/u,
  ],
  [
    'MANIFEST flipped',
    async (at) => flip(await rig.file(at, /^MANIFEST/u), 0.1),
    /^MANIFEST-\d+ is missing or damaged/u,
  ],
  ['a table gone', async (at) => rm(await rig.file(at, TABLE)), /^the table \d+\.ldb is missing/u],
  [
    'a table empty',
    async (at) => empty(await rig.file(at, TABLE)),
    /^the table \d+\.ldb has 0 bytes, and should have \d+/u,
  ],
  [
    'a table of NULs',
    async (at) => zero(await rig.file(at, TABLE)),
    /^the index of the table \d+\.ldb is damaged/u,
  ],
  [
    'a table whose end is zeroed',
    async (at) => zeroEnd(await rig.file(at, TABLE)),
    /^the index of the table \d+\.ldb is damaged/u,
  ],
])('%s, in a segment and in the state database', async (_, damage, text) => {
  const newest = rig.segments.at(-1) ?? '';
  await damage('state');
  await damage(join('log', newest));
  const { trouble, damaged } = await look();
  const found = damaged.find(({ what }) => what === Number(newest))?.troubles ?? [];
  expect(found).toEqual([expect.stringMatching(text)]);
  const ofState = damaged.find(({ what }) => what === 'state')?.troubles ?? [];
  expect([...ofState, trouble]).toContainEqual(expect.stringMatching(text));
});

async function zeroEnd(file: string): Promise<void> {
  const bytes = await readFile(file);
  await writeFile(file, bytes.fill(0, Math.max(0, bytes.length - 300)));
}

test('writes of the state database stand behind altered bytes', async () => {
  const store = await rig.place.open({ ...SMALL, gateway: 'gw' });
  for (let count = 0; count < 20; count++) {
    await store.keyValue('test').put(String(count), Buffer.alloc(500, count));
  }
  await leaveAsKilled(rig, store);
  await flip(await rig.file('state', /\.log$/u), 0.4);
  expect((await look()).trouble).toMatch(/^bytes of \d+\.log were altered/u);
  const found = await rig.place.open({ ...SMALL, readOnly: true });
  expect(found.stateDamage).toMatch(/^bytes of \d+\.log were altered/u);
  await found.close();
});

test('the state database is gone', async () => {
  await rm(rig.path('state'), { recursive: true });
  expect((await look()).trouble).toMatch(/^it is missing/u);
  expect((await stat(rig.place.folder)).isDirectory()).toBe(true);
});

test.each<readonly [string, (folder: string) => Promise<void>, RegExp]>([
  ['a file', replaceByFile, /^\S+\/state is no folder$/u],
  ['full of NULs', (state) => zero(join(state, 'CURRENT')), /CURRENT is full of NULs/u],
])('the state database is %s: it is named as the person knows it', async (_, damage, text) => {
  await damage(rig.path('state'));
  const { trouble = '' } = await look();
  expect(trouble).toMatch(text);
  expect(trouble).not.toContain('gatelog-look-');
});

test('a folder in place of a lock is found, and keeps nothing from being read', async () => {
  await replaceByFolder(rig.path('state', 'LOCK'));
  const { trouble, identity, damaged } = await look();
  expect(trouble).toBeUndefined();
  expect(identity?.incarnation).toBe(rig.incarnation);
  expect(damaged).toEqual([{ what: 'state', troubles: ['LOCK is no file'] }]);
});

test('what stands where gatelog wants something else is no quarantine, log or socket', async () => {
  await replaceByFile(rig.path('quarantine'));
  await writeFile(rig.path('agent.sock'), 'mine');
  const { strange } = await lookAtFolder(rig.place.folder);
  expect(strange.toSorted()).toEqual(['agent.sock', 'quarantine']);
});
