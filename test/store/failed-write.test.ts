import { afterEach, beforeEach, expect, test } from 'vitest';
import { LIMITS } from '../../src/limits.ts';
import type { StreamId } from '../../src/record.ts';
import type { Store, TopicInfo } from '../../src/store/log.ts';
import { openStore } from '../../src/store/open.ts';
import { seededRandom } from '../../src/random.ts';
import { faultyEngine, noFaults, type Faults } from '../support/faulty-engine.ts';
import { MemoryDisk, memoryEngine } from '../support/memory-engine.ts';
import { SimClock } from '../support/sim-clock.ts';
import {
  append,
  appendOnce,
  fill,
  FOREVER,
  NONE,
  readAll,
  rememberingLogger,
  text,
} from '../support/store-kit.ts';

/** Invariant 10: after any failed write stop acknowledging, close, reopen, verify, go on. */
let disk: MemoryDisk;
let faults: Faults;
let clock: SimClock;
let store: Store;
let topic: TopicInfo;
let stream: StreamId;
let logger: ReturnType<typeof rememberingLogger>;

const value = (word: string): { readonly value: Uint8Array } => ({ value: Buffer.from(word) });
const open = (): Promise<Store> =>
  openStore({
    folder: 'memory',
    engine: faultyEngine(memoryEngine(disk), faults),
    clock,
    random: seededRandom(1),
    logger,
    segmentBytes: 4096,
  });
const words = async (): Promise<(string | null)[]> =>
  ((await readAll(store, [stream])).records.get(stream) ?? []).map((record) => text(record.value));

beforeEach(async () => {
  disk = new MemoryDisk();
  faults = noFaults();
  clock = new SimClock();
  logger = rememberingLogger();
  store = await open();
  topic = store.writer.defineTopic('telemetry', FOREVER);
  stream = topic.streams[0] as StreamId;
  await append(store, stream, value('before'));
});

afterEach(async () => {
  await store.close();
});

test('everybody who waits is told, in order, and the offsets are given out again', async () => {
  faults.failWrites = 1;
  const order: string[] = [];
  const all = ['a', 'b', 'c'].map((word) =>
    append(store, stream, value(word)).catch((error: { code: string }) => {
      order.push(`${word} ${error.code}`);
    }),
  );
  await Promise.all(all);
  expect(order).toEqual(['a', 'b', 'c'].map((word) => `${word} STORE_WRITE_FAILED`));
  await expect.poll(() => append(store, stream, value('after')).catch(() => -1)).toBe(1);
  expect(await words()).toEqual(['before', 'after']);
  await store.close();
  store = await open();
  expect(await words()).toEqual(['before', 'after']);
});

test('records of class none that were only in memory are counted when they are lost', async () => {
  for (let index = 0; index < 3; index++) {
    store.writer.append(stream, 1, null, NONE, NONE, 'none', () => {});
  }
  faults.failWrites = 1;
  await expect(append(store, stream)).rejects.toMatchObject({ code: 'STORE_WRITE_FAILED' });
  expect(logger.lines.find(({ level }) => level === 'error')?.fields).toMatchObject({
    waiting: 1,
    lost: 3,
  });
});

test('what gathers while the failing commit is written fails too, and nothing is acknowledged', async () => {
  let release = (): void => {};
  faults.hold = new Promise((resolve) => {
    release = resolve;
  });
  faults.failWrites = 1;
  const first = append(store, stream, value('first'));
  await clock.settle();
  const results = Promise.allSettled([
    first,
    append(store, stream, value('second')),
    appendOnce(store, 'p', 1, stream, Buffer.from('third')),
  ]);
  faults.hold = undefined;
  release();
  expect((await results).map(({ status }) => status)).toEqual(Array(3).fill('rejected'));
  await expect.poll(() => append(store, stream).catch(() => -1)).toBe(1);
  // The producer's sequence was forgotten with its record.
  expect(await appendOnce(store, 'p', 1, stream, Buffer.from('third'))).toBe(2);
});

test('a write that failed and arrived nevertheless counts: its offsets are not given out again', async () => {
  faults.failWrites = 1;
  faults.writesArrive = true;
  await expect(append(store, stream, value('ghost'))).rejects.toMatchObject({
    code: 'STORE_WRITE_FAILED',
  });
  await expect.poll(() => append(store, stream, value('after')).catch(() => -1)).toBe(2);
  expect(await words()).toEqual(['before', 'ghost', 'after']);
  expect(logger.lines.map(({ message }) => message)).toContain(
    'a commit whose write was reported as failed is in the log; it counts',
  );
});

test('while the log can’t be opened appends are refused, and it is tried again by itself', async () => {
  faults.failWrites = 1;
  faults.failOpening = true;
  await expect(append(store, stream)).rejects.toMatchObject({ code: 'STORE_WRITE_FAILED' });
  await clock.settle();
  await expect(append(store, stream)).rejects.toThrow(/gatelog opens it again by itself/u);
  expect(store.writer.pendingBytes()).toBe(0);
  await clock.advance(LIMITS.recoverFirstMs);
  await expect(append(store, stream)).rejects.toMatchObject({ code: 'STORE_WRITE_FAILED' });
  faults.failOpening = false;
  await clock.advance(2 * LIMITS.recoverFirstMs);
  expect(await append(store, stream)).toBe(1);
});

test('closing while the log is broken ends', async () => {
  faults.failWrites = 1;
  faults.failOpening = true;
  await expect(append(store, stream)).rejects.toMatchObject({ code: 'STORE_WRITE_FAILED' });
  await store.close();
  await expect(append(store, stream)).rejects.toMatchObject({ code: 'STORE_CLOSED' });
});

test('a failing write at every place in a rolling log loses nothing acknowledged', async () => {
  const acked: string[] = [];
  for (let round = 0; round < 120; round++) {
    if (round % 3 === 0) faults.failWrites = 1;
    faults.writesArrive = round % 2 === 0;
    const word = `${round} ${'x'.repeat(300)}`;
    const stored = await append(store, stream, value(word)).then(
      () => true,
      () => false,
    );
    if (stored) acked.push(word);
    // oxlint-disable-next-line vitest/no-conditional-expect -- waits until the log is open again
    else await expect.poll(() => append(store, stream, value('mark')).catch(() => -1)).not.toBe(-1);
  }
  expect(store.counters().segments).toBeGreaterThan(3);
  expect(logger.lines.map(({ message }) => message).join('\n')).not.toMatch(/are missing/u);
  expect(acked).toHaveLength(80);
  for (const reopened of [false, true]) {
    if (reopened) {
      await store.close();
      store = await open();
    }
    const { records, gaps } = await readAll(store, [stream]);
    const list = records.get(stream) ?? [];
    expect(gaps).toEqual([]);
    expect(list.map(({ offset }) => offset)).toEqual(list.map((_, index) => index));
    const stored = new Set(list.map((record) => text(record.value)));
    expect(acked.filter((word) => !stored.has(word))).toEqual([]);
  }
});

test('a new segment that can’t be made fails no commit: the one before is written on', async () => {
  faults.failOpening = true;
  for (let index = 0; index < 60; index++) {
    await append(store, stream, { value: Buffer.alloc(200, String(index)) });
  }
  expect(store.counters().segments).toBe(1);
  expect(logger.lines.map(({ message }) => message).join('\n')).toMatch(
    /next segment could not be made/u,
  );
  faults.failOpening = false;
  await fill(store, topic, 400);
  expect((await readAll(store, topic.streams)).gaps).toEqual([]);
  expect(store.counters().segments).toBeGreaterThan(1);
  await store.close();
  store = await open();
  expect((await readAll(store, topic.streams)).gaps).toEqual([]);
});

test('class os: after a failed sync the records stay unread until they are synced', async () => {
  faults.failSyncs = 1;
  expect(await append(store, stream, { ...value('os'), durability: 'os' })).toBe(1);
  await clock.advance(LIMITS.osSyncWithinMs);
  await expect.poll(() => store.reader.range(stream).endOffset).toBe(2);
  expect(await words()).toEqual(['before', 'os']);
});

test('readers see a record when it is durable and not when it is written', async () => {
  let release = (): void => {};
  faults.hold = new Promise((resolve) => {
    release = resolve;
  });
  const appended = append(store, stream, value('written'));
  await expect.poll(() => faults.counts.puts).toBe(3);
  expect(store.reader.range(stream).endOffset).toBe(1);
  expect(await words()).toEqual(['before']);
  release();
  expect(await appended).toBe(1);
  expect(await words()).toEqual(['before', 'written']);
});

test('a batch of class fsync is written synced, once, and a batch of class os is not', async () => {
  const before = { ...faults.counts };
  await Promise.all([append(store, stream), append(store, topic.streams[1] as StreamId)]);
  expect(faults.counts).toEqual({ ...before, puts: before.puts + 1, synced: before.synced + 1 });
  await append(store, stream, { durability: 'os' });
  expect(faults.counts).toMatchObject({ puts: before.puts + 2, synced: before.synced + 1 });
  store.writer.append(stream, 1, null, null, NONE, 'fsync', () => {});
  await clock.settle();
  await expect.poll(() => faults.counts.syncs).toBe(before.syncs + 1);
});
