import { LIMITS } from '../limits.ts';
import { streamId, type LogRecord, type StreamId } from '../record.ts';
import type { Sink, Wanted } from './commit-decoder.ts';
import type { CommitHead, StreamRun } from './commit-head.ts';
import type { CursorBatch, ReadGap } from './log.ts';
import type { LogState } from './log-state.ts';

export interface ReadLimits {
  readonly maxRecords: number;
  readonly maxBytes: number;
}

interface OpenSlice extends Sink {
  readonly stream: StreamId;
  from: number;
}

/**
 * What one call of a cursor gathers. Every stream's offsets must follow each other; where they do
 * not, the range is told as a gap and passed over. Damage anywhere below (a lost commit, a skipped
 * block, a segment that is gone) shows here and only here.
 */
export class Reading implements Wanted {
  readonly #next: Map<StreamId, number>;
  readonly #state: LogState;
  readonly #maxRecords: number;
  readonly #maxBytes: number;
  readonly #slices: OpenSlice[] = [];
  readonly #open = new Map<number, OpenSlice>();
  readonly #gaps: ReadGap[] = [];
  #records = 0;
  #bytes = 0;
  /** Nothing more is to be read into this batch. */
  full = false;

  constructor(next: Map<StreamId, number>, state: LogState, limits: ReadLimits) {
    this.#next = next;
    this.#state = state;
    this.#maxRecords = Math.min(limits.maxRecords, LIMITS.cursorRecordsMax);
    this.#maxBytes = limits.maxBytes;
  }

  get empty(): boolean {
    return this.#records === 0 && this.#gaps.length === 0;
  }

  /** Moves the caller's next offsets on. */
  batch(): CursorBatch {
    this.#settle();
    return {
      slices: this.#slices.filter(({ records }) => records.length > 0),
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
    this.#settle();
    const { durable } = this.#state.heads;
    for (const [stream, next] of this.#next) {
      const end = durable[stream] ?? 0;
      if (next < end) this.#gap(stream, next, end);
    }
  }

  /** Whether the commit holds something wanted. Tells the gaps before it. */
  wants(head: CommitHead): boolean {
    let wanted = false;
    for (const run of head.runs) {
      const next = this.#nextOf(streamId(run.stream));
      if (next === undefined || run.baseOffset + run.count <= next) continue;
      wanted = true;
      if (run.baseOffset > next) this.#gap(streamId(run.stream), next, run.baseOffset);
    }
    return wanted;
  }

  /** A commit is read whole unless it alone is more than was asked for. */
  hasRoomFor(head: CommitHead): boolean {
    if (this.#records === 0) return true;
    let records = 0;
    let bytes = 0;
    for (const run of head.runs) {
      const next = this.#nextOf(streamId(run.stream));
      if (next === undefined || run.baseOffset + run.count <= next) continue;
      records += run.count;
      bytes += run.bytes;
    }
    const fits =
      this.#records + records <= this.#maxRecords && this.#bytes + bytes <= this.#maxBytes;
    if (!fits) this.full = true;
    return fits;
  }

  open({ stream, baseOffset, count }: StreamRun): Sink | undefined {
    const slice = this.#open.get(stream);
    const next = this.#nextOf(streamId(stream));
    if (next === undefined || baseOffset + count <= next) return undefined;
    if (slice !== undefined) {
      slice.from = next;
      return slice;
    }
    const opened: OpenSlice = { stream: streamId(stream), from: next, records: [] };
    this.#open.set(stream, opened);
    this.#slices.push(opened);
    return opened;
  }

  fits(bytes: number): boolean {
    const over = this.#records >= this.#maxRecords || this.#bytes + bytes > this.#maxBytes;
    if (over && this.#records > 0) {
      this.full = true;
      return false;
    }
    this.#records++;
    this.#bytes += bytes;
    return true;
  }

  /** The next offset wanted, with what this batch holds already. */
  #nextOf(stream: StreamId): number | undefined {
    const last = lastOf(this.#open.get(stream));
    return last === undefined ? this.#next.get(stream) : last.offset + 1;
  }

  #settle(): void {
    for (const slice of this.#open.values()) {
      const last = lastOf(slice);
      if (last !== undefined) this.#next.set(slice.stream, last.offset + 1);
    }
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
    // What follows is another slice: slices are dense.
    this.#open.delete(stream);
    this.#next.set(stream, toOffset);
  }
}

function lastOf(slice: OpenSlice | undefined): LogRecord | undefined {
  return slice?.records.at(-1);
}
