import type { StreamId } from '../record.ts';
import type { CursorBatch, LogCursor, ReadGap } from '../store/log.ts';
import type { ReadLimits } from './range-cursor.ts';

/** A range that the log no longer holds, or that a person wants left out. */
export interface MirrorGap extends Omit<ReadGap, 'reason'> {
  readonly reason: ReadGap['reason'] | 'skipped';
}

/** Records of one stretch of a stream that are left out; those between them are in the batch. */
export interface Expired {
  readonly stream: StreamId;
  /** Ascending, at least one. */
  readonly offsets: readonly number[];
  /** Of keys, values and headers. */
  readonly bytes: number;
}

export interface MirrorBatch extends Omit<CursorBatch, 'gaps'> {
  readonly gaps: readonly MirrorGap[];
  readonly expired?: readonly Expired[];
  /** There is more behind it, here or in other lanes: how much it holds itself says nothing of that. */
  readonly hasBacklog?: boolean;
}

/** What the pump reads from: a cursor of the log, and what a mirror leaves out on its way. */
export interface MirrorCursor extends Omit<LogCursor, 'next'> {
  next(limits: ReadLimits): Promise<MirrorBatch>;
}
