import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/limits.ts';
import type { LedgerEntry, Loss } from '../../src/loss.ts';
import type { StreamId } from '../../src/record.ts';
import { levelEngine } from '../../src/store/level-engine.ts';
import type { Store } from '../../src/store/log.ts';
import { DAY_MS } from '../../src/units.ts';
import { noFaults, faultyEngine, type Faults } from '../support/faulty-engine.ts';
import { MemoryDisk, memoryEngine } from '../support/memory-engine.ts';
import { SimClock } from '../support/sim-clock.ts';
import {
  append,
  fill,
  FOREVER,
  inMemory,
  entriesOf,
  onDisk,
  readAll,
  text,
  type Place,
} from '../support/store-kit.ts';

const loss = (fromOffset: number, toOffset: number, rest: Partial<Loss> = {}): Loss => ({
  topic: 't',
  partition: 0,
  fromOffset,
  toOffset,
  records: toOffset - fromOffset,
  bytes: (toOffset - fromOffset) * 10,
  reason: 'corruption',
  detail: 'a page was zero',
  mirror: undefined,
  ...rest,
});

let place: Place;
let clock: SimClock;
let store: Store;

const open = async (): Promise<void> => {
  store = await place.open({ clock });
};
const entries = (): Promise<LedgerEntry[]> => entriesOf(store);
const ranges = async (): Promise<number[][]> =>
  (await entries())
    .map(({ fromOffset = -1, toOffset = -1 }) => [fromOffset, toOffset])
    .toSorted(([left = 0], [right = 0]) => left - right);
/** The values in `_gaps`, parsed. */
const gaps = async (): Promise<Record<string, unknown>[]> => {
  const topic = store.reader.topic('_gaps');
  if (topic === undefined) return [];
  const { records } = await readAll(store, topic.streams);
  return [...records.values()]
    .flat()
    .map(({ value }) => JSON.parse(text(value) ?? '') as Record<string, unknown>);
};
const settle = async (): Promise<void> => {
  await clock.advance(LIMITS.ledgerIdleMs * 2);
  await expect.poll(() => store.reader.topic('_gaps')).toBeDefined();
};

beforeEach(async () => {
  place = await inMemory.make();
  clock = new SimClock();
  await open();
});
afterEach(async () => {
  await store.close();
  await place.remove();
});

describe('what is told', () => {
  test('tells which offsets are lost for every reader, and keeps that', async () => {
    await store.ledger.record([
      loss(5, 9),
      loss(12, 14),
      loss(20, 25, { mirror: 'central', reason: 'skipped' }),
      loss(0, 30, { partition: 1 }),
      loss(0, 30, { records: 0, reason: 'rewound' }),
    ]);
    const lost = [
      { from: 7, to: 9 },
      { from: 12, to: 13 },
    ];
    expect(store.ledger.lost('t', 0, 7, 13)).toEqual(lost);
    await store.close();
    await open();
    expect(store.ledger.lost('t', 0, 7, 13)).toEqual(lost);
    expect(store.ledger.lost('another', 0, 0, 100)).toEqual([]);
  });

  test('stands there after the store was opened again, with its totals', async () => {
    await store.ledger.record([loss(5, 9), loss(0, 2, { partition: 1, reason: 'far-behind' })]);
    const before = await entries();
    await store.close();
    await open();
    expect(await entries()).toEqual(before);
    expect(before[0]).toMatchObject({ ...loss(5, 9), atMs: clock.nowMs(), untilMs: clock.nowMs() });
    expect(store.counters().losses).toMatchObject({
      corruption: { records: 4, bytes: 40 },
      'far-behind': { records: 2, bytes: 20 },
      retention: { records: 0, bytes: 0 },
    });
  });

  test('twice counts once, in parts too', async () => {
    await store.ledger.record([loss(5, 9), loss(7, 12), loss(5, 9)]);
    await store.close();
    await open();
    await store.ledger.record([loss(0, 20, { detail: 'another cause' })]);
    expect(await ranges()).toEqual([
      [0, 5],
      [5, 12],
      [12, 20],
    ]);
    expect(store.counters().losses.corruption.records).toBe(20);
  });

  test('for every reader covers each mirror, not the other way', async () => {
    await store.ledger.record([loss(0, 10, { mirror: 'a', reason: 'skipped' })]);
    await store.ledger.record([loss(5, 15)]);
    await store.ledger.record([loss(0, 20, { mirror: 'b', reason: 'skipped' })]);
    expect(await ranges()).toEqual([
      [0, 5],
      [0, 10],
      [5, 15],
      [15, 20],
    ]);
    expect(store.counters().losses.skipped.records).toBe(20);
  });

  test('whatever is told in whatever order, each lost offset is counted once', async () => {
    const range = fc.tuple(fc.nat(60), fc.nat(12), fc.nat(1));
    await fc.assert(
      fc.asyncProperty(fc.array(range, { maxLength: 25 }), async (told) => {
        const own = await (await inMemory.make()).open({ clock });
        const lost = new Set<string>();
        for (const [from, length, partition] of told) {
          await own.ledger.record([loss(from, from + length, { partition })]);
          for (let offset = from; offset < from + length; offset++)
            lost.add(`${partition}/${offset}`);
        }
        const found: string[] = [];
        for await (const { partition, fromOffset = 0, toOffset = 0 } of own.ledger.entries()) {
          for (let offset = fromOffset; offset < toOffset; offset++)
            found.push(`${partition}/${offset}`);
        }
        expect(found.toSorted()).toEqual([...lost].toSorted());
        expect(own.ledger.totals().corruption.records).toBe(lost.size);
        await own.close();
      }),
      { numRuns: 50 },
    );
  });

  test('some of a range, or a count, says nothing of the offsets in it', async () => {
    const some = loss(0, 100, { records: 3, reason: 'rejected', mirror: 'a' });
    const dropped = {
      partition: undefined,
      fromOffset: undefined,
      toOffset: undefined,
      records: 7,
    };
    await store.ledger.record([some, loss(0, 0, { ...dropped, reason: 'pressure' })]);
    await store.ledger.record([loss(10, 20), loss(0, 0, { ...dropped, reason: 'pressure' })]);
    expect((await entries()).map(({ reason, records }) => [reason, records])).toEqual([
      ['rejected', 3],
      ['corruption', 10],
      ['pressure', 14],
    ]);
  });

  test('and continues what was told extends it, within an hour', async () => {
    for (let step = 0; step < 5; step++) {
      await store.ledger.record([loss(step * 10, step * 10 + 10)]);
      await clock.advance(60_000);
    }
    expect(await ranges()).toEqual([[0, 50]]);
    await store.ledger.record([loss(60, 70)]);
    expect(await ranges()).toEqual([
      [0, 50],
      [60, 70],
    ]);
  });
});

describe('the topic _gaps', () => {
  test('gets each entry once, in order, when it grows no more', async () => {
    await store.ledger.record([loss(0, 5, { bytes: undefined })]);
    expect(store.reader.topic('_gaps')).toBeUndefined();
    await settle();
    await store.ledger.record([loss(0, 3, { partition: 2, mirror: 'a', reason: 'skipped' })]);
    await store.close();
    await open();
    await clock.advance(LIMITS.ledgerIdleMs * 2);
    await expect.poll(gaps).toHaveLength(2);
    expect(await gaps()).toEqual([
      {
        incarnation: store.identity.incarnation,
        topic: 't',
        partition: 0,
        firstOffset: 0,
        lastOffset: 4,
        records: 5,
        bytes: null,
        reason: 'corruption',
        detail: 'a page was zero',
        mirror: null,
        from: expect.stringMatching(/Z$/u),
        to: expect.stringMatching(/Z$/u),
      },
      expect.objectContaining({ partition: 2, mirror: 'a', reason: 'skipped', lastOffset: 2 }),
    ]);
    expect(await entries()).toHaveLength(2);
  });

  test('gets it where no process lives as long as an entry may grow', async () => {
    await store.ledger.record([loss(5, 9)]);
    for (let life = 0; life * 10_000 <= LIMITS.ledgerIdleMs; life++) {
      await clock.advance(10_000);
      await store.close();
      await open();
    }
    await clock.advance(10_000);
    await expect.poll(gaps).toHaveLength(1);
  });

  test('fills the ledger again that was lost with the state database', async () => {
    await store.close();
    place = await onDisk.make();
    const closed = async (): Promise<LedgerEntry[]> => {
      const found = await entries();
      await store.close();
      return found;
    };
    await open();
    await store.ledger.record([loss(0, 5), loss(7, 9, { mirror: 'a', reason: 'skipped' })]);
    await settle();
    await expect.poll(gaps).toHaveLength(2);
    const totals = store.ledger.totals();
    const before = await closed();
    await rm(join(place.folder, 'state'), { recursive: true });
    store = await place.open({ clock, readOnly: true });
    expect(store.stateDamage).toBe('it is missing');
    expect(await entries()).toEqual(before);
    await store.close();
    await open();
    expect(store.ledger.totals()).toEqual(totals);
    await store.ledger.record([loss(0, 6)]);
    const after = await closed();
    expect(after).toEqual([
      ...before,
      expect.objectContaining({ topic: '*', records: 0 }),
      expect.objectContaining({ fromOffset: 5, toOffset: 6 }),
    ]);
    // Its totals alone: the entries tell them.
    const state = await levelEngine(place.folder, false).openState();
    await state.write([{ key: Buffer.from('ledger/books'), value: undefined }]);
    await state.close();
    await open();
    await clock.advance(LIMITS.ledgerIdleMs * 2);
    await expect.poll(gaps).toHaveLength(4);
    expect(store.ledger.totals().corruption.records).toBe(6);
    expect(await entries()).toEqual(after);
  });

  test('waits while the log can not be written, and misses nothing', async () => {
    await store.close();
    const faults: Faults = noFaults();
    const engine = faultyEngine(memoryEngine(new MemoryDisk()), faults);
    store = await place.open({ clock, engine });
    faults.failOpening = true;
    faults.failWrites = 3;
    await store.ledger.record([loss(0, 5)]);
    await clock.advance(LIMITS.ledgerIdleMs * 2);
    expect(await gaps()).toEqual([]);
    faults.failOpening = false;
    faults.failWrites = 0;
    await clock.advance(LIMITS.ledgerIdleMs * 2);
    await expect.poll(gaps).toMatchObject([{ firstOffset: 0, lastOffset: 4 }]);
  });

  test('gets many that had to wait, over a restart too, in order and once', async () => {
    await store.close();
    const faults: Faults = noFaults();
    const disk = new MemoryDisk();
    const reopen = async (): Promise<void> => {
      store = await place.open({ clock, engine: faultyEngine(memoryEngine(disk), faults) });
    };
    await reopen();
    faults.failWrites = Infinity;
    const count = 2 * LIMITS.ledgerStep + 100;
    for (let at = 0; at < count; at++) {
      await store.ledger.record([loss(at * 2, at * 2 + 1, { detail: `cause ${at}` })]);
    }
    await clock.advance(LIMITS.ledgerIdleMs * 2);
    expect(await gaps()).toEqual([]);
    await store.close();
    faults.failWrites = 0;
    await reopen();
    await store.ledger.record([loss(5000, 5001, { detail: 'one more' })]);
    await clock.advance(LIMITS.ledgerIdleMs * 2);
    await expect.poll(gaps).toHaveLength(count + 1);
    const firsts = (await gaps()).map(({ firstOffset }) => firstOffset);
    expect(firsts).toEqual([...Array.from({ length: count }, (_, at) => at * 2), 5000]);
  });

  test('had them all when the oldest leave the ledger, by number, whatever the clock says', async () => {
    const more = 100;
    const count = LIMITS.ledgerEntries + more;
    await store.ledger.record(Array.from({ length: count }, (_, at) => loss(at * 2, at * 2 + 1)));
    await clock.advance(LIMITS.ledgerIdleMs * 2);
    await expect.poll(async () => (await gaps()).length, { timeout: 60_000 }).toBe(count);
    clock.set(clock.nowMs() + 10 * 365 * DAY_MS);
    await clock.advance(LIMITS.ledgerIdleMs * 2);
    await expect.poll(async () => (await entries()).length).toBe(LIMITS.ledgerEntries);
    expect((await ranges())[0]).toEqual([more * 2, more * 2 + 1]);
  }, 90_000);

  test('of a centre keeps what it has of others', async () => {
    const others = store.writer.defineTopic('_gaps', { ...FOREVER, partitions: 3 });
    await append(store, others.streams[2] as StreamId, { value: Buffer.from('{}') });
    await store.ledger.record([loss(0, 5)]);
    await settle();
    await expect.poll(gaps).toHaveLength(2);
    expect(store.reader.topic('_gaps')?.streams).toHaveLength(3);
  });
});

test('retention writes where partitions start and what was lost in one step', async () => {
  const own = await onDisk.make();
  let disk = await own.open({ clock, segmentBytes: 30_000, compression: 'none' });
  const topic = disk.writer.defineTopic('t', { ...FOREVER, partitions: 1, retentionBytes: 40_000 });
  const [stream = 0 as StreamId] = topic.streams;
  const positions = await disk.positions('mirror.central', { pins: true });
  await positions.advance(new Map([[stream, 10]]));
  await fill(disk, topic, 1000, { bytes: 200 });
  await disk.retain();
  const start = disk.reader.range(stream).startOffset;
  expect(start).toBeGreaterThan(10);
  await disk.close();
  disk = await own.open({ clock });
  expect(disk.reader.range(stream).startOffset).toBe(start);
  const [entry, ...others] = await entriesOf(disk);
  expect(others).toEqual([]);
  expect(entry).toMatchObject({
    topic: 't',
    partition: 0,
    fromOffset: 10,
    toOffset: start,
    records: start - 10,
    reason: 'retention',
    detail: expect.stringContaining('before mirror.central had them'),
  });
  await disk.close();
  await own.remove();
});
