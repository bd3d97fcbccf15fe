import { createHash } from 'node:crypto';
import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { locksIn } from '../../src/folder-lock.ts';
import type { Store } from '../../src/store/log.ts';
import { lookError } from '../../src/store/look-error.ts';
import {
  damageRig,
  empty,
  flip,
  forgetCleanClose,
  SMALL,
  zero,
  type DamageRig,
} from '../support/damage-kit.ts';
import { startProcess, type Running } from '../support/process.ts';
import { FOREVER, readAll } from '../support/store-kit.ts';

/** Who looks at a stopped folder changes nothing in it, and reads what the agent would. */
let rig: DamageRig;
let scratch: string;
beforeEach(async () => {
  rig = await damageRig();
  scratch = await mkdtemp(join(tmpdir(), 'gatelog-scratch-'));
  vi.stubEnv('TMPDIR', scratch);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(scratch, { recursive: true });
  await rig.place.remove();
});

/** Every file below, with its contents and times. */
async function snapshot(): Promise<string[]> {
  const lines: string[] = [];
  const { folder } = rig.place;
  const entries = await readdir(folder, { recursive: true });
  for (const name of ['.', ...entries].toSorted()) {
    const path = join(folder, name);
    const { mtimeMs, size, mode } = await lstat(path);
    const text = (await lstat(path)).isFile() ? await readFile(path) : '';
    const digest = createHash('sha256').update(text).digest('hex');
    lines.push([name, mode, size, mtimeMs, digest].join(' '));
  }
  return lines;
}

async function readFrom(store: Store): Promise<number> {
  const { streams } = store.reader.topic('t') ?? { streams: [] };
  const { records } = await readAll(store, streams);
  for (const [stream, found] of records) {
    for (const record of found) expect(record).toEqual(rig.whole.get(stream)?.[record.offset]);
  }
  await store.close();
  return [...records.values()].flat().length;
}

/** How many records a look reads; the folder is as it was. */
async function look(): Promise<number> {
  const before = await snapshot();
  const read = await readFrom(await rig.place.open({ ...SMALL, readOnly: true }));
  expect(await snapshot()).toEqual(before);
  expect(await readdir(scratch)).toEqual([]);
  return read;
}

const ALL = 3000;

/** LevelDB ends the process that reads it. */
async function zeroFirstPage(table: string): Promise<void> {
  const bytes = await readFile(table);
  await writeFile(table, bytes.fill(0, 0, 4096));
}

test('a folder that was closed, and one that was killed', async () => {
  expect(await look()).toBe(ALL);
  await forgetCleanClose(rig);
  expect(await look()).toBe(ALL);
});

test('a folder in which nothing may be written', async () => {
  const { folder } = rig.place;
  const names = await readdir(folder, { recursive: true });
  const paths = [folder, ...names.map((name) => join(folder, name))];
  for (const path of paths) await chmod(path, (await lstat(path)).isDirectory() ? 0o555 : 0o444);
  expect(await look()).toBe(ALL);
  for (const path of paths) await chmod(path, 0o755);
});

describe('damage', () => {
  test.each<readonly [string, (segment: string) => Promise<void>]>([
    ['MANIFEST gone', async (at) => rm(await rig.file(at, /^MANIFEST/u))],
    ['MANIFEST of NULs', async (at) => zero(await rig.file(at, /^MANIFEST/u))],
    ['CURRENT gone', async (at) => rm(rig.path(at, 'CURRENT'))],
    ['CURRENT empty', async (at) => empty(rig.path(at, 'CURRENT'))],
    ['a file with records gone', async (at) => rm(await rig.file(at, /\.(?:ldb|log)$/u))],
    ['a file with records flipped', async (at) => flip(await rig.file(at, /\.(?:ldb|log)$/u), 0.4)],
  ])('%s: the same is read as by the agent', async (_, damage) => {
    const [oldest = '', second = ''] = rig.segments;
    const newest = rig.segments.at(-1) ?? '';
    for (const segment of [oldest, newest]) await damage(join('log', segment));
    expect(second).not.toBe(newest);
    const looked = await look();
    const store = await rig.place.open({ ...SMALL, gateway: 'gw' });
    store.writer.defineTopic('t', FOREVER);
    expect(looked).toBe(await readFrom(store));
  });

  test('a page of a table zeroed: who looks does not die of it, and reads the rest', async () => {
    await readFrom(await rig.place.open({ ...SMALL, gateway: 'gw' })); // Makes tables of everything.
    const newest = rig.segments.at(-1) ?? '';
    for (const segment of [rig.segments[0] ?? '', newest]) {
      await zeroFirstPage(await rig.file(join('log', segment), /\.ldb$/u));
    }
    const looked = await look();
    expect(looked).toBeLessThan(ALL);
    expect(looked).toBeGreaterThan(ALL / 2);
    expect(await look()).toBe(looked);
    const store = await rig.place.open({ ...SMALL, gateway: 'gw' });
    store.writer.defineTopic('t', FOREVER);
    expect(await readFrom(store)).toBe(looked);
  });

  test.each<readonly [string, () => Promise<void>]>([
    ['state/ gone', () => rm(rig.path('state'), { recursive: true })],
    ['MANIFEST of state/ gone', async () => rm(await rig.file('state', /^MANIFEST/u))],
    ['CURRENT of state/ of NULs', () => zero(rig.path('state', 'CURRENT'))],
  ])('%s: all records are read', async (_, damage) => {
    await damage();
    expect(await look()).toBe(ALL);
  });
});

test('a running agent is told by its lock', async () => {
  const store = await rig.place.open(SMALL);
  const looking = rig.place.open({ ...SMALL, readOnly: true });
  await expect(looking).rejects.toMatchObject({ code: 'STORE_LOCKED' });
  await store.close();
  expect(await look()).toBe(ALL);
});

describe('who is ended while it looks', () => {
  const startLooking = async (): Promise<Running> => {
    const child = await startProcess({
      command: process.execPath,
      args: ['test/support/looking-child.ts', rig.place.folder],
      env: { TMPDIR: scratch },
      holdInput: true,
    });
    await child.waitFor(/^looking$/mu);
    expect(await readdir(scratch)).not.toEqual([]);
    return child;
  };

  test.each(['SIGHUP', 'SIGINT', 'SIGTERM'] as const)('by %s leaves nothing', async (signal) => {
    const child = await startLooking();
    child.signal(signal);
    expect(await child.exited).toEqual({ code: null, signal });
    expect(await readdir(scratch)).toEqual([]);
  });

  test('by SIGKILL: the next one removes what it left, and nothing else', async () => {
    const living = await startLooking();
    const mine = await readdir(scratch);
    const killed = await startLooking();
    await killed.kill();
    await mkdir(join(scratch, 'gatelog-look-mine'));
    const store = await rig.place.open({ ...SMALL, readOnly: true });
    await store.close();
    expect(await readdir(scratch)).toEqual(expect.arrayContaining([...mine, 'gatelog-look-mine']));
    expect(await readdir(scratch)).toHaveLength(mine.length + 1);
    await living.kill();
  });
});

test('an agent that is started meanwhile and removes what is looked at is told, not called damage', async () => {
  const looking = await rig.place.open({ ...SMALL, readOnly: true });
  const agent = await rig.place.open(SMALL);
  const [oldest = ''] = (await readdir(rig.path('log'))).toSorted();
  await rm(rig.path('log', oldest), { recursive: true });
  const { streams } = looking.reader.topic('t') ?? { streams: [] };
  await expect(readAll(looking, streams)).rejects.toMatchObject({ code: 'STORE_LOCKED' });
  await looking.close();
  await agent.close();
});

test('no room for the copies: it says where, and what to do', () => {
  const error = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
  const { code, message } = lookError('/data', error);
  expect(code).toBe('STORE_FULL');
  expect(message).toContain(scratch);
  expect(message).toContain('TMPDIR');
});

test('locks as the kernel lists them', () => {
  const text =
    '1: FLOCK  ADVISORY  WRITE 6478 fe:00:9978080 0 EOF\n' +
    '1: -> POSIX  ADVISORY  WRITE 15866 fe:00:9978080 0 EOF\n' +
    '2: POSIX  ADVISORY  WRITE 14660 fe:00:10061243 0 EOF\n' +
    '3: POSIX  ADVISORY  READ  14661 103:2:17 128 128\n';
  expect(locksIn(text)).toEqual([{ pid: '14660', device: 'fe:00', inode: '10061243' }]);
});
