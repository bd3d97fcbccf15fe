import { cp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { seededRandom } from '../../src/random.ts';
import type { StreamId } from '../../src/record.ts';
import {
  damageRig,
  empty,
  flip,
  forgetCleanClose,
  leaveAsKilled,
  replaceByFile,
  replaceByFolder,
  SMALL,
  survive,
  zero,
  type DamageRig,
} from '../support/damage-kit.ts';
import { append, fill, FOREVER, onDisk } from '../support/store-kit.ts';

/**
 * Every row of docs/leveldb.md, and more, in one part of the folder after the other.
 * `survive` holds each to the same promises; what stands here is how much must be left.
 */
let rig: DamageRig;

beforeEach(async () => {
  rig = await damageRig();
});
afterEach(async () => {
  await rig.place.remove();
});

type Harm = (folder: string) => Promise<void>;
const TABLE = /\.ldb$/u;
const WAL = /\.log$/u;
const MANIFEST = /^MANIFEST/u;
const CURRENT = /^CURRENT/u;

/** Harm to one of LevelDB's folders, and whether anything of it may be lost. */
const HARMS: readonly (readonly [string, Harm, 'all' | 'some' | 'none'])[] = [
  ['MANIFEST gone', async (at) => rm(await rig.file(at, MANIFEST)), 'all'],
  ['MANIFEST empty', async (at) => empty(await rig.file(at, MANIFEST)), 'all'],
  ['MANIFEST of NULs', async (at) => zero(await rig.file(at, MANIFEST)), 'all'],
  ['MANIFEST flipped', async (at) => flip(await rig.file(at, MANIFEST), 0.3), 'all'],
  ['CURRENT gone', async (at) => rm(await rig.file(at, CURRENT)), 'all'],
  ['CURRENT empty', async (at) => empty(await rig.file(at, CURRENT)), 'all'],
  ['CURRENT of NULs', async (at) => zero(await rig.file(at, CURRENT)), 'all'],
  [
    'CURRENT names nothing',
    async (at) => writeFile(rig.path(at, 'CURRENT'), 'MANIFEST-77\n'),
    'all',
  ],
  ['CURRENT a folder', async (at) => replaceByFolder(rig.path(at, 'CURRENT')), 'all'],
  ['LOCK a folder', async (at) => replaceByFolder(rig.path(at, 'LOCK')), 'all'],
  ['LOCK gone', async (at) => rm(rig.path(at, 'LOCK')), 'all'],
  ['a table or write-ahead file empty', async (at) => empty(await data(at)), 'some'],
  ['a table or write-ahead file of NULs', async (at) => zero(await data(at)), 'some'],
  ['a table or write-ahead file gone', async (at) => rm(await data(at)), 'some'],
  ['a table or write-ahead file a folder', async (at) => replaceByFolder(await data(at)), 'some'],
  ['every file empty', async (at) => everyFileEmpty(at), 'none'],
  ['a file in place of the folder', async (at) => replaceByFile(rig.path(at)), 'none'],
  ['the folder gone', async (at) => rm(rig.path(at), { recursive: true }), 'none'],
];

async function data(folder: string): Promise<string> {
  return rig.file(folder, TABLE).catch(() => rig.file(folder, WAL));
}

async function everyFileEmpty(folder: string): Promise<void> {
  for (const which of [TABLE, WAL, MANIFEST, CURRENT]) {
    await rig.file(folder, which).then(empty, () => {});
  }
}

const TOTAL = 3000;

describe.each([
  ['oldest', 0],
  ['middle', 2],
  ['newest', -1],
] as const)('the %s segment', (_, index) => {
  const folder = (): string => join('log', rig.segments.at(index) ?? '');

  test.each(HARMS)('%s', async (_name, harm, left) => {
    await harm(folder());
    const { store, read, ledger } = await survive(rig);
    expect(read).toBeGreaterThan(left === 'all' ? TOTAL - 1 : 1500);
    const lost = ledger.reduce((sum, { records }) => sum + records, 0);
    expect(lost).toBe(TOTAL - read); // It was closed cleanly, so it is known exactly.
    expect(store.identity.incarnation).toBe(rig.incarnation);
    await store.close();
  });
});

describe('the state database', () => {
  test.each(HARMS)('%s', async (_name, harm, left) => {
    await harm('state');
    const { store, read, ledger } = await survive(rig);
    expect(read).toBe(TOTAL);
    expect(store.identity.incarnation).toBe(rig.incarnation);
    const positions = await store.positions('mirror.up', { pins: true });
    const [first] = rig.topic.streams;
    const whole = [[first, 700]];
    const possible = { all: [whole], some: [whole, []], none: [[]] }[left];
    expect(possible).toContainEqual([...positions.all()]);
    // Where any may be lost, it is told, and a mirror without one begins at the start.
    const told = ledger.some(({ topic, reason }) => topic === '*' && reason === 'corruption');
    expect(left === 'none' ? told : true).toBe(true);
    await store.close();
  });
});

test('the newest segment gone after a kill: nobody knows how far it went, and no offset comes twice', async () => {
  await forgetCleanClose(rig);
  await rm(rig.path('log', rig.segments.at(-1) ?? ''), { recursive: true });
  const { store, read } = await survive(rig);
  expect(read).toBeGreaterThan(2000);
  await store.close();
});

test('the newest segment gone after a kill, with the topics defined in it: they are known, as they were', async () => {
  const { place } = rig;
  const names = ['a', 'b'];
  const running = await place.open({ ...SMALL, gateway: 'gw' });
  const { stateSyncs } = running.counters();
  const given = names.map((name) => running.writer.defineTopic(name, FOREVER));
  for (const topic of given) await fill(running, topic, 60);
  await expect.poll(() => running.counters().stateSyncs).toBeGreaterThan(stateSyncs);
  await leaveAsKilled(rig, running);
  await rm(rig.path('log', rig.segments.at(-1) ?? ''), { recursive: true });
  const store = await place.open({ ...SMALL, gateway: 'gw' });
  expect(names.map((name) => store.reader.topic(name))).toEqual(given);
  for (const name of names) {
    const [stream] = store.writer.defineTopic(name, FOREVER).streams as [StreamId];
    expect(await append(store, stream)).toBeGreaterThanOrEqual(30);
  }
  await store.close();
});

test('the whole log gone after a kill: the same log goes on, far beyond every offset it gave', async () => {
  await forgetCleanClose(rig);
  await rm(rig.path('log'), { recursive: true });
  const { store, read } = await survive(rig);
  expect(read).toBe(0);
  expect(store.identity.incarnation).toBe(rig.incarnation);
  await store.close();
});

test('a file in place of log/ is set aside', async () => {
  await replaceByFile(rig.path('log'));
  const { store, aside } = await survive(rig);
  expect(aside).toEqual(['0001-log']);
  await store.close();
});

test('a file in place of quarantine/ is set aside too', async () => {
  await replaceByFile(rig.path('quarantine'));
  const { store, aside, read } = await survive(rig);
  expect(aside).toEqual(['0001-quarantine']);
  expect(read).toBe(TOTAL);
  await store.close();
});

test.each([
  ['oldest', 0],
  ['newest', -1],
] as const)('a segment of another log in place of the %s one is set aside', async (_, index) => {
  const other = await onDisk.make();
  const store = await other.open({ ...SMALL, random: seededRandom(77) });
  await fill(store, store.writer.defineTopic('t', FOREVER), 3000, { bytes: 200, perCommit: 30 });
  await store.close();
  const name = rig.segments.at(index) ?? '';
  await rm(rig.path('log', name), { recursive: true });
  await cp(join(other.folder, 'log', name), rig.path('log', name), { recursive: true });
  await other.remove();
  const survived = await survive(rig);
  // What its repair left over is set aside before the rest of it.
  expect(survived.aside).toContainEqual(expect.stringMatching(/^\d{4}-segment-\d+$/u));
  expect(survived.read).toBeGreaterThan(1500);
  expect(survived.read).toBeLessThan(TOTAL);
  await survived.store.close();
});

test('a segment in place of another one of the same log is set aside', async () => {
  const [, second = '', third = ''] = rig.segments;
  await rm(rig.path('log', third), { recursive: true });
  await cp(rig.path('log', second), rig.path('log', third), { recursive: true });
  const { store, aside } = await survive(rig);
  expect(aside).toHaveLength(1);
  await store.close();
});

test('a MANIFEST of another segment: LevelDB would delete every table that it does not name', async () => {
  const [first = '', second = ''] = rig.segments;
  const foreign = await readFile(await rig.file(join('log', first), MANIFEST));
  await writeFile(await rig.file(join('log', second), MANIFEST), foreign);
  const { store, read } = await survive(rig);
  expect(read).toBe(TOTAL);
  await store.close();
});

test('two segments that changed places: nothing is read twice or at the wrong place', async () => {
  const [, second = '', third = ''] = rig.segments;
  await rename(rig.path('log', second), rig.path('log', 'x'));
  await rename(rig.path('log', third), rig.path('log', second));
  await rename(rig.path('log', 'x'), rig.path('log', third));
  const { store, aside } = await survive(rig);
  expect(aside).not.toEqual([]);
  await store.close();
});

test('the state database of another log is set aside, and the log goes on', async () => {
  const other = await onDisk.make();
  await (await other.open({ random: seededRandom(77) })).close();
  await rm(rig.path('state'), { recursive: true });
  await cp(join(other.folder, 'state'), rig.path('state'), { recursive: true });
  await other.remove();
  const { store, aside, read } = await survive(rig);
  expect(aside).toEqual(['0001-state']);
  expect(read).toBe(TOTAL);
  expect(store.identity.incarnation).toBe(rig.incarnation);
  await store.close();
});
