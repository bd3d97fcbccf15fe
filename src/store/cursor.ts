import { assert } from '../assert.ts';
import { LIMITS } from '../limits.ts';
import { streamId, type LogRecord, type StreamId } from '../record.ts';
import { CommitDecoder, rawBody, readHead, type CommitHead, type Wanted } from './commit-codec.ts';
import { entryKey, parseKey } from './commit-key.ts';
import { decompress } from './compression.ts';
import type { Database } from './database.ts';
import { readFrame } from './frame.ts';
import type { CursorBatch, LogCursor, ReadGap, Slice } from './log.ts';
import type { LogState } from './log-state.ts';
import type { Lookup } from './lookup.ts';
import type { Segments } from './segments.ts';
import type { Waiters } from './waiters.ts';

export interface CursorOptions {
  readonly state: LogState;
  readonly segments: Segments;
  readonly lookup: Lookup;
  readonly waiters: Waiters;
}

interface Limits {
  readonly maxRecords: number;
  readonly maxBytes: number;
}

/**
 * Walks the commits and hands out the wanted streams' records. Between calls it knows a commit
 * number and the next offset of each stream, nothing else. Every commit's checksum is verified,
 * and every stream's offsets must follow each other: what does not is a gap, told and passed over.
 */
export class Cursor implements LogCursor {
  readonly #options: CursorOptions;
  readonly #next: Map<StreamId, number>;
  readonly #decoder = new CommitDecoder();
  #commit: number | undefined;
  #busy = false;
  #closed = false;

  constructor(options: CursorOptions, from: ReadonlyMap<StreamId, number>) {
    this.#options = options;
    this.#next = new Map(from);
  }

  async next(limits: Limits): Promise<CursorBatch> {
    assert(!this.#busy, 'a cursor is read by one caller at a time');
    assert(limits.maxRecords > 0 && limits.maxBytes > 0, 'a reader wants at least one record');
    const reading = new Reading(this.#next, this.#options.state, limits);
    reading.passRetention();
    if (this.#closed || !this.#behind()) return reading.batch();
    this.#busy = true;
    try {
      this.#commit ??= await this.#locate();
      await this.#read(reading);
      return reading.batch();
    } finally {
      this.#busy = false;
    }
  }

  async wait(signal: AbortSignal): Promise<void> {
    if (this.#closed || signal.aborted || this.#behind()) return;
    await this.#options.waiters.until(() => this.#closed || this.#behind(), signal);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#options.waiters.wake();
  }

  /** There is something durable, or a gap, that this cursor has not had. */
  #behind(): boolean {
    const { durable, start } = this.#options.state.heads;
    for (const [stream, next] of this.#next) {
      if (next < (durable[stream] ?? 0) || next < (start[stream] ?? 0)) return true;
    }
    return false;
  }

  async #locate(): Promise<number> {
    const { state, lookup } = this.#options;
    let commit = state.durableCommit + 1;
    for (const [stream, next] of this.#next) {
      if (next >= (state.heads.durable[stream] ?? 0)) continue;
      commit = Math.min(commit, await lookup.commitBefore(stream, next));
    }
    return commit;
  }

  async #read(reading: Reading): Promise<void> {
    const { state, segments } = this.#options;
    const end = state.durableCommit;
    while (!reading.full) {
      const commit = this.#commit ?? 1;
      const first = commit > end ? undefined : segments.holding(commit);
      if (first === undefined) {
        this.#commit = end + 1;
        reading.passMissing();
        return;
      }
      const last = Math.min(end, (segments.after(Math.max(first, commit)) ?? Infinity) - 1);
      await segments.using(first, (database) => this.#readSegment(database, last, reading));
      // What the segment does not hold any more shows as a gap in the offsets.
      if (!reading.full) this.#commit = last + 1;
    }
  }

  async #readSegment(database: Database, last: number, reading: Reading): Promise<void> {
    const entries = database.entries({
      gte: entryKey(this.#commit ?? 1, 'commit'),
      lte: entryKey(last, 'commit'),
    });
    try {
      for (;;) {
        const batch = await entries.next();
        if (batch.length === 0) return;
        for (const [key, value] of batch) {
          const parsed = parseKey(key);
          if (parsed?.kind !== 'commit') continue;
          this.#commit = parsed.commit;
          if (!this.#readCommit(key, value, reading)) return;
          this.#commit = parsed.commit + 1;
        }
      }
    } finally {
      await entries.close();
    }
  }

  /** False when the limits were reached inside or before this commit. */
  #readCommit(key: Uint8Array, value: Uint8Array, reading: Reading): boolean {
    const frame = readFrame(key, value);
    if (frame === undefined) return true;
    const head = readHead(frame.head);
    if (!reading.wants(head)) return true;
    return this.#decoder.decode(head, rawBody(frame, decompress), reading);
  }
}

/** What one call of `next` gathers. */
class Reading implements Wanted {
  readonly #next: Map<StreamId, number>;
  readonly #state: LogState;
  readonly #limits: Limits;
  readonly #slices: Slice[] = [];
  readonly #open = new Map<number, LogRecord[]>();
  readonly #gaps: ReadGap[] = [];
  #records = 0;
  #bytes = 0;
  /** Nothing more is to be read into this batch. */
  full = false;

  constructor(next: Map<StreamId, number>, state: LogState, limits: Limits) {
    this.#next = next;
    this.#state = state;
    this.#limits = {
      maxRecords: Math.min(limits.maxRecords, LIMITS.cursorRecordsMax),
      maxBytes: limits.maxBytes,
    };
  }

  batch(): CursorBatch {
    return {
      slices: this.#slices,
      gaps: this.#gaps,
      records: this.#records,
      bytes: this.#bytes,
    };
  }

  passRetention(): void {
    const { start } = this.#state.heads;
    for (const [stream, next] of this.#next) {
      const first = start[stream] ?? 0;
      if (next < first) this.#gap(stream, next, first);
    }
  }

  /** At the durable end: what was not met on the way is not there. */
  passMissing(): void {
    const { durable } = this.#state.heads;
    for (const [stream, next] of this.#next) {
      const end = durable[stream] ?? 0;
      if (next < end) this.#gap(stream, next, end);
    }
  }

  /** Whether the commit holds something wanted that still fits. */
  wants(head: CommitHead): boolean {
    let wanted = false;
    for (const { stream, baseOffset, count } of head.runs) {
      const next = this.#next.get(streamId(stream));
      if (next === undefined || baseOffset + count <= next) continue;
      wanted = true;
      if (baseOffset > next) this.#gap(streamId(stream), next, baseOffset);
    }
    return wanted;
  }

  from(stream: number): number | undefined {
    return this.#next.get(streamId(stream));
  }

  take(stream: number, record: LogRecord): boolean {
    const bytes = (record.key?.length ?? 0) + (record.value?.length ?? 0) + record.headers.length;
    const { maxRecords, maxBytes } = this.#limits;
    if (this.#records > 0 && (this.#records >= maxRecords || this.#bytes + bytes > maxBytes)) {
      this.full = true;
      return false;
    }
    let records = this.#open.get(stream);
    if (records === undefined) {
      records = [];
      this.#open.set(stream, records);
      this.#slices.push({ stream: streamId(stream), records });
    }
    records.push(record);
    this.#records++;
    this.#bytes += bytes;
    this.#next.set(streamId(stream), record.offset + 1);
    return true;
  }

  #gap(stream: StreamId, fromOffset: number, toOffset: number): void {
    const first = this.#state.heads.start[stream] ?? 0;
    const expired = Math.min(toOffset, Math.max(fromOffset, first));
    if (expired > fromOffset) {
      this.#gaps.push({ stream, fromOffset, toOffset: expired, reason: 'retention' });
    }
    if (toOffset > expired) {
      this.#gaps.push({ stream, fromOffset: expired, toOffset, reason: 'corruption' });
    }
    this.#next.set(stream, toOffset);
    this.#open.delete(stream);
  }
}
