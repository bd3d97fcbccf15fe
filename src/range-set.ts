import { LIMITS } from './limits.ts';

export interface OffsetRange {
  readonly from: number;
  /** One past the last. */
  readonly to: number;
}

/**
 * A set of few ranges of offsets. At its bound the two lowest become one, with what lies between
 * (`merge`), or the lowest is forgotten.
 */
export class RangeSet {
  readonly #atBound: 'merge' | 'forget';
  /** Ascending, and apart. */
  #ranges: OffsetRange[] = [];

  constructor(atBound: 'merge' | 'forget' = 'merge') {
    this.#atBound = atBound;
  }

  /** The parts of [from, to) that are not in the set. */
  rest(from: number, to: number): OffsetRange[] {
    const rest: OffsetRange[] = [];
    let at = from;
    for (const range of this.#ranges) {
      if (range.to <= at) continue;
      if (range.from >= to) break;
      if (range.from > at) rest.push({ from: at, to: range.from });
      at = range.to;
    }
    if (at < to) rest.push({ from: at, to });
    return rest;
  }

  /** Adds [from, to); gives the parts of it that were not in the set. */
  add(from: number, to: number): OffsetRange[] {
    if (from >= to) return [];
    const fresh: OffsetRange[] = [];
    const before: OffsetRange[] = [];
    const after: OffsetRange[] = [];
    const merged = { from, to };
    let at = from;
    for (const range of this.#ranges) {
      if (range.to < from) before.push(range);
      else if (range.from > to) after.push(range);
      else {
        if (range.from > at) fresh.push({ from: at, to: range.from });
        at = Math.max(at, range.to);
        merged.from = Math.min(merged.from, range.from);
        merged.to = Math.max(merged.to, range.to);
      }
    }
    if (at < to) fresh.push({ from: at, to });
    this.#ranges = [...before, merged, ...after];
    const [lowest, next] = this.#ranges;
    if (this.#ranges.length > LIMITS.countedRanges && lowest !== undefined && next !== undefined) {
      if (this.#atBound === 'forget') this.#ranges.shift();
      else this.#ranges.splice(0, 2, { from: lowest.from, to: next.to });
    }
    return fresh;
  }
}
