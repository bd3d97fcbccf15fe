import { LIMITS } from './limits.ts';

export interface OffsetRange {
  readonly from: number;
  /** One past the last. */
  readonly to: number;
}

/**
 * A set of ranges of offsets. At its bound the two lowest become one, with what lies between
 * (`merge`), or the lowest is forgotten; `keep`: its owner bounds it.
 */
export class RangeSet {
  readonly #atBound: 'merge' | 'forget' | 'keep';
  /** Ascending, and apart. */
  readonly #ranges: OffsetRange[] = [];

  constructor(atBound: 'merge' | 'forget' | 'keep' = 'merge') {
    this.#atBound = atBound;
  }

  get size(): number {
    return this.#ranges.length;
  }

  /** The parts of [from, to) that are not in the set. */
  rest(from: number, to: number): OffsetRange[] {
    const rest: OffsetRange[] = [];
    let at = from;
    for (const range of this.#between(from, to)) {
      if (range.from > at) rest.push({ from: at, to: range.from });
      at = Math.max(at, range.to);
    }
    if (at < to) rest.push({ from: at, to });
    return rest;
  }

  /** The parts of [from, to) that are in the set. */
  within(from: number, to: number): OffsetRange[] {
    return this.#between(from, to)
      .filter((range) => range.from < to && range.to > from)
      .map((range) => ({ from: Math.max(from, range.from), to: Math.min(to, range.to) }));
  }

  /** Adds [from, to); gives the parts of it that were not in the set. */
  add(from: number, to: number): OffsetRange[] {
    if (from >= to) return [];
    const fresh = this.rest(from, to);
    const touched = this.#between(from, to);
    const merged = {
      from: Math.min(from, touched[0]?.from ?? from),
      to: Math.max(to, touched.at(-1)?.to ?? to),
    };
    this.#ranges.splice(this.#firstTo(from), touched.length, merged);
    const [lowest, next] = this.#ranges;
    const isFull = this.#atBound !== 'keep' && this.#ranges.length > LIMITS.countedRanges;
    if (isFull && lowest !== undefined && next !== undefined) {
      if (this.#atBound === 'forget') this.#ranges.shift();
      else this.#ranges.splice(0, 2, { from: lowest.from, to: next.to });
    }
    return fresh;
  }

  /** Forgets so many of the lowest; gives one past the last offset of these. */
  forgetLowest(count: number): number {
    return this.#ranges.splice(0, count).at(-1)?.to ?? 0;
  }

  /** Those that touch [from, to]. */
  #between(from: number, to: number): OffsetRange[] {
    const first = this.#firstTo(from);
    let end = first;
    while ((this.#ranges[end]?.from ?? Infinity) <= to) end++;
    return this.#ranges.slice(first, end);
  }

  /** Index of the first range that ends at the offset or after it. */
  #firstTo(offset: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ranges[middle]?.to ?? Infinity) < offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
