import { LIMITS } from '../limits.ts';
import type { LogRecord, StreamId } from '../record.ts';
import type { Refused } from './pump.ts';

/** Records of one partition that were refused for one kind of reason. */
export interface RefusedRange {
  fromOffset: number;
  /** One past the last; those between need not all be refused. */
  toOffset: number;
  records: number;
  /** Of keys, values and headers. */
  bytes: number;
}

/** What was refused for one kind of reason. */
export interface RefusedGroup {
  readonly kind: string;
  /** Of the first one. */
  readonly reason: string;
  records: number;
  readonly ranges: ReadonlyMap<StreamId, RefusedRange>;
}

const OTHERS = 'others';

/** Groups by kind of reason: reasons that differ only in their numbers are one kind. */
export function groupRefused(refused: readonly Refused[]): readonly RefusedGroup[] {
  const groups = new Map<string, RefusedGroup & { ranges: Map<StreamId, RefusedRange> }>();
  for (const { stream, record, reason: whole } of refused) {
    const reason = whole.slice(0, LIMITS.reasonChars);
    const own = reason.replaceAll(/\d+/gu, '#');
    const kind = groups.has(own) || groups.size < LIMITS.rejectionKinds - 1 ? own : OTHERS;
    let group = groups.get(kind);
    if (group === undefined) {
      group = { kind, reason, records: 0, ranges: new Map() };
      groups.set(kind, group);
    }
    group.records++;
    let range = group.ranges.get(stream);
    if (range === undefined) {
      range = { fromOffset: record.offset, toOffset: record.offset, records: 0, bytes: 0 };
      group.ranges.set(stream, range);
    }
    range.fromOffset = Math.min(range.fromOffset, record.offset);
    range.toOffset = Math.max(range.toOffset, record.offset + 1);
    range.records++;
    range.bytes += bytesOf(record);
  }
  return [...groups.values()];
}

function bytesOf({ key, value, headers }: LogRecord): number {
  return (key?.length ?? 0) + (value?.length ?? 0) + headers.length;
}
