import type { OffsetRange } from '../range-set.ts';
import type { StreamId } from '../record.ts';
import type { CursorBatch, LogCursor, ReadGap } from '../store/log.ts';
import type { ReadLimits } from './range-cursor.ts';
import type { SampleRule } from './sample-rule.ts';

/**
 * A range that the log no longer holds, or that a person wants left out; or of which a sample was sent,
 * and nobody knows any more which records that were.
 */
export interface MirrorGap extends Omit<ReadGap, 'reason'> {
  readonly reason: ReadGap['reason'] | 'skipped' | 'sampled';
}

/** Records of one stretch of a stream that are left out; those between them are in the batch. */
export interface Expired {
  readonly stream: StreamId;
  /** Ascending, at least one. */
  readonly offsets: readonly number[];
  /** Of keys, values and headers. */
  readonly bytes: number;
}

/** A stretch of a stream of which a sample goes: the records of it that are in the batch. */
export interface Sampled extends OffsetRange {
  readonly stream: StreamId;
  /** Offsets of the sample, ascending. */
  readonly kept: readonly number[];
  /** What is left out, ascending; of keys, values and headers. */
  readonly left: readonly OffsetRange[];
  readonly leftBytes: number;
  readonly rest: SampleRule['rest'];
}

/** Records of a stretch of a stream that went before, as its sample; those around them are in the batch. */
export interface Resumed {
  readonly stream: StreamId;
  /** Ascending, at least one. */
  readonly offsets: readonly number[];
}

export interface MirrorBatch extends Omit<CursorBatch, 'gaps'> {
  readonly gaps: readonly MirrorGap[];
  readonly expired?: readonly Expired[];
  readonly sampled?: readonly Sampled[];
  readonly resumed?: readonly Resumed[];
  /** There is more behind it, here or in other lanes: how much it holds itself says nothing of that. */
  readonly hasBacklog?: boolean;
}

/** What the pump reads from: a cursor of the log, and what a mirror leaves out on its way. */
export interface MirrorCursor extends Omit<LogCursor, 'next'> {
  next(limits: ReadLimits): Promise<MirrorBatch>;
}

/** Nothing was read, and nothing is to be told. */
export function isEmpty({ records, gaps, expired, sampled, resumed }: MirrorBatch): boolean {
  return records === 0 && [gaps, expired, sampled, resumed].every((told) => !told?.length);
}

export const NOTHING: MirrorBatch = { slices: [], gaps: [], records: 0, bytes: 0 };
