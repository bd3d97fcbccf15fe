import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Coverage,
  covers,
  flat,
  formatAhead,
  fromFlat,
  holesIn,
  parseCoverage,
  topOf,
  union,
  upTo,
  withRange,
  withSampled,
  without,
} from '../../src/coverage.ts';

const SIZE = 40;
const range = fc
  .tuple(fc.nat(SIZE), fc.nat(8))
  .map(([from, length]) => ({ from, to: Math.min(SIZE, from + length) }));
const coverage = fc
  .tuple(fc.nat(12), fc.array(range, { maxLength: 6 }))
  .map(([next, ranges]) =>
    ranges.reduce<Coverage>((had, { from, to }) => withRange(had, from, to), upTo(next)),
  );

const sampled = fc
  .tuple(coverage, fc.option(fc.nat(SIZE), { nil: undefined }))
  .map(([had, to]) => withSampled(had, to));

/** The same as a set of offsets. */
function setOf({ next, ahead }: Coverage): Set<number> {
  return new Set(
    [{ from: 0, to: next }, ...ahead].flatMap(({ from, to }) =>
      Array.from({ length: to - from }, (_, at) => from + at),
    ),
  );
}

function isTidy({ next, ahead }: Coverage): boolean {
  let before = next;
  return ahead.every(({ from, to }) => {
    const apart = from > before && to > from;
    before = to;
    return apart;
  });
}

describe('a coverage is a set of offsets', () => {
  test('with a range added, in union, and what is missing of it', () => {
    fc.assert(
      fc.property(coverage, coverage, range, (one, other, { from, to }) => {
        const added = withRange(one, from, to);
        const both = union(one, other);
        expect(isTidy(added) && isTidy(both)).toBe(true);
        expect(setOf(both)).toEqual(new Set([...setOf(one), ...setOf(other)]));
        const within = Array.from({ length: to - from }, (_, at) => from + at);
        expect(setOf(added)).toEqual(new Set([...setOf(one), ...within]));
        const holes = holesIn(one, from, to).flatMap((hole) =>
          within.filter((offset) => offset >= hole.from && offset < hole.to),
        );
        expect(holes).toEqual(within.filter((offset) => !setOf(one).has(offset)));
        const rest = new Set(without(one, other).flatMap((part) => [...setOf(only(part))]));
        expect(rest).toEqual(minus(one, other));
        expect(covers(one, other)).toBe(minus(other, one).size === 0);
        expect(topOf(one)).toBe(Math.max(0, ...[...setOf(one)].map((offset) => offset + 1)));
      }),
    );
  });

  test('and survives being written', () => {
    fc.assert(
      fc.property(sampled, (had) => {
        expect(parseCoverage(had.next, formatAhead(had))).toEqual(had);
        expect(fromFlat(...flat(had))).toEqual(had);
      }),
    );
  });

  test('how far it was sampled goes along, and counts as had by nobody but who compares', () => {
    fc.assert(
      fc.property(sampled, sampled, range, (one, other, { from, to }) => {
        const both = union(one, other);
        for (const part of [one, other]) expect(covers(both, part)).toBe(true);
        const reach = (had: Coverage): number => Math.max(had.next, had.sampledTo ?? 0);
        expect(reach(both)).toBe(Math.max(reach(one), reach(other), both.next));
        expect(topOf(one)).toBe(Math.max(topOf({ ...one, sampledTo: undefined }), reach(one)));
        const plain = withRange({ ...one, sampledTo: undefined }, from, to);
        expect(withRange(one, from, to)).toEqual(withSampled(plain, one.sampledTo));
        expect(holesIn(one, from, to)).toEqual(holesIn({ ...one, sampledTo: undefined }, from, to));
        const last = reach(one) - 1;
        const hasMore = last >= reach(other) && holesIn(other, last, last + 1).length > 0;
        expect(hasMore && covers(other, one)).toBe(false);
      }),
    );
  });

  test.for(['~5-', '~4', '~9~10', '20-30~', '~x', '~20,20-30'])('%s tells no sample', (text) => {
    expect(parseCoverage(4, text)).toBeUndefined();
  });

  test.for(['5', '5-', '5-5', '9-8', '20-30,25-40', '20-30,30-40', '3-9', 'a-b', '20-30,', '-'])(
    '%s is no text of ranges above 4',
    (text) => {
      expect(parseCoverage(4, text)).toBeUndefined();
    },
  );
});

function only({ from, to }: { readonly from: number; readonly to: number }): Coverage {
  return { next: 0, ahead: [{ from, to }] };
}

function minus(one: Coverage, other: Coverage): Set<number> {
  return new Set([...setOf(one)].filter((offset) => !setOf(other).has(offset)));
}
