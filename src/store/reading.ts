import { must } from '../assert.ts';
import { LIMITS } from '../limits.ts';
import { streamId, type LogRecord, type StreamId } from '../record.ts';
import type { CommitHead, StreamRun } from './commit-head.ts';
import type { CursorBatch, ReadGap, Slice } from './log.ts';
import type { LogState } from './log-state.ts';

export interface ReadLimits {
  readonly maxRecords: number;
  readonly maxBytes: number;
}

interface OpenSlice extends Slice {
  readonly records: LogRecord[];
}

/** Where a run's wanted records go. */
export interface Sink {
  readonly run: StreamRun;
  /** First offset wanted. */
  readonly from: number;
  readonly records: LogRecord[];
}

/** What is wanted of one commit: for each of its runs a sink, or undefined to skip it. */
export type Wanted = readonly (Sink | undefined)[];

/**
 * What one call of a cursor gathers. Commits are planned by their heads, then decoded. Every
 * stream's offsets must follow each other; where they do not, the range is told as a gap and passed
 * over. Damage anywhere below (a lost commit, a skipped block, a segment that is gone) shows here
 * and only here.
 */
export class Reading {
  readonly #next: Map<StreamId, number>;
  readonly #state: LogState;
  readonly #maxRecords: number;
  readonly #maxBytes: number;
  readonly #slices: OpenSlice[] = [];
  readonly #open = new Map<number, OpenSlice>();
  readonly #gaps: ReadGap[] = [];
  readonly #bodies: ArrayBuffer[] = [];
  #plannedRecords = 0;
  #plannedBytes = 0;
  #records = 0;
  #bytes = 0;
  /** Nothing more is to be read into this batch. */
  full = false;

  /** Moves the offsets in `next` on as it plans. */
  constructor(next: Map<StreamId, number>, state: LogState, limits: ReadLimits) {
    this.#next = next;
    this.#state = state;
    this.#maxRecords = Math.min(limits.maxRecords, LIMITS.cursorRecordsMax);
    this.#maxBytes = limits.maxBytes;
  }

  /** There is nothing to hand out, neither records nor gaps. */
  get empty(): boolean {
    return this.#records === 0 && this.#gaps.length === 0;
  }

  /** Records of the commits that were read. */
  get planned(): number {
    return this.#plannedRecords;
  }

  batch(): CursorBatch {
    return {
      slices: this.#slices.filter(({ records }) => records.length > 0),
      gaps: this.#gaps,
      records: this.#records,
      bytes: this.#bytes,
      release: () => {
        for (const body of this.#bodies.splice(0)) body.transfer(0);
      },
    };
  }

  /** Records of this batch are views of `body`, which was made for it alone. */
  holds(body: Uint8Array): void {
    const { buffer } = body;
    // A small one lies in memory that others use too, and is left to the collector.
    const isWhole = body.byteLength === buffer.byteLength;
    if (isWhole && buffer instanceof ArrayBuffer) this.#bodies.push(buffer);
  }

  passRetention(): void {
    const { start } = this.#state.heads;
    for (const [stream, next] of this.#next) {
      const first = start[stream] ?? 0;
      if (next < first) this.#gap(stream, next, first);
    }
  }

  /** At the durable end `ends` of each stream: what was not met on the way is not there. */
  passMissing(ends: ReadonlyMap<StreamId, number>): void {
    for (const [stream, end] of ends) {
      const next = this.#next.get(stream) ?? end;
      if (next < end) this.#gap(stream, next, end);
    }
  }

  /**
   * What is wanted of the commit; undefined when nothing is. A commit is read whole, so when it
   * does not fit any more the batch is full, unless it is the first one: that one is cut.
   */
  plan(head: CommitHead): Wanted | undefined {
    let records = 0;
    let bytes = 0;
    for (const run of head.runs) {
      const next = this.#next.get(streamId(run.stream));
      if (next === undefined || run.baseOffset + run.count <= next) continue;
      records += run.baseOffset >= next ? run.count : run.baseOffset + run.count - next;
      bytes += run.bytes;
    }
    if (records === 0) return undefined;
    const over =
      this.#plannedRecords + records > this.#maxRecords ||
      this.#plannedBytes + bytes > this.#maxBytes;
    if (over) this.full = true;
    if (over && this.#plannedRecords > 0) return undefined;
    this.#plannedRecords += records;
    this.#plannedBytes += bytes;
    return head.runs.map((run) => this.#sink(run));
  }

  /** For each record before it is taken: whether it fits. */
  fits(bytes: number): boolean {
    const over = this.#records >= this.#maxRecords || this.#bytes + bytes > this.#maxBytes;
    if (over && this.#records > 0) return false;
    this.#records++;
    this.#bytes += bytes;
    return true;
  }

  /** Not all of what was planned did fit: the next batch goes on after what did. */
  cut(wanted: Wanted): void {
    for (const sink of wanted) {
      if (sink === undefined) continue;
      const last = sink.records.at(-1);
      this.#next.set(streamId(sink.run.stream), last === undefined ? sink.from : last.offset + 1);
    }
  }

  /** The commit's body can't be read: its wanted records are a gap. */
  passDamaged(wanted: Wanted): void {
    for (const sink of wanted) {
      if (sink === undefined) continue;
      const { stream, baseOffset, count } = sink.run;
      this.#gap(streamId(stream), sink.from, baseOffset + count);
    }
  }

  #sink(run: StreamRun): Sink | undefined {
    const stream = streamId(run.stream);
    const next = this.#next.get(stream);
    const end = run.baseOffset + run.count;
    if (next === undefined || end <= next) return undefined;
    if (run.baseOffset > next) this.#gap(stream, next, run.baseOffset);
    const from = must(this.#next.get(stream), 'the stream is wanted');
    this.#next.set(stream, end);
    let slice = this.#open.get(stream);
    if (slice === undefined) {
      slice = { stream, records: [] };
      this.#open.set(stream, slice);
      this.#slices.push(slice);
    }
    return { run, from, records: slice.records };
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
