import { type Coverage, holesIn } from '../coverage.ts';
import { GatelogError } from '../errors.ts';
import { type OffsetRange, RangeSet } from '../range-set.ts';
import type { StreamId } from '../record.ts';
import type { LogReader, LossLedger } from '../store/log.ts';
import type { PendingSeek } from './decisions.ts';
import type { MirrorGap } from './mirror-cursor.ts';
import type { LinkStatus } from './policy/link-status.ts';
import type { SampleRule } from './sample-rule.ts';
import type { Drain, TopicClass } from './selection.ts';
import type { PendingSkip } from './skip.ts';
import type { MirrorStream } from './upstream.ts';

/**
 * - `connecting`: on the way to the far side, nothing flows.
 * - `live`: everything durable is there, or on its way for less than MIRROR_LIMITS.liveWithinMs;
 *   `catching up`: there is a backlog. Both only while the far side answers: receipts, or the probe of
 *   an idle session.
 * - `stalled`: a session stands, and the far side has owed an answer for LIMITS.mirrorStalledMs.
 * - `backing off`: the far side can't be reached; waits before it connects again.
 * - `refused`: the far side answered and said no (credentials, rights, a certificate), or to every
 *   topic (rights, one that is not there); tried again likewise.
 * - `idle`: no topic to mirror (none matches, or all are paused).
 * - `paused`: by a person. `halted`: by a failure that only a person can mend.
 * - `over budget`, `waiting for schedule`, `metered`: the link's policy holds back what waits; other
 *   classes may go, and `link.holds` says which do not.
 * - `stopped`: the service has ended.
 */
export const MIRROR_STATES = [
  'connecting',
  'live',
  'catching up',
  'stalled',
  'backing off',
  'refused',
  'idle',
  'paused',
  'halted',
  'over budget',
  'waiting for schedule',
  'metered',
  'stopped',
] as const;
export type MirrorState = (typeof MIRROR_STATES)[number];

/** `far-behind`: the far side stands at an offset that the log, gone on since, no longer holds. */
export type GapReason = MirrorGap['reason'] | 'far-behind';

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
  /** Records beyond it that have been sent already, out of the log's order. */
  readonly recordsAhead: number;
  /** One past the last durable record. */
  readonly endOffset: number;
  /** Records that can still be sent: without those that are lost already. */
  readonly lagRecords: number;
  /** Age of the oldest record not yet confirmed, in ms; 0 without lag; undefined until measured. */
  readonly lagMs: number | undefined;
  /** Since this process began. */
  readonly recordsSent: number;
  readonly recordsRejected: number;
  /** Met since this process began, and those ahead of the position that are known to be lost. */
  readonly recordsMissing: number;
  /** Left out since this process began: the time that their devices gave them was over. */
  readonly recordsExpired: number;
  /** Left out since this process began: only a sample of the topic went. With `rest: later` for a while. */
  readonly recordsSampled: number;
}

export interface SampleStatus {
  /** As the configuration has it. */
  readonly when: SampleRule['when'];
  readonly keep: string;
  readonly rest: SampleRule['rest'];
  /** Only a sample goes at present. */
  readonly now: boolean;
  /** Not even that: what is remembered of samples that went is at its bound (SAMPLE_LIMITS.bookBytes). */
  readonly full: boolean;
}

export interface TopicStatus {
  readonly topic: string;
  /**
   * `mirrored`: everything is there, or about to be; `behind`: records wait; `held`: by the link's policy;
   * `sampled`: only a sample goes at present; `paused` by a person, `stopped` by a failure of its own.
   */
  readonly state: 'mirrored' | 'behind' | 'held' | 'sampled' | 'paused' | 'stopped';
  readonly sinceMs: number;
  /** Why it stopped. */
  readonly reason: string | undefined;
  readonly class: TopicClass;
  readonly drain: Drain;
  /** undefined: all records go. */
  readonly sample: SampleStatus | undefined;
  /** Records that can still be sent. */
  readonly lagRecords: number;
  /** Age of the oldest of these, in ms; 0 without any; undefined until measured. */
  readonly lagMs: number | undefined;
  /**
   * Until they, and what comes meanwhile, are sent at the rates of the last minute, in ms; undefined while none
   * are sent, or as many come as go.
   */
  readonly etaMs: number | undefined;
  /** When what holds it back is to end: wall clock, ms. */
  readonly heldUntilMs: number | undefined;
  readonly partitions: readonly PartitionStatus[];
}

export interface MirrorStatus {
  readonly name: string;
  readonly state: MirrorState;
  /** Since when it is in this state: wall clock, ms. */
  readonly sinceMs: number;
  /** Likewise, as a time that passed, whatever the wall clock did. */
  readonly forMs: number;
  /** For how long there has been no session though one is wanted; undefined when that is not so. */
  readonly downForMs: number | undefined;
  /** For how long the oldest batch that was sent has had no receipt, in ms; 0: there is none. */
  readonly unansweredMs: number;
  /** What slows the far side down, such as a quota; undefined while nothing does. */
  readonly slowness: string | undefined;
  /** Why it halted, is refused, or backs off. */
  readonly reason: string | undefined;
  readonly lastError: { readonly text: string; readonly atMs: number } | undefined;
  /** When the next try is due, while backing off; when what holds everything back is to end. */
  readonly nextTryMs: number | undefined;
  /** Sessions begun after the first one. */
  readonly reconnects: number;
  /** Sessions that failed, or did not come about, since this process began. */
  readonly failures: number;
  readonly recordsSent: number;
  readonly bytesSent: number;
  readonly recordsRejected: number;
  /** Records that the log no longer held when their turn came, or will not hold then. */
  readonly recordsMissing: number;
  /** Left out: the time that their devices gave them was over. */
  readonly recordsExpired: number;
  /** Left out: only a sample of their topics went. */
  readonly recordsSampled: number;
  /** Records that can still be sent. */
  readonly lagRecords: number;
  /** The greatest of all partitions. */
  readonly lagMs: number | undefined;
  /** The latest ones; LIMITS.statusGaps at most. */
  readonly gaps: readonly GapReport[];
  /** The latest kinds of reasons; LIMITS.rejectionKinds at most. */
  readonly rejections: readonly RejectionReport[];
  /** What a person decided and no session has taken over yet. */
  readonly pendingSeeks: readonly PendingSeek[];
  readonly pendingSkips: readonly PendingSkip[];
  readonly topics: readonly TopicStatus[];
  /** undefined: nothing is set about the link. */
  readonly link?: LinkStatus | undefined;
}

/** What this process has done with one stream. */
export interface StreamProgress {
  at: MirrorStream;
  had: Coverage;
  recordsSent: number;
  recordsRejected: number;
  recordsMissing: number;
  recordsExpired: number;
  recordsSampled: number;
  /** Gaps that were counted: a reconnect may meet them again. */
  readonly gaps: RangeSet;
}

export function newProgress(at: MirrorStream, had: Coverage): StreamProgress {
  const passed = { recordsMissing: 0, recordsExpired: 0, recordsSampled: 0 };
  return { at, had, recordsSent: 0, recordsRejected: 0, ...passed, gaps: new RangeSet() };
}

/**
 * Age of the oldest unconfirmed record. Reading a timestamp costs a read of the log, so it is read
 * on demand, and never while the lag is zero; the log remembers it, and knows when it changed.
 */
export class LagMeter {
  readonly #reader: LogReader;
  readonly #known = new Map<StreamId, number | undefined>();
  #measuring: Promise<void> | undefined;

  constructor(reader: LogReader) {
    this.#reader = reader;
  }

  /** One at a time. What the disk does not give at present stays as it was known: all else is told all the same. */
  measure(streams: Iterable<StreamProgress>): Promise<void> {
    this.#measuring ??= this.#measure([...streams]).finally(() => {
      this.#measuring = undefined;
    });
    return this.#measuring;
  }

  async #measure(streams: readonly StreamProgress[]): Promise<void> {
    for (const { at, had } of streams) {
      const { endOffset } = this.#reader.range(at.stream);
      if (had.next >= endOffset) continue;
      try {
        this.#known.set(at.stream, await this.#reader.timestampAt(at.stream, had.next));
      } catch (error) {
        if (!(error instanceof GatelogError)) throw error;
      }
    }
  }

  /** From the last measurement; a little behind while records flow. */
  lagMs(progress: StreamProgress, endOffset: number, nowMs: number): number | undefined {
    if (progress.had.next >= endOffset) return 0;
    const timestampMs = this.#known.get(progress.at.stream);
    return timestampMs === undefined ? undefined : Math.max(0, nowMs - timestampMs);
  }
}

/** What a partition's status is read off. */
export interface StatusSources {
  readonly reader: LogReader;
  readonly ledger: Pick<LossLedger, 'lost'>;
  readonly lag: LagMeter;
  /** Records at and above `next` that went as a sample before. */
  readonly keptAhead: (stream: StreamId, had: Coverage) => number;
}

export function partitionStatus(
  progress: StreamProgress,
  { reader, ledger, lag, keptAhead }: StatusSources,
  nowMs: number,
): PartitionStatus {
  const { at, had, recordsSent, recordsRejected, recordsExpired, recordsSampled } = progress;
  const { startOffset, endOffset } = reader.range(at.stream);
  // Retention lets nothing go that a mirror wants without the ledger knowing.
  const from = Math.min(Math.max(had.next, startOffset), endOffset);
  const ahead = [
    ...holesIn(had, 0, from),
    ...ledger
      .lost(at.topic, at.partition, from, endOffset)
      .flatMap((range) => holesIn(had, range.from, range.to)),
  ];
  const lost = recordsIn(ahead);
  const sampled = had.sampledTo === undefined ? 0 : keptAhead(at.stream, had);
  const lagRecords = Math.max(0, recordsIn(holesIn(had, 0, endOffset)) - lost - sampled);
  const lagMs = lagRecords === 0 ? 0 : lag.lagMs(progress, endOffset, nowMs);
  const unmet = ahead.flatMap((range) => progress.gaps.rest(range.from, range.to));
  const recordsMissing = progress.recordsMissing + recordsIn(unmet);
  const counts = { recordsSent, recordsRejected, recordsMissing, recordsExpired, recordsSampled };
  const recordsAhead = recordsIn(had.ahead) + sampled;
  const stand = { position: had.next, recordsAhead, endOffset };
  return { partition: at.partition, ...stand, lagRecords, lagMs, ...counts };
}

function recordsIn(ranges: readonly OffsetRange[]): number {
  return ranges.reduce((sum, { from, to }) => sum + to - from, 0);
}

/** The greatest lag; undefined when one is not known. */
export function greatestLag(
  partitions: readonly Pick<PartitionStatus, 'lagMs'>[],
): number | undefined {
  let greatest = 0;
  for (const { lagMs } of partitions) {
    if (lagMs === undefined) return undefined;
    greatest = Math.max(greatest, lagMs);
  }
  return greatest;
}
