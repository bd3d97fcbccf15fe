import type { OffsetRange } from '../range-set.ts';
import type { LogRecord, StreamId } from '../record.ts';
import type { ReadGap, Slice } from '../store/log.ts';
import { leftBetween } from './batch-ranges.ts';
import type { Sampled } from './mirror-cursor.ts';
import type { ReadLimits } from './range-cursor.ts';
import type { SampleRule } from './sample-rule.ts';
import { recordBytes } from './slices.ts';

/** A part of what a window keeps, with what is left out before each record of it. */
export interface WindowPart {
  readonly sampled: Sampled;
  readonly slices: readonly Slice[];
  readonly gaps: readonly ReadGap[];
  /** Of the records in `slices`. */
  readonly bytes: number;
  readonly isLast: boolean;
}

/** The last record of each key in a run of a stream's records; one without a key is always kept. */
export class SampleWindow implements OffsetRange {
  readonly stream: StreamId;
  from: number;
  /** One past the last that was read. */
  to: number;
  readonly #rule: SampleRule;
  readonly #begunMs: number;
  /** Which stretch of the calendar; undefined: there were only gaps. */
  #slot: number | undefined;
  readonly #last = new Map<string, LogRecord>();
  #unkeyed: LogRecord[] = [];
  /** Read since `settle`: they are views of what was read. */
  readonly #fresh = new Set<string>();
  #freshUnkeyed = 0;
  #gaps: ReadGap[] = [];
  #readBytes = 0;
  /** Once it has ended: what was not given yet, ascending. */
  #rest: LogRecord[] | undefined;
  #leftShare = 0;
  /** What it remembers. */
  bytes = 0;

  /** `begunMs`: monotonic. */
  constructor(stream: StreamId, rule: SampleRule, from: number, begunMs: number) {
    this.stream = stream;
    this.#rule = rule;
    this.from = from;
    this.to = from;
    this.#begunMs = begunMs;
  }

  /** Records that it keeps. */
  get size(): number {
    return this.#rest?.length ?? this.#last.size + this.#unkeyed.length;
  }

  /** Whether what stands at `offset` belongs to it; `slot` of a record, undefined for a gap. */
  goesOn(offset: number, slot: number | undefined): boolean {
    if (offset !== this.to) return false;
    return slot === undefined || this.#slot === undefined || slot === this.#slot;
  }

  /** Until its time is over, by the calendar or since it was begun; what comes first. */
  leftMs(nowMs: number, monotonicMs: number): number {
    const { perMs } = this.#rule;
    const sinceBegun = this.#begunMs + perMs - monotonicMs;
    if (this.#slot === undefined) return 0;
    return Math.min(sinceBegun, (this.#slot + 1) * perMs - nowMs);
  }

  addGap(gap: ReadGap): void {
    this.#gaps.push(gap);
    this.to = gap.toOffset;
  }

  add(record: LogRecord, slot: number): void {
    this.#slot = slot;
    this.to = record.offset + 1;
    const bytes = recordBytes(record);
    this.#readBytes += bytes;
    this.bytes += bytes;
    if (record.key === null) {
      this.#unkeyed.push(record);
      this.#freshUnkeyed++;
      return;
    }
    const key = Buffer.from(record.key).toString('latin1');
    const before = this.#last.get(key);
    if (before !== undefined) this.bytes -= recordBytes(before);
    this.#last.set(key, record);
    this.#fresh.add(key);
  }

  /** What was read is about to be given back: what stays is copied. */
  settle(): void {
    for (const key of this.#fresh) {
      const record = this.#last.get(key);
      if (record !== undefined) this.#last.set(key, copyOf(record));
    }
    this.#fresh.clear();
    const from = this.#unkeyed.length - this.#freshUnkeyed;
    for (let at = from; at < this.#unkeyed.length; at++) {
      const record = this.#unkeyed[at];
      if (record !== undefined) this.#unkeyed[at] = copyOf(record);
    }
    this.#freshUnkeyed = 0;
  }

  /** After it has ended: the next part, of at least one record where any is left. */
  give({ maxRecords, maxBytes }: ReadLimits): WindowPart {
    const rest = (this.#rest ??= this.#sample());
    let bytes = 0;
    let count = 0;
    for (const record of rest) {
      if (count > 0 && (count >= maxRecords || bytes >= maxBytes)) break;
      bytes += recordBytes(record);
      count++;
    }
    const given = rest.splice(0, count);
    const isLast = rest.length === 0;
    const from = this.from;
    const to = isLast ? this.to : (given.at(-1)?.offset ?? this.to - 1) + 1;
    const gaps = this.#gaps.filter(({ fromOffset }) => fromOffset < to);
    this.#gaps = this.#gaps.filter(({ fromOffset }) => fromOffset >= to);
    this.from = to;
    const kept = given.map(({ offset }) => offset);
    const left = leftBetween(from, to, [
      ...given.map(({ offset }) => ({ from: offset, to: offset + 1 })),
      ...gaps.map(({ fromOffset, toOffset }) => ({ from: fromOffset, to: toOffset })),
    ]);
    const { stream } = this;
    const { rest: whatOfIt } = this.#rule;
    const leftRecords = left.reduce((sum, range) => sum + range.to - range.from, 0);
    const leftBytes = Math.round(leftRecords * this.#leftShare);
    const sampled = { stream, from, to, kept, left, leftBytes, rest: whatOfIt };
    return { sampled, slices: slicesOf(stream, given), gaps, bytes, isLast };
  }

  #sample(): LogRecord[] {
    const kept = [...this.#last.values(), ...this.#unkeyed].toSorted(
      (one, other) => one.offset - other.offset,
    );
    const gone = this.#gaps.reduce((sum, gap) => sum + gap.toOffset - gap.fromOffset, 0);
    const leftRecords = this.to - this.from - gone - kept.length;
    this.#leftShare = leftRecords === 0 ? 0 : (this.#readBytes - this.bytes) / leftRecords;
    this.#last.clear();
    this.#unkeyed = [];
    return kept;
  }
}

/** A slice is dense. */
function slicesOf(stream: StreamId, records: readonly LogRecord[]): Slice[] {
  const slices: { stream: StreamId; records: LogRecord[] }[] = [];
  for (const record of records) {
    const last = slices.at(-1);
    const before = last?.records.at(-1);
    if (last !== undefined && before?.offset === record.offset - 1) last.records.push(record);
    else slices.push({ stream, records: [record] });
  }
  return slices;
}

function copyOf({ offset, timestampMs, time, key, value, headers }: LogRecord): LogRecord {
  const copied = (bytes: Uint8Array | null): Uint8Array | null =>
    bytes === null ? null : Buffer.from(bytes);
  const copy = {
    offset,
    timestampMs,
    key: copied(key),
    value: copied(value),
    headers: Buffer.from(headers),
  };
  return time === undefined ? copy : { ...copy, time };
}
