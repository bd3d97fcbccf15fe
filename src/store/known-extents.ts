import { LIMITS } from '../limits.ts';
import type { Lookup } from './lookup.ts';
import { extentOf, type SegmentExtent } from './segment-extent.ts';
import type { Segments } from './segments.ts';

/**
 * What sealed segments hold, remembered: it never changes, not even where one is thinned. Beyond a
 * bound on memory the newer ones are asked for again.
 */
export class KnownExtents {
  readonly #segments: Segments;
  readonly #lookup: Lookup;
  readonly #known = new Map<number, SegmentExtent>();
  #streams = 0;

  constructor(segments: Segments, lookup: Lookup) {
    this.#segments = segments;
    this.#lookup = lookup;
  }

  /** By segments before `end`, oldest first. One whose end can't be read is left out. */
  async before(end: number): Promise<{
    readonly extents: ReadonlyMap<number, SegmentExtent>;
    /** Another look would find the same. */
    readonly sure: boolean;
  }> {
    this.#forget();
    const extents = new Map<number, SegmentExtent>();
    let sure = true;
    const { firsts } = this.#segments;
    for (const [index, first] of firsts.entries()) {
      if (first >= end) break;
      let extent = this.#known.get(first);
      if (extent === undefined) {
        extent = await extentOf(first, this.#lookup);
        const next = firsts[index + 1];
        // One that can't be read may be mended, and then less stands in what is beside it.
        if (next !== undefined && this.#lookup.knows(first) && this.#lookup.knows(next)) {
          if (extent !== undefined) this.#keep(first, extent);
        } else sure = false;
      }
      if (extent !== undefined) extents.set(first, extent);
    }
    return { extents, sure };
  }

  #keep(first: number, extent: SegmentExtent): void {
    const { length } = extent.streams;
    if (this.#known.has(first) || this.#streams + length > LIMITS.keptExtentStreams) return;
    this.#known.set(first, extent);
    this.#streams += length;
  }

  #forget(): void {
    for (const [first, { streams }] of this.#known) {
      if (this.#segments.has(first)) continue;
      this.#known.delete(first);
      this.#streams -= streams.length;
    }
  }
}
