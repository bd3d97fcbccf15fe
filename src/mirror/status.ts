import { RangeSet } from '../range-set.ts';
import type { StreamId } from '../record.ts';
import type { LogReader, ReadGap } from '../store/log.ts';
import type { MirrorStream } from './upstream.ts';

/**
 * - `connecting`: on the way to the far side, nothing flows.
 * - `live`: everything durable is sent; `catching up`: there is a backlog; `stalled`: sent, and
 *   no answer for LIMITS.mirrorStalledMs.
 * - `backing off`: waits after a failure before it connects again.
 * - `idle`: no topic to mirror (none matches, or all are paused or stopped).
 * - `paused`: by a person. `halted`: by a failure that only a person can mend.
 * - `stopped`: the service has ended.
 */
export type MirrorState =
  | 'connecting'
  | 'live'
  | 'catching up'
  | 'stalled'
  | 'backing off'
  | 'idle'
  | 'paused'
  | 'halted'
  | 'stopped';

/** `far-behind`: the far side stands at an offset that the log, gone on since, no longer holds. */
export type GapReason = ReadGap['reason'] | 'far-behind';

export interface GapReport {
  readonly topic: string;
  readonly partition: number;
  readonly fromOffset: number;
  /** One past the last missing offset. */
  readonly toOffset: number;
  readonly reason: GapReason;
  readonly atMs: number;
}

/** What the far side refused for one kind of reason, and where the last one stands. */
export interface RejectionReport {
  /** An example: the others may differ in their numbers. */
  readonly reason: string;
  readonly records: number;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly atMs: number;
}

export interface PartitionStatus {
  readonly partition: number;
  /** Next offset wanted: everything below is at the far side, in quarantine, or a reported gap. */
  readonly position: number;
  /** One past the last durable record. */
  readonly endOffset: number;
  readonly lagRecords: number;
  /** Age of the oldest record not yet confirmed, in ms; 0 without lag; undefined until measured. */
  readonly lagMs: number | undefined;
  /** Since this process began. */
  readonly recordsSent: number;
  readonly recordsRejected: number;
  readonly recordsMissing: number;
}

export interface TopicStatus {
  readonly topic: string;
  readonly state: 'mirrored' | 'paused' | 'stopped';
  readonly sinceMs: number;
  /** Why it stopped. */
  readonly reason: string | undefined;
  readonly partitions: readonly PartitionStatus[];
}

export interface MirrorStatus {
  readonly name: string;
  readonly state: MirrorState;
  /** Wall clock, ms. */
  readonly sinceMs: number;
  /** Why it halted or backs off. */
  readonly reason: string | undefined;
  readonly lastError: { readonly text: string; readonly atMs: number } | undefined;
  /** When the next try is due, while backing off. */
  readonly nextTryMs: number | undefined;
  /** Sessions begun after the first one. */
  readonly reconnects: number;
  readonly recordsSent: number;
  readonly bytesSent: number;
  readonly recordsRejected: number;
  /** Records that the log no longer held when their turn came. */
  readonly recordsMissing: number;
  readonly lagRecords: number;
  /** The greatest of all partitions. */
  readonly lagMs: number | undefined;
  /** The latest ones; LIMITS.statusGaps at most. */
  readonly gaps: readonly GapReport[];
  /** The latest kinds of reasons; LIMITS.rejectionKinds at most. */
  readonly rejections: readonly RejectionReport[];
  readonly pendingSeeks: readonly {
    readonly topic: string;
    readonly partition: number;
    readonly offset: number;
  }[];
  readonly topics: readonly TopicStatus[];
}

/** What this process has done with one stream. */
export interface StreamProgress {
  at: MirrorStream;
  position: number;
  recordsSent: number;
  recordsRejected: number;
  recordsMissing: number;
  /** Gaps that were counted: a reconnect may meet them again. */
  readonly gaps: RangeSet;
}

export function newProgress(at: MirrorStream, position: number): StreamProgress {
  const counts = { recordsSent: 0, recordsRejected: 0, recordsMissing: 0 };
  return { at, position, ...counts, gaps: new RangeSet() };
}

/**
 * Age of the oldest unconfirmed record. Reading a timestamp costs a read of the log, so it is read
 * on demand, and never while the lag is zero; the log remembers it, and knows when it changed.
 */
export class LagMeter {
  readonly #reader: LogReader;
  readonly #known = new Map<StreamId, number | undefined>();

  constructor(reader: LogReader) {
    this.#reader = reader;
  }

  async measure(streams: Iterable<StreamProgress>): Promise<void> {
    for (const { at, position } of streams) {
      const { endOffset } = this.#reader.range(at.stream);
      if (position >= endOffset) continue;
      this.#known.set(at.stream, await this.#reader.timestampAt(at.stream, position));
    }
  }

  /** From the last measurement; a little behind while records flow. */
  lagMs(progress: StreamProgress, endOffset: number, nowMs: number): number | undefined {
    if (progress.position >= endOffset) return 0;
    const timestampMs = this.#known.get(progress.at.stream);
    return timestampMs === undefined ? undefined : Math.max(0, nowMs - timestampMs);
  }
}

export function partitionStatus(
  progress: StreamProgress,
  reader: LogReader,
  lag: LagMeter,
  nowMs: number,
): PartitionStatus {
  const { at, position, recordsSent, recordsRejected, recordsMissing } = progress;
  const { endOffset } = reader.range(at.stream);
  const lagRecords = Math.max(0, endOffset - position);
  const lagMs = lag.lagMs(progress, endOffset, nowMs);
  const counts = { recordsSent, recordsRejected, recordsMissing };
  return { partition: at.partition, position, endOffset, lagRecords, lagMs, ...counts };
}

/** The greatest lag; undefined when one is not known. */
export function greatestLag(partitions: readonly PartitionStatus[]): number | undefined {
  let greatest = 0;
  for (const { lagMs } of partitions) {
    if (lagMs === undefined) return undefined;
    greatest = Math.max(greatest, lagMs);
  }
  return greatest;
}
