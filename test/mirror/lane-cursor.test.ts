import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { must } from '../../src/assert.ts';
import { type Coverage, holesIn, topOf, upTo, withRange } from '../../src/coverage.ts';
import { LaneCursor } from '../../src/mirror/lane-cursor.ts';
import { CLASSES, DRAINS, type Treatment } from '../../src/mirror/selection.ts';
import type { LaneBounds } from '../../src/mirror-limits.ts';
import type { StreamId } from '../../src/record.ts';
import type { CursorBatch } from '../../src/store/log.ts';
import { MemoryLog } from '../support/memory-log.ts';

const BOUNDS: LaneBounds = {
  aheadRanges: 4,
  seamRecords: 5,
  reseamRecords: 12,
  newestChunkRecords: 6,
  lanePasses: 3,
  backlogRecords: 10,
};
const LIMITS = { maxRecords: 4, maxBytes: 1e6 };

interface Rig {
  readonly log: MemoryLog;
  readonly cursor: LaneCursor;
  readonly add: (name: string, count: number) => void;
  /** Reads to the end: each batch as `name offset offset …`. */
  readonly drained: () => Promise<string[]>;
}

function rig(
  treatments: Readonly<Record<string, Partial<Treatment>>>,
  backlog: Readonly<Record<string, number>>,
  had: Readonly<Record<string, Coverage>> = {},
): Rig {
  const log = new MemoryLog();
  const names = new Map<StreamId, string>();
  const streamOf = (name: string): StreamId => must(log.topic(name).streams[0], 'it has one');
  for (const name of Object.keys(treatments)) names.set(streamOf(name), name);
  const add = (name: string, count: number): void => {
    for (let at = 0; at < count; at++) log.add(streamOf(name), 'x');
  };
  for (const [name, count] of Object.entries(backlog)) add(name, count);
  const cursor = new LaneCursor({
    reader: log.reader,
    from: new Map([...names].map(([stream, name]) => [stream, had[name] ?? upTo(0)])),
    treatmentOf: (stream) => {
      const given = treatments[names.get(stream) ?? ''];
      return { class: 'normal', drain: 'backlog-first', ...given };
    },
    bounds: BOUNDS,
  });
  const drained = async (): Promise<string[]> => {
    const batches: string[] = [];
    for (;;) {
      const batch = await cursor.next(LIMITS);
      if (batch.records === 0 && batch.gaps.length === 0) return batches;
      batches.push(described(batch, names));
    }
  };
  return { log, cursor, add, drained };
}

function described(
  { slices }: Pick<CursorBatch, 'slices'>,
  names: ReadonlyMap<StreamId, string>,
): string {
  return slices
    .map(({ stream, records }) =>
      [names.get(stream), ...records.map((one) => one.offset)].join(' '),
    )
    .join(', ');
}

describe('classes', () => {
  test('the higher one goes first, in the order of the log, and new records of it at once', async () => {
    const { add, cursor, drained } = rig(
      { t: {}, alarms: { class: 'alarm' }, b: { class: 'bulk' } },
      { b: 2, t: 4, alarms: 5 },
    );
    expect(described(await cursor.next(LIMITS), new Map())).toBe(' 0 1 2 3');
    add('alarms', 1);
    expect(await drained()).toEqual(['alarms 4 5', 't 0 1 2 3', 'b 0 1']);
    add('b', 1);
    add('alarms', 1);
    expect(await drained()).toEqual(['alarms 6', 'b 2']);
  });

  test('a batch says whether there is a backlog behind it, in its lane or another', async () => {
    const { cursor, add } = rig({ t: {}, alarms: { class: 'alarm' } }, { t: 17, alarms: 1 });
    expect(await cursor.next(LIMITS)).toMatchObject({ hasBacklog: true, records: 1 });
    expect(await cursor.next(LIMITS)).toMatchObject({ hasBacklog: true, records: 4 });
    add('alarms', 1);
    expect(await cursor.next(LIMITS)).toMatchObject({ hasBacklog: true, records: 1 });
    await cursor.next(LIMITS);
    add('alarms', 1);
    expect(await cursor.next(LIMITS)).not.toHaveProperty('hasBacklog');
  });

  test('a lower one keeps a share of a flood above it', async () => {
    const { drained } = rig({ t: { class: 'alarm' }, u: { class: 'bulk' } }, { t: 32, u: 8 });
    const names = (await drained()).map((batch) => batch[0]);
    expect(names.join('')).toBe('tttutttutt');
  });
});

describe('the order of a backlog', () => {
  test('live first: what is new, then the backlog, oldest first', async () => {
    const { add, cursor, drained } = rig({ t: { drain: 'live-first' } }, { t: 10 });
    expect(described(await cursor.next(LIMITS), new Map())).toBe(' 0 1 2 3');
    add('t', 2);
    expect(await drained()).toEqual(['t 10 11', 't 4 5 6 7', 't 8 9']);
    add('t', 1);
    expect(await drained()).toEqual(['t 12']);
  });

  test('newest first: chunks from the end, each in its order', async () => {
    const { add, cursor, drained } = rig({ t: { drain: 'newest-first' } }, { t: 14 });
    expect(described(await cursor.next(LIMITS), new Map())).toBe(' 8 9 10 11');
    add('t', 1);
    expect(await drained()).toEqual(['t 14', 't 12 13', 't 2 3 4 5', 't 6 7', 't 0 1']);
  });

  test('a small backlog is none: it goes in order', async () => {
    for (const drain of DRAINS) {
      const { drained } = rig({ t: { drain } }, { t: 5 });
      expect(await drained()).toEqual(['t 0 1 2 3', 't 4']);
    }
  });

  test('a stream that went otherwise before goes on in order, and repeats nothing', async () => {
    const had = { t: { next: 3, ahead: [{ from: 5, to: 8 }] } };
    const { drained } = rig({ t: {} }, { t: 10 }, had);
    expect((await drained()).join(' ')).toBe('t 3 4 t 8 9');
  });

  test('new records that come faster than they go are backlog after a while', async () => {
    const { add, cursor, drained } = rig({ t: { drain: 'live-first' } }, { t: 6 });
    add('t', 1);
    expect(described(await cursor.next({ ...LIMITS, maxRecords: 1 }), new Map())).toBe(' 6');
    add('t', 13);
    expect(described(await cursor.next(LIMITS), new Map())).toBe(' 0 1 2 3');
    add('t', 1);
    expect((await drained()).slice(0, 3)).toEqual(['t 20', 't 4 5', 't 7 8 9 10']);
  });
});

test('a wait ends with a record of any class, and with its signal', async () => {
  const { add, cursor } = rig({ t: {}, alarms: { class: 'alarm' } }, {});
  const signal = new AbortController();
  let ended = false;
  const waiting = cursor.wait(signal.signal).then(() => (ended = true));
  await Promise.resolve();
  expect(ended).toBe(false);
  add('t', 1);
  await waiting;
  await cursor.next(LIMITS);
  const again = cursor.wait(signal.signal);
  signal.abort();
  await again;
});

const treatment = fc.record({
  class: fc.constantFrom(...CLASSES),
  drain: fc.constantFrom(...DRAINS),
});
const step = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ append: fc.nat(3), count: fc.integer({ min: 1, max: 20 }) }),
  },
  { weight: 6, arbitrary: fc.record({ read: fc.integer({ min: 1, max: 9 }) }) },
  { weight: 1, arbitrary: fc.record({ trim: fc.nat(3), by: fc.nat(12) }) },
  { weight: 1, arbitrary: fc.record({ rot: fc.nat(3), at: fc.nat(60) }) },
  {
    weight: 1,
    arbitrary: fc.record({ again: fc.array(treatment, { minLength: 4, maxLength: 4 }) }),
  },
);

/** What the far side would hold, however sessions, retention and damage come in between. */
test('every record once, whatever happens; few ranges ahead; one class at a time', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(treatment, { minLength: 4, maxLength: 4 }),
      fc.array(step, { maxLength: 60 }),
      async (given, steps) => {
        const log = new MemoryLog();
        const streams = [0, 1, 2, 3].map((at) => must(log.topic(`t${at}`).streams[0], 'one'));
        let treatments = given;
        const had = new Map(streams.map((stream) => [stream, upTo(0)]));
        const treatmentOf = (stream: StreamId): Treatment =>
          must(treatments[streams.indexOf(stream)], 'one of four');
        const begin = (): LaneCursor =>
          new LaneCursor({ reader: log.reader, from: new Map(had), treatmentOf, bounds: BOUNDS });
        let cursor = begin();
        const outOfOrder: number[] = [];
        const read = async (maxRecords: number): Promise<boolean> => {
          const batch = await cursor.next({ maxRecords, maxBytes: 1e6 });
          const classes = new Set<string>();
          const take = (stream: StreamId, from: number, to: number): void => {
            classes.add(treatmentOf(stream).class);
            const before = must(had.get(stream), 'one of four');
            expect(holesIn(before, from, to)).toEqual([{ from, to }]);
            const after = withRange(before, from, to);
            expect(after.ahead.length).toBeLessThanOrEqual(BOUNDS.aheadRanges);
            const isOrdered = treatmentOf(stream).drain === 'backlog-first';
            if (isOrdered && from !== before.next) outOfOrder.push(from);
            had.set(stream, after);
          };
          const ranges = batch.gaps.map(({ stream, fromOffset, toOffset }) => ({
            stream,
            from: fromOffset,
            to: toOffset,
          }));
          for (const { stream, records } of batch.slices) {
            const from = must(records[0], 'no slice is empty').offset;
            expect(records.map(({ offset }) => offset)).toEqual(records.map((_, at) => from + at));
            ranges.push({ stream, from, to: from + records.length });
          }
          const inOrder = ranges.toSorted((one, other) => one.from - other.from);
          for (const { stream, from, to } of inOrder) take(stream, from, to);
          expect(classes.size).toBeLessThanOrEqual(1);
          expect(batch.records).toBeLessThanOrEqual(maxRecords);
          return classes.size > 0;
        };
        for (const one of steps) {
          if ('append' in one) {
            const stream = must(streams[one.append], 'one of four');
            for (let at = 0; at < one.count; at++) log.add(stream, 'x');
          } else if ('read' in one) await read(one.read);
          else if ('trim' in one) {
            const stream = must(streams[one.trim], 'one of four');
            const { startOffset, endOffset } = log.reader.range(stream);
            log.trim(stream, Math.min(endOffset, startOffset + one.by));
          } else if ('rot' in one) {
            const stream = must(streams[one.rot], 'one of four');
            log.corrupt(stream, one.at, one.at + 2);
          } else {
            await cursor.close();
            treatments = one.again;
            cursor = begin();
          }
        }
        while (await read(9));
        for (const stream of streams) {
          expect(had.get(stream)).toEqual(upTo(log.reader.range(stream).endOffset));
          expect(topOf(must(had.get(stream), 'one of four'))).toBe(
            log.reader.range(stream).endOffset,
          );
        }
        expect(outOfOrder).toEqual([]);
        await cursor.close();
      },
    ),
    { numRuns: 300 },
  );
});
