import { LIMITS } from './limits.ts';
import { isoTime, parseIsoTime } from './time.ts';

/** The topic of the loss ledger, and the producer that its records come from. */
export const GAPS = '_gaps';

/**
 * Why records will never be delivered.
 * - `retention`: the topic's byte cap removed them before a mirror had them. `disk-full`: so did the
 *   disk, or the cap of the whole data folder.
 * - `corruption`: the disk lost them or gives them back altered.
 * - `rejected`, `oversize`: the far side does not take them; they are kept in `_quarantine`.
 * - `expired`: the time that its device gave it (MQTT 5, Message Expiry Interval) was over before a mirror
 *   came to it.
 * - `sampled`: the mirror's topic is sampled, and these were not the last of their key in their window.
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
  'expired',
  'sampled',
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
  /** When it happened, if that was before it could be noted: wall clock in ms, first and last part. */
  readonly heldMs?: readonly [from: number, until: number];
}

export interface LedgerEntry extends Omit<Loss, 'heldMs'> {
  /** Of the log that gave these offsets; a log that was lost as a whole begins anew, as another. */
  readonly incarnation: string;
  /** When its first and its last part were noted, or happened, wall clock in ms. */
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

/** The key of an entry's record in `_gaps`. */
export function gapKey(topic: string, partition: number | null): string {
  return partition === null ? topic : `${topic}/${partition}`;
}

/** A record of `_gaps` read back. undefined: anybody may have put it there, and it is no entry. */
export function parseGap(value: Uint8Array | string | null): GapJson | undefined {
  if (value === null || value.length > LIMITS.gapRecordBytes) return undefined;
  try {
    const text = typeof value === 'string' ? value : Buffer.from(value).toString('utf8');
    const gap = JSON.parse(text) as GapJson;
    return isGap(gap) ? gap : undefined;
  } catch {
    return undefined;
  }
}

function isGap(gap: GapJson): boolean {
  const { firstOffset, lastOffset, records, partition, bytes, mirror, reason, detail } = gap;
  const isRange =
    firstOffset === null || lastOffset === null
      ? firstOffset === lastOffset
      : isCount(firstOffset) && isCount(lastOffset) && records <= lastOffset - firstOffset + 1;
  return (
    isRange &&
    isCount(records) &&
    (partition === null || isCount(partition)) &&
    (bytes === null || isCount(bytes)) &&
    [gap.incarnation, gap.topic, mirror ?? ''].every((name) =>
      isText(name, LIMITS.topicNameBytes),
    ) &&
    isText(detail, LIMITS.ledgerDetailChars) &&
    LOSS_REASONS.includes(reason) &&
    [gap.from, gap.to].every((time) => parseIsoTime(time) !== undefined)
  );
}

function isText(value: string, maxChars: number): boolean {
  return typeof value === 'string' && value.length <= maxChars;
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
