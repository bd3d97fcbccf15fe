import { LIMITS } from '../limits.ts';
import { RangeSet, type OffsetRange } from '../range-set.ts';

/**
 * Which offsets stand in the ledger, by place (a partition, for every reader or for one mirror), as
 * far as they are known by heart. At the bound on all places together the lowest ranges of the
 * largest are forgotten: whether these stand in it only the stored entries tell.
 */
export class LedgerRanges {
  readonly #bound: number;
  readonly #places = new Map<string, RangeSet>();
  /** By place: below it ranges were forgotten. */
  readonly #forgotten = new Map<string, number>();
  #size = 0;

  constructor(bound: number = LIMITS.ledgerRanges) {
    this.#bound = bound;
  }

  add(place: string, { from, to }: OffsetRange): void {
    const ranges = rangesOf(this.#places, place);
    const before = ranges.size;
    ranges.add(from, to);
    this.#size += ranges.size - before;
    if (this.#size > this.#bound) this.#forget();
  }

  of(place: string): RangeSet | undefined {
    return this.#places.get(place);
  }

  /** Some of the range is not known, and may stand in a stored entry all the same. */
  isDoubtful(place: string, { from, to }: OffsetRange): boolean {
    const below = Math.min(to, this.#forgotten.get(place) ?? 0);
    if (from >= below) return false;
    return (this.#places.get(place)?.rest(from, below).length ?? 1) > 0;
  }

  /** Half of each that is not smaller than others are, so that it is not soon done again. */
  #forget(): void {
    const usual = this.#size / this.#places.size;
    for (const [place, ranges] of this.#places) {
      if (ranges.size < usual) continue;
      const count = Math.ceil(ranges.size / 2);
      const below = ranges.forgetLowest(count);
      this.#size -= count;
      this.#forgotten.set(place, Math.max(below, this.#forgotten.get(place) ?? 0));
      if (ranges.size === 0) this.#places.delete(place);
    }
  }
}

/** Made when there is none. */
export function rangesOf(all: Map<string, RangeSet>, place: string): RangeSet {
  let ranges = all.get(place);
  if (ranges === undefined) all.set(place, (ranges = new RangeSet('keep')));
  return ranges;
}
