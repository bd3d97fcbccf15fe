import { isoTime } from './time.ts';

/**
 * Why records will never be delivered.
 * - `retention`: the topic's byte cap removed them before a mirror had them. `disk-full`: so did the
 *   disk, or the cap of the whole data folder.
 * - `corruption`: the disk lost them or gives them back altered.
 * - `rejected`, `oversize`: the far side does not take them; they are kept in `_quarantine`.
 * - `pressure`: QoS 0 messages that came while nothing could be stored; they never had an offset.
 * - `skipped`, `rewound`: a person moved a mirror forward over them, or back, so that they come again.
 * - `far-behind`: the far side went back to before them, and the log no longer holds them.
 */
export const LOSS_REASONS = [
  'retention',
  'disk-full',
  'corruption',
  'rejected',
  'oversize',
  'pressure',
  'skipped',
  'rewound',
  'far-behind',
] as const;
export type LossReason = (typeof LOSS_REASONS)[number];

/** Records that will never be delivered. */
export interface Loss {
  readonly topic: string;
  /** undefined: they never got a partition. */
  readonly partition: number | undefined;
  /** undefined: no offsets were given to them, and `records` counts. */
  readonly fromOffset: number | undefined;
  /** One past the last. */
  readonly toOffset: number | undefined;
  /** Fewer than the range holds, where those between were delivered. */
  readonly records: number;
  /** Of keys, values and headers, or on disk; undefined when nobody knows. */
  readonly bytes: number | undefined;
  readonly reason: LossReason;
  /** The cause, for people. */
  readonly detail: string;
  /** Lost for this mirror; undefined: for every reader. */
  readonly mirror: string | undefined;
}

export interface LedgerEntry extends Loss {
  /** Of the log that gave these offsets; a log that was lost as a whole begins anew, as another. */
  readonly incarnation: string;
  /** When its first and its last part were noted, wall clock in ms. */
  readonly atMs: number;
  readonly untilMs: number;
}

export interface LossCount {
  readonly records: number;
  readonly bytes: number;
}
export type LossTotals = Readonly<Record<LossReason, LossCount>>;

/**
 * An entry as JSON: the value of its record in `_gaps`, a line of `gatelog gaps --json`. Field names
 * are API. Offsets are inclusive, times ISO 8601 in UTC.
 */
export interface GapJson {
  readonly incarnation: string;
  readonly topic: string;
  readonly partition: number | null;
  readonly firstOffset: number | null;
  readonly lastOffset: number | null;
  readonly records: number;
  readonly bytes: number | null;
  readonly reason: LossReason;
  readonly detail: string;
  readonly mirror: string | null;
  readonly from: string;
  readonly to: string;
}

export function gapJson(entry: LedgerEntry): GapJson {
  const { fromOffset, toOffset, partition, bytes, mirror } = entry;
  const { incarnation, topic, records, reason, detail } = entry;
  return {
    incarnation,
    topic,
    partition: partition ?? null,
    firstOffset: fromOffset ?? null,
    lastOffset: toOffset === undefined ? null : toOffset - 1,
    records,
    bytes: bytes ?? null,
    reason,
    detail,
    mirror: mirror ?? null,
    from: isoTime(entry.atMs),
    to: isoTime(entry.untilMs),
  };
}
