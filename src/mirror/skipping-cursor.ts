import { type Coverage, type Coverages, holesIn, upTo } from '../coverage.ts';
import type { OffsetRange } from '../range-set.ts';
import type { StreamId } from '../record.ts';
import { takeAlong } from './batch-ranges.ts';
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

/** What has been had once the far side knows of these. */
export function afterAll(had: Coverages, batches: readonly MirrorBatch[]): Coverages {
  const after = new Map<StreamId, Coverage>(had);
  for (const batch of batches) takeAlong(after, batch);
  return after;
}

/** Before anything else gives batches that only tell: of what is left out. */
export class SkippingCursor implements MirrorCursor {
  readonly #inner: MirrorCursor;
  readonly #first: MirrorBatch[];

  /** `inner` reads nothing of them. */
  constructor(inner: MirrorCursor, first: readonly MirrorBatch[]) {
    this.#inner = inner;
    this.#first = [...first];
  }

  next(limits: ReadLimits): Promise<MirrorBatch> {
    const first = this.#first.shift();
    return first === undefined ? this.#inner.next(limits) : Promise.resolve(first);
  }

  wait(signal: AbortSignal): Promise<void> {
    return this.#first.length > 0 ? Promise.resolve() : this.#inner.wait(signal);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}
