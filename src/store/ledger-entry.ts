import { LIMITS } from '../limits.ts';
import { isoTime } from '../time.ts';
import type { LedgerEntry, Loss } from './log.ts';

/** What must be equal for one entry to take in another loss. */
export function ledgerKind({ topic, partition, reason, mirror, detail }: Loss): string {
  return JSON.stringify([topic, partition ?? null, reason, mirror ?? null, detail]);
}

export function newEntry(loss: Loss, nowMs: number): LedgerEntry {
  const detail = loss.detail.slice(0, LIMITS.ledgerDetailChars);
  return { ...loss, detail, atMs: nowMs, untilMs: nowMs };
}

/** The entry with the loss taken in, or undefined when the loss does not continue it. */
export function extended(entry: LedgerEntry, loss: Loss, nowMs: number): LedgerEntry | undefined {
  if (Math.abs(nowMs - entry.atMs) >= LIMITS.ledgerOpenMs) return undefined;
  if (entry.toOffset !== loss.fromOffset) return undefined;
  // A range that holds others too must not make a full one look so, nor the other way.
  if (coversAll(entry) !== coversAll(loss)) return undefined;
  return {
    ...entry,
    toOffset: loss.toOffset,
    records: entry.records + loss.records,
    bytes:
      entry.bytes === undefined || loss.bytes === undefined ? undefined : entry.bytes + loss.bytes,
    untilMs: Math.max(entry.untilMs, nowMs),
  };
}

/** Every offset of the range is lost. */
export function coversAll({ fromOffset, toOffset, records, reason }: Loss): boolean {
  if (fromOffset === undefined || toOffset === undefined) return false;
  return reason !== 'rewound' && records === toOffset - fromOffset;
}

/** The key and value of the entry's record in `_gaps`: JSON, for any reader of the central topic. */
export function gapRecord(entry: LedgerEntry): { readonly key: Buffer; readonly value: Buffer } {
  const { topic, partition, fromOffset, toOffset, records, bytes, reason, detail, mirror } = entry;
  const value = {
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
  const key = partition === undefined ? topic : `${topic}/${partition}`;
  return { key: Buffer.from(key), value: Buffer.from(JSON.stringify(value)) };
}
