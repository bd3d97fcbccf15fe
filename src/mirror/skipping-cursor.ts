import { type Coverage, type Coverages, holesIn, upTo, withRange } from '../coverage.ts';
import type { OffsetRange } from '../range-set.ts';
import type { StreamId } from '../record.ts';
import type { MirrorBatch, MirrorCursor, MirrorGap } from './mirror-cursor.ts';
import type { ReadLimits } from './range-cursor.ts';

/** What a person wants left out, of a stream. */
export type Skips = ReadonlyMap<StreamId, readonly OffsetRange[]>;

/** The parts of it that were not had. */
export function gapsOf(skips: Skips, had: Coverages): MirrorGap[] {
  return [...skips].flatMap(([stream, ranges]) =>
    ranges.flatMap((range) =>
      holesIn(had.get(stream) ?? upTo(0), range.from, range.to).map(({ from, to }): MirrorGap => {
        return { stream, fromOffset: from, toOffset: to, reason: 'skipped' };
      }),
    ),
  );
}

/** What has been had once the far side knows of them. */
export function afterGaps(had: Coverages, gaps: readonly MirrorGap[]): Coverages {
  const after = new Map<StreamId, Coverage>(had);
  for (const { stream, fromOffset, toOffset } of gaps) {
    after.set(stream, withRange(after.get(stream) ?? upTo(0), fromOffset, toOffset));
  }
  return after;
}

/** Before anything else tells what a person wants left out, as a batch of its own. */
export class SkippingCursor implements MirrorCursor {
  readonly #inner: MirrorCursor;
  #gaps: readonly MirrorGap[];

  /** `inner` reads nothing of them. */
  constructor(inner: MirrorCursor, gaps: readonly MirrorGap[]) {
    this.#inner = inner;
    this.#gaps = gaps;
  }

  async next(limits: ReadLimits): Promise<MirrorBatch> {
    if (this.#gaps.length === 0) return this.#inner.next(limits);
    const gaps = this.#gaps;
    this.#gaps = [];
    return { slices: [], gaps, records: 0, bytes: 0 };
  }

  wait(signal: AbortSignal): Promise<void> {
    return this.#gaps.length > 0 ? Promise.resolve() : this.#inner.wait(signal);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}
