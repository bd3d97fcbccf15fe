import { cp, readFile, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { StreamId } from '../../src/record.ts';
import type { Store, TopicInfo, TopicOptions } from '../../src/store/log.ts';
import { CheckedDatabase } from '../../src/store/checked-database.ts';
import { levelEngine } from '../../src/store/level-engine.ts';
import { openLevel } from '../../src/store/level-database.ts';
import { packed, unpacked } from '../../src/store/pack.ts';
import { restWritten, saveRest } from '../../src/store/wal-rest.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { empty, flip, zero } from '../support/damage-kit.ts';
import {
  append,
  entriesOf,
  fill,
  FOREVER,
  onDisk,
  type Place,
  readAll,
} from '../support/store-kit.ts';

/**
 * The newest write-ahead file is damaged after a kill, in ways that LevelDB takes for the end that a
 * power cut leaves. What was acknowledged is told as lost, and no offset is given twice.
 */
const RAW = { compression: 'none' } as const;
const RECORDS = 300;
let place: Place;
let killed: Place;
let topic: TopicInfo;
/** Acknowledged, by stream. */
let given: ReadonlyMap<StreamId, number>;

beforeEach(async () => {
  place = await onDisk.make();
  killed = await onDisk.make();
  const store = await place.open(RAW);
  topic = store.writer.defineTopic('t', FOREVER);
  await fill(store, topic, RECORDS, { bytes: 200, perCommit: 10 });
  await store.close();
});
afterEach(async () => {
  await place.remove();
  await killed.remove();
});

/** A second life, so that all of the first stands in tables, which is killed after `work`. */
async function killAfter(work: (store: Store) => Promise<void>): Promise<string> {
  const store = await place.open(RAW);
  await work(store);
  given = new Map(topic.streams.map((stream) => [stream, store.reader.range(stream).endOffset]));
  await cp(place.folder, killed.folder, { recursive: true });
  await store.close();
  const segments = (await readdir(join(killed.folder, 'log'))).toSorted();
  const folder = join(killed.folder, 'log', segments.at(-1) ?? '');
  const logs = (await readdir(folder)).filter((name) => name.endsWith('.log')).toSorted();
  return join(folder, logs.at(-1) ?? '');
}

/** Opens the damaged copy twice: what is there, what is declared, and where offsets go on. */
async function survivors(): Promise<{ readonly read: number; readonly declared: number }> {
  const lost = async (store: Store): Promise<number> => {
    const entries = await entriesOf(store);
    return entries
      .filter(({ reason }) => reason === 'corruption')
      .reduce((sum, { records }) => sum + records, 0);
  };
  let store = await killed.open(RAW);
  const drained = await readAll(store, topic.streams);
  let read = 0;
  for (const stream of topic.streams) {
    const offset = await append(store, stream);
    expect(offset).toBeGreaterThanOrEqual(given.get(stream) ?? 0);
    read += drained.records.get(stream)?.length ?? 0;
  }
  const declared = await lost(store);
  await store.close();
  store = await killed.open(RAW);
  expect(await lost(store)).toBe(declared);
  await store.close();
  return { read, declared };
}

async function written(store: Store): Promise<void> {
  await fill(store, topic, RECORDS, { bytes: 200, perCommit: 10 });
}

/** As a mirror does: with its position it is noted that the log held all before. */
async function noted(store: Store): Promise<void> {
  await written(store);
  const positions = await store.positions('up', { pins: true });
  await positions.advance(new Map([[topic.streams[0] as StreamId, 10]]));
}

describe('after a reader has noted its position', () => {
  test.each([
    ['gone', (file: string) => rm(file), 300],
    ['empty', empty, 300],
    ['of NULs', zero, 300],
    [
      'cut in half',
      async (file: string) => truncate(file, Math.floor((await stat(file)).size / 2)),
      440,
    ],
    ['altered at its beginning', (file: string) => flip(file, 0.001), 300],
    ['altered in its middle', (file: string) => flip(file, 0.5), 400],
    ['altered at its end', (file: string) => flip(file, 0.999), 580],
  ] as const)('a write-ahead file that is %s', async (_, harm, least) => {
    await harm(await killAfter(noted));
    const { read, declared } = await survivors();
    expect(read).toBeGreaterThanOrEqual(least);
    expect(read).toBeLessThan(2 * RECORDS);
    expect(declared).toBeGreaterThanOrEqual(2 * RECORDS - read);
  });
});

test('the first commit of a life is noted at once, whoever writes what', async () => {
  const file = await killAfter(async (store) => {
    const { stateSyncs } = store.counters();
    await append(store, topic.streams[0] as StreamId);
    await expect.poll(() => store.counters().stateSyncs).toBeGreaterThan(stateSyncs);
  });
  await empty(file);
  expect((await survivors()).declared).toBeGreaterThan(0);
});

test('so is the first commit of each write-ahead file', async () => {
  const file = await killAfter(async (store) => {
    // LevelDB begins a new file after 4 MiB; noted is what 3 of 5 MB held.
    await fill(store, topic, 300, { bytes: 10_000, perCommit: 30 });
    await store.keyValue('any').put('key', new Uint8Array(1));
    await fill(store, topic, 200, { bytes: 10_000, perCommit: 20 });
  });
  expect((await stat(file)).size).toBeGreaterThan(100_000);
  expect((await stat(file)).size).toBeLessThan(4_000_000);
  await empty(file);
  expect((await survivors()).declared).toBeGreaterThan(0);
});

test('a mirror that notes in its journal what it sends has noted that the log held it', async () => {
  const file = await killAfter(async (store) => {
    await written(store);
    await store.keyValue('kafka.up').put('sent', new Uint8Array(9));
  });
  await truncate(file, Math.floor((await stat(file)).size * 0.99));
  const { read, declared } = await survivors();
  expect(declared).toBeGreaterThanOrEqual(2 * RECORDS - read);
});

test('a file that ends early, as a power cut leaves it, is no loss', async () => {
  const file = await killAfter(written);
  await truncate(file, (await stat(file)).size - 5);
  const store = await killed.open(RAW);
  expect(await entriesOf(store)).toEqual([]);
  await store.close();
});

test('a mark that could not be moved on says nothing of the end', async () => {
  const file = await killAfter(written);
  const raw = await levelEngine(killed.folder, false).openState();
  const state = new CheckedDatabase(raw, silentLogger);
  const key = Buffer.from('log-synced');
  const [incarnation] = unpacked((await state.get(key)) ?? Buffer.alloc(0)) as [string, number];
  await state.write([{ key, value: packed([incarnation, 1]) }]);
  await state.close();
  // With the newest segment all that the second life wrote is gone.
  await rm(dirname(file), { recursive: true });
  const { declared } = await survivors();
  expect(declared).toBeGreaterThanOrEqual(RECORDS);
});

test('an end that was passed over is not passed over again by a start that writes nothing', async () => {
  await empty(await killAfter(noted));
  const first = await killed.open(RAW);
  const told = await entriesOf(first);
  const ends = topic.streams.map((stream) => first.reader.range(stream).endOffset);
  const again = await onDisk.make();
  await cp(killed.folder, again.folder, { recursive: true });
  await first.close();
  const second = await again.open(RAW);
  expect(topic.streams.map((stream) => second.reader.range(stream).endOffset)).toEqual(ends);
  expect((await entriesOf(second)).map(({ records }) => records)).toEqual(
    told.map(({ records }) => records),
  );
  await second.close();
  await again.remove();
});

test('what another file left behind the end of this one is not taken for its records', async () => {
  const file = await killAfter(written);
  const bytes = await readFile(file);
  const block = 32_768 * Math.floor(bytes.length / 32_768);
  // Torn in the middle of a commit; behind it stands, where a block begins, a list of LevelDB's files.
  const segment = dirname(file);
  const list = (await readdir(segment)).find((name) => name.startsWith('MANIFEST')) ?? '';
  const torn = Buffer.concat([bytes.subarray(0, block - 100), Buffer.alloc(100)]);
  await writeFile(file, Buffer.concat([torn, await readFile(join(segment, list))]));
  const store = await killed.open(RAW);
  const { records, gaps } = await readAll(store, topic.streams);
  const read = [...records.values()].reduce((sum, { length }) => sum + length, 0);
  expect(read).toBeGreaterThan(RECORDS);
  expect(gaps).toEqual([]);
  expect(await entriesOf(store)).toEqual([]);
  await append(store, topic.streams[0] as StreamId);
  await store.close();
});

/** Nobody noted anything after the first commit: only the file itself tells. */
describe('where nothing else tells', () => {
  test.each([
    ['at its beginning', 0.001, 589],
    ['in its middle', 0.5, 589],
    ['in its last but one commit', 0.951, 589],
  ] as const)('all behind bytes that were altered %s is there', async (_, at, least) => {
    await flip(await killAfter(written), at);
    const { read, declared } = await survivors();
    expect(read).toBeGreaterThanOrEqual(least);
    expect(read).toBeLessThan(2 * RECORDS);
    expect(declared).toBe(2 * RECORDS - read); // Exactly.
    const aside = await readdir(join(killed.folder, 'quarantine'));
    expect(aside.filter((name) => name.endsWith('.altered'))).toHaveLength(1);
  });
});

test('who only looks finds what the agent would, and leaves the file as it is', async () => {
  const file = await killAfter(written);
  await flip(file, 0.5);
  const before = await readFile(file);
  const look = await killed.open({ ...RAW, readOnly: true });
  const { records } = await readAll(look, topic.streams);
  await look.close();
  expect(await readFile(file)).toEqual(before);
  const read = [...records.values()].reduce((sum, { length }) => sum + length, 0);
  expect(read).toBe((await survivors()).read);
  expect(read).toBeGreaterThan(2 * RECORDS - 20);
});

/** Its commits are synced within a second of their own, unless others are. */
const QUICK: TopicOptions = { ...FOREVER, partitions: 1, durability: 'os' };

/** One commit each; none but the last is waited for to be synced, if that is of class fsync. */
async function appendQuick(store: Store, count: number): Promise<void> {
  const [stream] = store.writer.defineTopic('quick', QUICK).streams as [StreamId];
  const value = Buffer.alloc(400, 'q');
  for (let index = 0; index < count; index++) {
    await append(store, stream, { value, durability: 'os' });
  }
}

describe('commits of class os', () => {
  beforeEach(async () => {
    const store = await place.open(RAW);
    await appendQuick(store, 1);
    await append(store, topic.streams[0] as StreamId);
    await store.close();
  });

  test('that were never synced may go, with what stands behind them in the file: no loss', async () => {
    const file = await killAfter((store) => appendQuick(store, 20));
    await flip(file, 0.5);
    const before = await readFile(file);
    await (await killed.open({ ...RAW, readOnly: true })).close();
    expect(await readFile(file)).toEqual(before);
    const store = await killed.open(RAW);
    const [quick] = store.writer.defineTopic('quick', QUICK).streams as [StreamId];
    const { records, gaps } = await readAll(store, [quick]);
    const left = records.get(quick)?.length ?? 0;
    expect(left).toBeGreaterThan(5);
    expect(left).toBeLessThan(15);
    expect(gaps).toEqual([]);
    expect(await entriesOf(store)).toEqual([]);
    expect(await append(store, quick)).toBe(left);
    await store.close();
  });

  test('that were synced, for others came after, are told as lost', async () => {
    const file = await killAfter(async (store) => {
      await appendQuick(store, 20);
      for (const stream of topic.streams) await append(store, stream);
    });
    await flip(file, 0.5);
    const store = await killed.open(RAW);
    const [quick] = store.writer.defineTopic('quick', QUICK).streams as [StreamId];
    const { gaps } = await readAll(store, [quick]);
    expect(gaps).toHaveLength(1);
    const [entry] = await entriesOf(store);
    expect(entry).toMatchObject({ topic: 'quick', records: 1, reason: 'corruption' });
    await store.close();
  });
});

describe('the state database, altered in the middle of its write-ahead file', () => {
  test('what was written behind it is there, and that something is lost is told', async () => {
    const reader = async (store: Store) => store.positions('up', { pins: true });
    const [stream] = topic.streams as [StreamId];
    await killAfter(async (store) => {
      const positions = await reader(store);
      for (let next = 1; next <= 60; next++) await positions.advance(new Map([[stream, next]]));
    });
    const state = join(killed.folder, 'state');
    const name = (await readdir(state)).find((file) => file.endsWith('.log')) ?? '';
    await flip(join(state, name), 0.5);
    const store = await killed.open(RAW);
    expect((await reader(store)).get(stream)).toBe(60);
    const told = (await entriesOf(store)).map(({ topic: where, reason }) => [where, reason]);
    expect(told).toEqual([['*', 'corruption']]);
    await store.close();
    const again = await killed.open(RAW);
    expect(await entriesOf(again)).toHaveLength(1);
    await again.close();
  });

  test.each([
    ['before LevelDB opens it', 'saved'],
    ['when LevelDB has given up what stands behind', 'opened'],
    ['when all is written again, and nobody was told', 'written'],
  ] as const)('a process that ends %s', async (_, step) => {
    const [stream] = topic.streams as [StreamId];
    await killAfter(async (store) => {
      const positions = await store.positions('up', { pins: true });
      for (let next = 1; next <= 60; next++) await positions.advance(new Map([[stream, next]]));
    });
    const state = join(killed.folder, 'state');
    const name = (await readdir(state)).find((file) => file.endsWith('.log')) ?? '';
    await flip(join(state, name), 0.5);
    const rest = await saveRest(state, (text) => expect.fail(text));
    expect(rest?.batches.length).toBeGreaterThan(20);
    if (step !== 'saved') {
      const database = await openLevel(state, false);
      for (const batch of step === 'written' ? (rest?.batches ?? []) : [])
        await database.write(batch);
      await database.close();
    }
    if (step === 'written') await restWritten(state);
    const store = await killed.open(RAW);
    expect((await store.positions('up', { pins: true })).get(stream)).toBe(60);
    expect((await entriesOf(store)).map(({ topic: where }) => where)).toEqual(['*']);
    await store.close();
    const left = (await readdir(state)).filter((file) => /rest|altered|new/u.test(file));
    expect(left).toEqual([]);
    const aside = await readdir(join(killed.folder, 'quarantine'));
    expect(aside.filter((file) => file.endsWith(`-state-${name}.altered`))).toHaveLength(1);
    const again = await killed.open(RAW);
    expect(await entriesOf(again)).toHaveLength(1);
    await again.close();
  });

  test('what another file left behind its torn end is not taken for its writes', async () => {
    await killAfter(noted);
    const state = join(killed.folder, 'state');
    const names = await readdir(state);
    const file = join(state, names.find((one) => one.endsWith('.log')) ?? '');
    const list = join(state, names.find((one) => one.startsWith('MANIFEST')) ?? '');
    const torn = Buffer.alloc(32_768);
    (await readFile(file)).copy(torn);
    await writeFile(file, Buffer.concat([torn, await readFile(list)]));
    const store = await killed.open(RAW);
    const [stream] = topic.streams as [StreamId];
    expect((await store.positions('up', { pins: true })).get(stream)).toBe(10);
    expect(await entriesOf(store)).toEqual([]);
    await store.close();
  });

  test('a file that ends early is no loss', async () => {
    await killAfter(noted);
    const state = join(killed.folder, 'state');
    const file = join(state, (await readdir(state)).find((one) => one.endsWith('.log')) ?? '');
    await truncate(file, (await stat(file)).size - 3);
    const store = await killed.open(RAW);
    expect(await entriesOf(store)).toEqual([]);
    await store.close();
  });
});
