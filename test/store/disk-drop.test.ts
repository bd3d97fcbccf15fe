import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  blocking,
  chooseDrop,
  shareOf,
  type DropChoice,
  type DropSegment,
  type DropStream,
  type DropWhat,
  type MayThin,
} from '../../src/store/disk-drop.ts';

/** Segments of so many records of each stream. */
function segmentsOf(counts: readonly (readonly number[])[]): DropSegment[] {
  let from: number[] = (counts[0] ?? []).map(() => 0);
  return counts.map((own, index) => {
    const to = from.map((offset, stream) => offset + (own[stream] ?? 0));
    const segment = {
      first: index * 100 + 1,
      streams: from.map((_, stream) => stream),
      from,
      to,
      storedBefore: from.map((offset) => offset * 10),
      stored: to.map((offset) => offset * 10),
      active: index === counts.length - 1,
    };
    from = to;
    return segment;
  });
}

const stream = (changes: Partial<DropStream> = {}): DropStream => ({
  start: 0,
  durable: 1e6,
  mirrored: undefined,
  priority: 5,
  refuses: false,
  ...changes,
});
const never: MayThin = () => false;
const chooseWhole = (
  segments: readonly DropSegment[],
  streams: readonly DropStream[],
  what: DropWhat,
): DropChoice | undefined => chooseDrop(segments, streams, what, never);
const firstOf = (...args: Parameters<typeof chooseWhole>): number | undefined =>
  chooseWhole(...args)?.segment.first;

describe('what was mirrored', () => {
  test('goes oldest first, whatever its topic says of a full disk', () => {
    const segments = segmentsOf([[5], [5], [5]]);
    const streams = [stream({ mirrored: 10, refuses: true })];
    const choice = chooseWhole(segments, streams, 'mirrored');
    expect(choice?.segment.first).toBe(1);
    expect(choice?.starts).toEqual(new Map([[0, { offset: 5, storedBefore: 50 }]]));
    expect(choice?.unmirrored.size).toBe(0);
  });

  test('of one topic frees nothing as long as another’s unmirrored records share the segment', () => {
    const segments = segmentsOf([
      [5, 5],
      [5, 5],
    ]);
    expect(chooseWhole(segments, [stream({ mirrored: 10 }), stream()], 'mirrored')).toBeUndefined();
    expect(firstOf(segments, [stream({ mirrored: 10 }), stream()], 'unmirrored')).toBe(1);
  });

  test('goes from the middle too, where the older segment must stay', () => {
    const segments = segmentsOf([
      [5, 5],
      [0, 5],
      [5, 5],
    ]);
    const streams = [stream({ refuses: true }), stream({ mirrored: 10 })];
    const choice = chooseWhole(segments, streams, 'mirrored');
    expect(choice?.segment.first).toBe(101);
    // Its start is a prefix: what it had in the older segment goes too, and is needed by nobody.
    expect(choice?.starts).toEqual(new Map([[1, { offset: 10, storedBefore: 100 }]]));
  });
});

describe('what was not mirrored', () => {
  test('goes by the highest priority in the segment, and only then by age', () => {
    const segments = segmentsOf([
      [5, 5],
      [0, 5],
      [0, 5],
    ]);
    const streams = [stream({ priority: 9 }), stream({ priority: 1, mirrored: 2 })];
    const choice = chooseWhole(segments, streams, 'unmirrored');
    expect(choice?.segment.first).toBe(101);
    expect(choice?.unmirrored).toEqual(new Map([[1, 2]]));
    expect(
      firstOf(segments, [stream({ priority: 1 }), stream({ priority: 1 })], 'unmirrored'),
    ).toBe(1);
  });

  test('is not dropped in vain: a refusing topic in the segment keeps the others in it too', () => {
    const segments = segmentsOf([
      [5, 5],
      [1, 5],
    ]);
    const streams = [stream({ refuses: true }), stream({ priority: 0 })];
    expect(chooseWhole(segments, streams, 'unmirrored')).toBeUndefined();
    expect(blocking(segments, streams)).toEqual(new Set([0]));
    // When the refusing topic was mirrored, all of it can go.
    const mirrored = [stream({ refuses: true, mirrored: 5 }), stream({ priority: 0 })];
    expect(firstOf(segments, mirrored, 'unmirrored')).toBe(1);
    expect(blocking(segments.slice(0, 1), mirrored)).toEqual(new Set());
  });
});

test('a segment whose records are gone already comes first and moves nothing', () => {
  const segments = segmentsOf([[5], [5], [5]]);
  const choice = chooseWhole(segments, [stream({ start: 5 })], 'dead');
  expect(choice?.segment.first).toBe(1);
  expect(choice?.starts.size).toBe(0);
  expect(chooseWhole(segments, [stream({ start: 4 })], 'dead')).toBeUndefined();
});

test('what is not durable yet stays', () => {
  const segments = segmentsOf([[5], [5]]);
  expect(chooseWhole(segments, [stream({ durable: 4 })], 'unmirrored')).toBeUndefined();
});

describe('a segment of which something must stay', () => {
  const sparse: MayThin = (segment, staying) => shareOf(segment, staying) < 0.2;
  const choose = (
    streams: readonly DropStream[],
    what: DropWhat,
    mayThin: MayThin = sparse,
  ): DropChoice | undefined =>
    chooseDrop(
      segmentsOf([
        [1, 9],
        [0, 9],
        [1, 9],
        [1, 1],
      ]),
      streams,
      what,
      mayThin,
    );

  test('is thinned, oldest first, and what stays is told apart from what goes', () => {
    const streams = [stream({ refuses: true }), stream({ mirrored: 4 })];
    const choice = choose(streams, 'unmirrored');
    expect(choice?.segment.first).toBe(1);
    expect(choice?.staying).toEqual(new Set([0]));
    expect(choice?.starts).toEqual(new Map([[1, { offset: 9, storedBefore: 90 }]]));
    expect(choice?.unmirrored).toEqual(new Map([[1, 4]]));
    // Else the newer one would go, and with it what the older one has of the same stream.
    expect(choose(streams, 'unmirrored', never)?.segment.first).toBe(101);
  });

  test('of a higher priority is thinned, too', () => {
    const choice = choose([stream({ priority: 9 }), stream({ priority: 1 })], 'unmirrored');
    expect(choice?.segment.first).toBe(1);
    expect(choice?.staying).toEqual(new Set([0]));
  });

  test('loses nothing by it where the rest is gone already, or was mirrored', () => {
    const refusing = stream({ refuses: true });
    const dead = choose([refusing, stream({ start: 9 })], 'dead');
    expect([dead?.segment.first, dead?.starts.size, dead?.unmirrored.size]).toEqual([1, 0, 0]);
    expect(choose([refusing, stream({ start: 8 })], 'dead')).toBeUndefined();
    const mirrored = choose([refusing, stream({ mirrored: 9 })], 'mirrored');
    expect([mirrored?.segment.first, mirrored?.unmirrored.size]).toEqual([1, 0]);
    expect(choose([refusing, stream({ mirrored: 8 })], 'mirrored')).toBeUndefined();
  });

  test('stays while it is the one being written', () => {
    const segments = segmentsOf([[1, 9]]);
    const streams = [stream({ refuses: true }), stream()];
    expect(chooseDrop(segments, streams, 'unmirrored', sparse)).toBeUndefined();
  });

  test('holds a share of it that is reckoned by bytes', () => {
    const [segment] = segmentsOf([[1, 9]]) as [DropSegment];
    expect(shareOf(segment, new Set([0]))).toBe(0.1);
    expect(shareOf({ ...segment, stored: [], storedBefore: [] }, new Set([0]))).toBe(1);
  });
});

test('whatever is chosen frees its segment, keeps what may not go, and tells every loss', () => {
  const info = fc.record({
    start: fc.nat(12),
    durable: fc.constant(1e6),
    mirrored: fc.option(fc.nat(20), { nil: undefined }),
    priority: fc.nat(3),
    refuses: fc.boolean(),
  });
  const input = fc.integer({ min: 1, max: 4 }).chain((width) =>
    fc.tuple(
      fc.array(fc.array(fc.nat(4), { minLength: width, maxLength: width }), {
        minLength: 1,
        maxLength: 6,
      }),
      fc.array(info, { minLength: width, maxLength: width }),
      fc.constantFrom('dead', 'mirrored', 'unmirrored' as const),
      fc.boolean(),
    ),
  );
  fc.assert(
    fc.property(input, ([counts, streams, what, mayThin]) => {
      const segments = segmentsOf(counts);
      const choice = chooseDrop(segments, streams, what, () => mayThin);
      if (choice === undefined) return;
      const { segment, starts, unmirrored, staying } = choice;
      expect(staying.size > 0 && (!mayThin || segment.active)).toBe(false);
      for (const [at, one] of streams.entries()) {
        const start = starts.get(at)?.offset ?? one.start;
        expect(start).toBeGreaterThanOrEqual(one.start);
        // Freed: no record of any stream that does not stay lives in it any more.
        const from = segment.from[at] ?? 0;
        const to = segment.to[at] ?? 0;
        expect(to > Math.max(from, start)).toBe(staying.has(at));
        const lost = Math.max(one.start, one.mirrored ?? 0);
        const losing = start > one.start && start > lost;
        expect(losing && (what !== 'unmirrored' || one.refuses)).toBe(false);
        expect(unmirrored.get(at)).toBe(losing ? lost : undefined);
      }
    }),
    { numRuns: 500 },
  );
});
