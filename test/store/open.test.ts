import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { LIMITS } from '../../src/limits.ts';
import { seededRandom } from '../../src/random.ts';
import type { StreamId } from '../../src/record.ts';
import { CheckedDatabase } from '../../src/store/checked-database.ts';
import type { Database } from '../../src/store/database.ts';
import { levelEngine } from '../../src/store/level-engine.ts';
import type { PositionStore, Store } from '../../src/store/log.ts';
import { packed, unpacked } from '../../src/store/pack.ts';
import { readTail } from '../../src/store/recovery.ts';
import { Segments } from '../../src/store/segments.ts';
import {
  append,
  fill,
  FOREVER,
  entriesOf,
  onDisk,
  readAll,
  rememberingLogger,
  type Place,
} from '../support/store-kit.ts';

let place: Place;

beforeEach(async () => {
  place = await onDisk.make();
});
afterEach(async () => {
  await chmod(place.folder, 0o700).catch(() => {});
  await place.remove();
});

test('a folder has an incarnation of 16 hex characters, made once', async () => {
  const store = await place.open({ random: seededRandom(5) });
  const { identity } = store;
  expect(identity.incarnation).toMatch(/^[0-9a-f]{16}$/u);
  expect(identity.formatVersion).toBe(2);
  await store.close();
  const again = await place.open({ random: seededRandom(6) });
  expect(again.identity).toEqual(identity);
  await again.close();
});

test('a second opening in this process fails at once with its own code', async () => {
  const store = await place.open();
  await expect(place.open()).rejects.toMatchObject({
    code: 'STORE_LOCKED',
    message: expect.stringMatching(/in use by another process: stop the gatelog that runs on it/u),
  });
  await append(store, store.writer.defineTopic('t', FOREVER).streams[0] as StreamId);
  await store.close();
  await (await place.open()).close();
});

test('a second process fails at once with its own code', async () => {
  const child = spawn(process.execPath, ['test/support/store-child.ts', place.folder, 'hold'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  try {
    await once(child.stdout, 'data');
    await expect(place.open()).rejects.toMatchObject({ code: 'STORE_LOCKED' });
  } finally {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  await (await place.open()).close();
});

test('what another process has open is not repaired, however it looks at the moment', async () => {
  await (await place.open()).close();
  const store = await place.open();
  const state = join(place.folder, 'state');
  const table = (await readdir(state)).find((name) => name.endsWith('.ldb')) ?? '';
  // As while that process exchanges a table: to LevelDB's list one is missing.
  await rename(join(state, table), join(place.folder, 'elsewhere'));
  const before = (await readdir(state)).toSorted();
  await expect(place.open()).rejects.toMatchObject({ code: 'STORE_LOCKED' });
  const engine = levelEngine(place.folder, false);
  await expect(engine.repairState?.()).rejects.toMatchObject({ code: 'STORE_LOCKED' });
  const note = { why: 'it is damaged' };
  await expect(engine.setAside?.('state', note)).rejects.toMatchObject({ code: 'STORE_LOCKED' });
  expect((await readdir(state)).toSorted()).toEqual(before);
  await rename(join(place.folder, 'elsewhere'), join(state, table));
  await store.close();
});

test('a newer format is refused, and left as it is', async () => {
  await (await place.open()).close();
  const logger = rememberingLogger();
  const raw = await levelEngine(place.folder, false).openState();
  const state = new CheckedDatabase(raw, logger);
  const key = Buffer.from('identity');
  const identity = unpacked((await state.get(key)) ?? Buffer.alloc(0)) as object;
  await state.write([{ key, value: packed({ ...identity, formatVersion: 3 }) }]);
  await state.close();
  await expect(place.open()).rejects.toMatchObject({
    code: 'STORE_FORMAT_NEWER',
    message: expect.stringMatching(/has format 3, and this gatelog knows up to format 2/u),
  });
});

test('a file in the way is told', async () => {
  const file = join(place.folder, 'file');
  await writeFile(file, '');
  await expect(place.open({ folder: file })).rejects.toMatchObject({
    code: 'STORE_UNAVAILABLE',
    message: expect.stringMatching(/can't be opened .*: a file stands in the way/u),
  });
});

test('a read-only or forbidden path is told', async () => {
  // /proc takes no folders from anybody, root included.
  await expect(place.open({ folder: '/proc/gatelog' })).rejects.toMatchObject({
    code: 'STORE_UNAVAILABLE',
    message: expect.stringContaining("the data folder /proc/gatelog can't be opened"),
  });
});

test('reading only: nothing is made in an empty folder, and the error says so', async () => {
  const empty = join(place.folder, 'empty');
  await mkdir(empty);
  await expect(place.open({ folder: empty, readOnly: true })).rejects.toMatchObject({
    code: 'STORE_UNAVAILABLE',
    message: expect.stringMatching(/there is no gatelog data there/u),
  });
  expect(await readdir(empty)).toEqual([]);
});

test('reading only: records are read; defining, appending and retention do nothing', async () => {
  const store = await place.open();
  const topic = store.writer.defineTopic('t', { ...FOREVER, retentionMs: 1 });
  await fill(store, topic, 10);
  await store.close();
  const looker = await place.open({ readOnly: true, retentionSchedule: '* * * * * *' });
  await looker.retain();
  expect(
    (await readAll(looker, topic.streams)).records.get(topic.streams[0] as StreamId),
  ).toHaveLength(5);
  expect(() => looker.writer.defineTopic('u', FOREVER)).toThrow(/opened for reading only/u);
  await expect(append(looker, topic.streams[0] as StreamId)).rejects.toThrow(/reading only/u);
  await looker.close();
});

test('a schedule that is none is refused', async () => {
  await expect(place.open({ retentionSchedule: 'every day' })).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringMatching(/"every day" is no cron expression/u),
  });
  await (await place.open()).close();
});

test('a log that was taken away goes on after every offset it gave, and the ledger says what went', async () => {
  const store = await place.open();
  const topic = store.writer.defineTopic('t', FOREVER);
  const stream = topic.streams[0] as StreamId;
  await fill(store, topic, 10);
  await (await store.positions('mirror', { pins: true })).advance(new Map([[stream, 3]]));
  const { incarnation } = store.identity;
  await store.close();
  await rm(join(place.folder, 'log'), { recursive: true });
  const logger = rememberingLogger();
  const again = await place.open({ logger, random: seededRandom(99) });
  expect(again.identity.incarnation).toBe(incarnation);
  expect(logger.lines.find(({ level }) => level === 'error')?.message).toMatch(
    /nothing of the log/u,
  );
  expect((await again.positions('mirror', { pins: true })).get(stream)).toBe(3);
  expect(await append(again, again.writer.defineTopic('t', FOREVER).streams[0] as StreamId)).toBe(
    5,
  );
  expect(await entriesOf(again)).toMatchObject([
    { topic: 't', partition: 0, fromOffset: 0, toOffset: 5, reason: 'corruption' },
    { topic: 't', partition: 1, fromOffset: 0, toOffset: 5, reason: 'corruption' },
  ]);
  await again.close();
});

test('a log that was taken away and of which nothing is remembered begins anew, as another incarnation', async () => {
  const store = await place.open();
  const topic = store.writer.defineTopic('t', FOREVER);
  const stream = topic.streams[0] as StreamId;
  await fill(store, topic, 10);
  await (await store.positions('mirror', { pins: true })).advance(new Map([[stream, 5]]));
  const { incarnation } = store.identity;
  await store.close();
  await rm(join(place.folder, 'log'), { recursive: true });
  const state = await levelEngine(place.folder, false).openState();
  await state.write([{ key: Buffer.from('log-end'), value: undefined }]);
  await state.close();
  const logger = rememberingLogger();
  const again = await place.open({ logger, random: seededRandom(99) });
  expect(again.identity.incarnation).not.toBe(incarnation);
  expect(logger.lines.find(({ level }) => level === 'error')?.message).toMatch(/begins anew/u);
  expect((await again.positions('mirror', { pins: true })).get(stream)).toBeUndefined();
  expect(await append(again, again.writer.defineTopic('t', FOREVER).streams[0] as StreamId)).toBe(
    0,
  );
  await again.close();
});

test('a log and its state that were taken away together: a new one says that it is one', async () => {
  const store = await place.open();
  await fill(store, store.writer.defineTopic('t', FOREVER), 10);
  const { incarnation } = store.identity;
  expect(await entriesOf(store)).toEqual([]);
  await store.close();
  await rm(join(place.folder, 'log'), { recursive: true });
  await rm(join(place.folder, 'state'), { recursive: true });
  const logger = rememberingLogger();
  const again = await place.open({ logger, random: seededRandom(99) });
  expect(again.identity.incarnation).not.toBe(incarnation);
  const text = /it was gone, and the log with it: a new log begins/u;
  expect(logger.lines.find(({ level }) => level === 'error')?.message).toMatch(text);
  expect(await entriesOf(again)).toMatchObject([
    { topic: '*', records: 0, detail: expect.stringMatching(text) as string },
  ]);
  await again.close();
});

test('a state database that was taken away: topics, offsets and incarnation are in the log', async () => {
  const store = await place.open();
  const topic = store.writer.defineTopic('t', FOREVER);
  await fill(store, topic, 10);
  const { identity } = store;
  await store.close();
  await rm(join(place.folder, 'state'), { recursive: true });
  const again = await place.open({ random: seededRandom(99) });
  expect(again.identity).toEqual(identity);
  expect(again.reader.topic('t')).toEqual(topic);
  expect(await append(again, topic.streams[0] as StreamId)).toBe(5);
  await again.close();
});

test('a position that was altered is known to be lost also when the first opening after it is refused', async () => {
  const options = { gateway: 'one' };
  const store = await place.open(options);
  const [stream] = store.writer.defineTopic('t', FOREVER).streams as [StreamId];
  await append(store, stream);
  await (await store.positions('mirror.up', { pins: true })).advance(new Map([[stream, 1]]));
  await store.close();
  const raw = await levelEngine(place.folder, false).openState();
  await raw.put(Buffer.from('position/mirror.up'), Buffer.from('rotten'), true);
  await raw.close();
  await expect(place.open({ gateway: 'two' })).rejects.toMatchObject({ code: 'STORE_FOREIGN' });
  const again = await place.open(options);
  const position = await again.positions('mirror.up', { pins: true });
  expect(position.get(stream)).toBeUndefined();
  expect(position).toMatchObject({ lost: true, lostBelow: FOREVER.partitions });
  // What comes later was not lost; what was, still is after clean stops.
  again.writer.defineTopic('later', FOREVER);
  await again.close();
  const last = await place.open(options);
  const positions = await last.positions('mirror.up', { pins: true });
  expect(positions).toMatchObject({ lost: true, lostBelow: FOREVER.partitions });
  await last.close();
});

test('where a lost position is known again stays known, until it is lost again', async () => {
  const rot = async (): Promise<void> => {
    const raw = await levelEngine(place.folder, false).openState();
    await raw.put(Buffer.from('position/mirror.up'), Buffer.from('rotten'), true);
    await raw.close();
  };
  const positionsOf = (store: Store): Promise<PositionStore> =>
    store.positions('mirror.up', { pins: true });
  const store = await place.open();
  const topic = store.writer.defineTopic('t', { ...FOREVER, partitions: 2 });
  const [one, other] = topic.streams as [StreamId, StreamId];
  await append(store, one);
  await (await positionsOf(store)).advance(new Map([[one, 1]]));
  expect((await positionsOf(store)).isLost(one)).toBe(false);
  await store.close();
  await rot();

  const again = await place.open();
  const positions = await positionsOf(again);
  expect([one, other].map((stream) => positions.isLost(stream))).toEqual([true, true]);
  await positions.found([one]);
  const [later] = again.writer.defineTopic('later', FOREVER).streams as [StreamId];
  expect([one, other, later].map((at) => positions.isLost(at))).toEqual([false, true, false]);
  await again.close();
  const third = await place.open();
  const kept = await positionsOf(third);
  expect([one, other, later].map((at) => kept.isLost(at))).toEqual([false, true, false]);
  await third.close();

  await rot();
  const last = await place.open();
  const lost = await positionsOf(last);
  expect([one, other, later].map((at) => lost.isLost(at))).toEqual([true, true, true]);
  await last.close();
});

test('opening reads one segment and no further back than a checkpoint, whatever the size', async () => {
  const options = { segmentBytes: 200_000, compression: 'none' } as const;
  const store = await place.open(options);
  const topic = store.writer.defineTopic('t', FOREVER);
  await fill(store, topic, 4000, { bytes: 1000, perCommit: 10 });
  const { segments } = store.counters();
  expect(segments).toBeGreaterThan(10);
  const { endOffset } = store.reader.range(topic.streams[0] as StreamId);
  await store.close();

  const opened: number[] = [];
  const engine = levelEngine(place.folder, false);
  const counting = {
    folder: engine.folder,
    openState: () => engine.openState(),
    segments: () => engine.segments(),
    removeSegment: (first: number) => engine.removeSegment(first),
    segmentBytes: (first: number) => engine.segmentBytes(first),
    openSegment: (first: number, how: 'create' | 'existing'): Promise<Database> => {
      opened.push(first);
      return engine.openSegment(first, how);
    },
  };
  const again = await place.open({ ...options, engine: counting });
  // The newest; and it may be one that was opened ahead of need and is empty.
  expect(opened.length).toBeLessThanOrEqual(2);
  expect(again.reader.range(topic.streams[0] as StreamId).endOffset).toBe(endOffset);
  await again.close();

  const looking = new Segments(engine);
  await looking.load();
  const tail = await looking.using(looking.newest as number, readTail);
  const bytes = tail.commits.reduce((sum, { storedBytes }) => sum + storedBytes, 0);
  expect(bytes).toBeLessThan(LIMITS.checkpointEveryBytes + LIMITS.commitBytes);
  await looking.close();
});
