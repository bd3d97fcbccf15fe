import { LIMITS } from '../limits.ts';
import { gapJson, gapKey, type LedgerEntry, type Loss, type LossReason } from '../loss.ts';

/** What must be equal for one entry to take in another loss. */
export function ledgerKind(entry: LedgerEntry): string {
  const { incarnation, topic, partition, reason, mirror, detail } = entry;
  return JSON.stringify([incarnation, topic, partition ?? null, reason, mirror ?? null, detail]);
}

export function newEntry(loss: Loss, incarnation: string, nowMs: number): LedgerEntry {
  const { heldMs: [atMs, untilMs] = [nowMs, nowMs], ...told } = loss;
  const detail = loss.detail.slice(0, LIMITS.ledgerDetailChars);
  return { ...told, detail, incarnation, atMs, untilMs };
}

/** The entry with the loss taken in; undefined when the loss does not continue it, or it is too old. */
export function extended(
  entry: LedgerEntry,
  loss: LedgerEntry,
  nowMs: number,
  openMs: number,
): LedgerEntry | undefined {
  if (Math.abs(nowMs - entry.atMs) >= openMs) return undefined;
  if (!follows(entry, loss)) return undefined;
  return {
    ...entry,
    toOffset: loss.toOffset,
    records: entry.records + loss.records,
    bytes:
      entry.bytes === undefined || loss.bytes === undefined ? undefined : entry.bytes + loss.bytes,
    untilMs: Math.max(entry.untilMs, loss.untilMs),
  };
}

const STANDS_AMONG_OTHERS: ReadonlySet<LossReason> = new Set<LossReason>([
  'rejected',
  'oversize',
  'sampled',
]);

/** Refused records, and those beside a sample, stand among others that were delivered; any other range is lost as a whole. */
function follows(entry: Loss, loss: Loss): boolean {
  if (entry.toOffset === undefined || loss.fromOffset === undefined) {
    return entry.toOffset === loss.fromOffset;
  }
  if (STANDS_AMONG_OTHERS.has(entry.reason)) {
    return loss.fromOffset >= entry.toOffset;
  }
  return loss.fromOffset === entry.toOffset && coversAll(entry) === coversAll(loss);
}

/** Every offset of the range is lost. */
export function coversAll({ fromOffset, toOffset, records, reason }: Loss): boolean {
  if (fromOffset === undefined || toOffset === undefined) return false;
  return reason !== 'rewound' && records === toOffset - fromOffset;
}

/** The key and value of the entry's record in `_gaps`: JSON, for any reader of the central topic. */
export function gapRecord(entry: LedgerEntry): { readonly key: Buffer; readonly value: Buffer } {
  const { topic, partition } = entry;
  const key = gapKey(topic, partition ?? null);
  return { key: Buffer.from(key), value: Buffer.from(JSON.stringify(gapJson(entry))) };
}
