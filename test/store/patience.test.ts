import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/limits.ts';
import { seededRandom } from '../../src/random.ts';
import type { StreamId } from '../../src/record.ts';
import type { CursorBatch, LogCursor, Store } from '../../src/store/log.ts';
import { openStore } from '../../src/store/open.ts';
import { hiccupEngine, noHiccup, type Hiccup } from '../support/hiccup-engine.ts';
import { MemoryDisk, memoryEngine } from '../support/memory-engine.ts';
import { SimClock } from '../support/sim-clock.ts';
import { append, entriesOf, FOREVER, rememberingLogger } from '../support/store-kit.ts';

/** A disk that does not answer for a while takes nothing away; one that never reads a place does. */
const COMMITS = 40;
const LIMIT = { maxRecords: 1000, maxBytes: 1_000_000 };
let hiccup: Hiccup;
let clock: SimClock;
let disk: MemoryDisk;
let store: Store;
let stream: StreamId;
let cursor: LogCursor;
let logger: ReturnType<typeof rememberingLogger>;

const open = (): Promise<Store> =>
  openStore({
    folder: 'memory',
    engine: hiccupEngine(memoryEngine(disk), hiccup),
    clock,
    random: seededRandom(1),
    logger,
    scrubSchedule: '0 0 1 1 *',
  });

beforeEach(async () => {
  hiccup = noHiccup();
  clock = new SimClock();
  logger = rememberingLogger();
  disk = new MemoryDisk();
  store = await open();
  stream = store.writer.defineTopic('t', { ...FOREVER, partitions: 1 }).streams[0] as StreamId;
  for (let commit = 0; commit < COMMITS; commit++) await append(store, stream);
  cursor = store.reader.cursor(new Map([[stream, 0]]));
});
afterEach(async () => {
  await clock.settled(store.close());
});

const next = (): Promise<CursorBatch> => clock.settled(cursor.next(LIMIT));
const waits = { code: 'STORE_FAILING', message: expect.stringMatching(/it is read again later/u) };

async function corruption(): Promise<(number | undefined)[][]> {
  const losses = (await entriesOf(store)).filter(({ reason }) => reason === 'corruption');
  return losses.map(({ fromOffset, toOffset }) => [fromOffset, toOffset]);
}

/** Reads every half a minute, as a mirror that backs off. Gives the first that succeeds. */
async function nextAfterWaiting(limitMs: number): Promise<CursorBatch | undefined> {
  for (const startMs = clock.monotonicMs(); clock.monotonicMs() - startMs < limitMs;) {
    try {
      return await next();
    } catch {
      await clock.advance(30_000);
    }
  }
  return undefined;
}

test('a hiccup of less than a second is not noticed', async () => {
  hiccup.bad = new Set([21, 22]);
  const read = cursor.next(LIMIT);
  await clock.advance(LIMITS.unreadableRetryMs[0] + LIMITS.unreadableRetryMs[1]);
  hiccup.bad = new Set();
  const { records, gaps } = await clock.settled(read);
  expect({ records, gaps }).toEqual({ records: COMMITS, gaps: [] });
});

test('what stands before is handed out, then the reader waits, and all is read when the disk is back', async () => {
  hiccup.bad = new Set([21, 22]);
  const before = await next();
  expect(before.records).toBeGreaterThan(15);
  expect(before.gaps).toEqual([]);
  await expect(next()).rejects.toMatchObject(waits);
  await clock.advance(120_000);
  await expect(next()).rejects.toMatchObject(waits);
  hiccup.bad = new Set();
  const after = await next();
  expect({ records: before.records + after.records, gaps: after.gaps }).toEqual({
    records: COMMITS,
    gaps: [],
  });
  expect(await corruption()).toEqual([]);
});

test('a place that is never read while the disk works is lost after ten minutes, and only that', async () => {
  hiccup.bad = new Set([21, 22]);
  const before = await next();
  const startMs = clock.monotonicMs();
  const after = await nextAfterWaiting(LIMITS.unreadableMs * 2);
  expect(clock.monotonicMs() - startMs).toBeGreaterThanOrEqual(LIMITS.unreadableMs);
  expect(before.records + (after?.records ?? 0)).toBe(COMMITS - 2);
  expect(after?.gaps).toMatchObject([{ reason: 'corruption' }]);
  await clock.settle();
  expect(await corruption()).toEqual([[before.records, before.records + 2]]);
});

test('what is bad beside a lost place is lost at once, but only while the disk answers', async () => {
  hiccup.bad = new Set([11]);
  await next();
  await nextAfterWaiting(LIMITS.unreadableMs * 2);
  await clock.settle();
  expect(await corruption()).toHaveLength(1);
  hiccup.bad = new Set([31]);
  hiccup.answers = false;
  cursor = store.reader.cursor(new Map([[stream, 20]]));
  expect((await next()).gaps).toEqual([]);
  for (let round = 0; round < 20; round++) {
    await expect(next()).rejects.toMatchObject(waits);
    await clock.advance(60_000);
  }
  expect(await corruption()).toHaveLength(1);
  // The same place answers for long again, and so does what lies beside it.
  hiccup.answers = true;
  expect((await nextAfterWaiting(LIMITS.unreadableMs * 2))?.gaps).toHaveLength(1);
  hiccup.bad = new Set([36]);
  cursor = store.reader.cursor(new Map([[stream, 32]]));
  expect((await next()).gaps).toHaveLength(1);
});

test('of a disk that is gone nothing is lost, however long it takes', async () => {
  hiccup.bad = new Set([21, 22]);
  hiccup.answers = false;
  await next();
  expect(await nextAfterWaiting(LIMITS.unreadableMs * 10)).toBeUndefined();
  hiccup.bad = new Set();
  hiccup.answers = true;
  expect((await next()).gaps).toEqual([]);
  expect(await corruption()).toEqual([]);
});

test('hiccups of one place that was read in between do not add up', async () => {
  for (let round = 0; round < 30; round++) {
    const reader = store.reader.cursor(new Map([[stream, 0]]));
    hiccup.bad = new Set([21, 22]);
    const before = await clock.settled(reader.next(LIMIT));
    await expect(clock.settled(reader.next(LIMIT))).rejects.toMatchObject(waits);
    hiccup.bad = new Set();
    await clock.advance(60_000);
    const after = await clock.settled(reader.next(LIMIT));
    expect(before.records + after.records).toBe(COMMITS);
  }
  expect(await corruption()).toEqual([]);
});

test('the check of the log waits too, and tells the loss only when it is one', async () => {
  hiccup.bad = new Set([21, 22]);
  const checked = store.scrub();
  await clock.advance(120_000);
  expect(store.counters().scrub.state).toBe('running');
  expect(await corruption()).toEqual([]);
  hiccup.bad = new Set();
  await clock.settled(checked);
  expect(store.counters().scrub.findings).toBe(0);
  hiccup.bad = new Set([21]);
  await clock.settled(store.scrub());
  expect(await corruption()).toEqual([[19, 20]]);
});

describe('at a start', () => {
  /** `change`: how the disk is after a clean stop. */
  async function restart(change: Partial<Hiccup>): Promise<Store> {
    await clock.settled(store.close());
    Object.assign(hiccup, change);
    return open();
  }
  const back = { bad: new Set<number>(), gone: false, badState: false };

  test.each([
    ['its newest commit', { bad: new Set([COMMITS]) }],
    ['a commit within its end', { bad: new Set([COMMITS - 5]) }],
    ['nothing of the segment', { gone: true }],
    ['the state database', { badState: true }],
  ])('%s is not read: the start waits, and nothing was lost', async (_, change) => {
    const opening = restart(change);
    await expect(clock.settled(opening)).rejects.toMatchObject({ code: 'STORE_FAILING' });
    await clock.advance(3_600_000);
    await expect(clock.settled(open())).rejects.toMatchObject({ code: 'STORE_FAILING' });
    Object.assign(hiccup, back);
    store = await open();
    expect(store.reader.range(stream)).toMatchObject({ startOffset: 0, endOffset: COMMITS });
    cursor = store.reader.cursor(new Map([[stream, 0]]));
    expect(await next()).toMatchObject({ records: COMMITS, gaps: [] });
    expect(await corruption()).toEqual([]);
  });

  test('what is never read is passed over after ten minutes, and the start goes on', async () => {
    await clock.settled(store.close());
    hiccup.bad = new Set([COMMITS - 5]);
    const tries = async (): Promise<Store> => {
      for (;;) {
        try {
          return await clock.settled(open());
        } catch {
          await clock.advance(60_000);
        }
      }
    };
    const startMs = clock.monotonicMs();
    store = await tries();
    expect(clock.monotonicMs() - startMs).toBeGreaterThanOrEqual(LIMITS.unreadableMs);
    expect(await clock.settled(append(store, stream))).toBeGreaterThanOrEqual(COMMITS);
  });
});
