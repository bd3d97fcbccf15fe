import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/limits.ts';
import { RangeSet } from '../../src/range-set.ts';

describe('a set of ranges', () => {
  test('gives what is new of a range, whatever came before', () => {
    const range = fc.tuple(fc.nat(60), fc.nat(12)).map(([from, length]) => [from, from + length]);
    fc.assert(
      fc.property(fc.array(range, { maxLength: 30 }), (ranges) => {
        const set = new RangeSet();
        const known = new Set<number>();
        for (const [from = 0, to = 0] of ranges) {
          const rest = set.rest(from, to).flatMap((one) => offsets(one.from, one.to));
          const within = set.within(from, to).flatMap((one) => offsets(one.from, one.to));
          expect(within).toEqual(offsets(from, to).filter((offset) => known.has(offset)));
          const fresh = set.add(from, to).flatMap((one) => offsets(one.from, one.to));
          expect(fresh).toEqual(offsets(from, to).filter((offset) => !known.has(offset)));
          expect(rest).toEqual(fresh);
          for (const offset of fresh) known.add(offset);
        }
      }),
    );
  });

  test('forgets nothing at its bound, but takes what lies between the two lowest as known', () => {
    const set = new RangeSet();
    for (let index = 0; index <= LIMITS.countedRanges; index++) set.add(index * 10, index * 10 + 5);
    expect(set.add(0, 10)).toEqual([]);
    expect(set.add(10, 20)).toEqual([{ from: 15, to: 20 }]);
  });
});

function offsets(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, index) => from + index);
}
