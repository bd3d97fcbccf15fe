import { LIMITS } from '../limits.ts';
import type { OffsetRange } from '../range-set.ts';
import type { StreamId } from '../record.ts';
import type { CursorBatch, LogCursor, LogReader, ReadGap, Slice } from '../store/log.ts';
import type { Batching } from './upstream.ts';

export type ReadLimits = Pick<Batching, 'maxRecords' | 'maxBytes'>;

/** What is still to be read of a stream: ascending, apart; the last may end at Infinity. */
type Rest = OffsetRange[];

/**
 * Reads ranges of streams: a stream's ranges one after the other, all streams in commit order. A
 * cursor of the log knows no end, so what it reads beyond one is cut off here, and it is made anew
 * where a stream goes on elsewhere.
 */
export class RangeCursor {
  readonly #reader: LogReader;
  readonly #rest = new Map<StreamId, Rest>();
  #cursor: LogCursor | undefined;
  /** The cursor reads streams, too, of which nothing more is wanted. */
  #isStale = false;

  constructor(reader: LogReader, ranges: ReadonlyMap<StreamId, readonly OffsetRange[]>) {
    this.#reader = reader;
    for (const [stream, wanted] of ranges) this.#add(stream, wanted);
  }

  /** Nothing of it is left, now or later. */
  get done(): boolean {
    return this.#rest.size === 0;
  }

  /** There is something durable, or a gap, that it has not given yet. */
  get readable(): boolean {
    for (const [stream, [first]] of this.#rest) {
      if (first !== undefined && first.from < this.#reader.range(stream).endOffset) return true;
    }
    return false;
  }

  /** Records that it could give now. */
  get waiting(): number {
    let waiting = 0;
    for (const [stream, ranges] of this.#rest) {
      const { endOffset } = this.#reader.range(stream);
      for (const { from, to } of ranges) waiting += Math.max(0, Math.min(to, endOffset) - from);
    }
    return waiting;
  }

  /** Where it goes on; undefined when nothing of the stream is left. */
  nextOf(stream: StreamId): number | undefined {
    return this.#rest.get(stream)?.[0]?.from;
  }

  /** Goes on with this of the stream, instead of what was left of it. */
  async redirect(stream: StreamId, range: OffsetRange): Promise<void> {
    this.#rest.delete(stream);
    this.#add(stream, [range]);
    await this.#forget();
  }

  /** Above all that is left of the stream. */
  async append(stream: StreamId, range: OffsetRange): Promise<void> {
    const rest = this.#rest.get(stream);
    if (rest !== undefined) {
      rest.push(range);
      return;
    }
    this.#add(stream, [range]);
    await this.#forget();
  }

  /** Empty when nothing is readable. */
  async next(limits: ReadLimits): Promise<CursorBatch> {
    if (!this.readable) return EMPTY;
    const from = new Map<StreamId, number>();
    for (const [stream, [first]] of this.#rest)
      if (first !== undefined) from.set(stream, first.from);
    this.#cursor ??= this.#reader.cursor(from);
    const left = this.#recordsLeft();
    const maxRecords = Math.min(limits.maxRecords, this.#isStale ? left + PASSED_OVER : left);
    const batch = await this.#cursor.next({ maxRecords, maxBytes: limits.maxBytes });
    const taken = this.#taken(batch);
    const isElsewhere = this.#advance(taken);
    // To find the place anew costs more than to pass over a few.
    if (isElsewhere || batch.records > 2 * taken.records) await this.#forget();
    const isEmpty = taken.records === 0 && taken.gaps.length === 0;
    return isEmpty && batch.records > 0 ? this.next(limits) : taken;
  }

  /** Resolves when something is readable, or when `signal` aborts. */
  async wait(signal: AbortSignal): Promise<void> {
    if (this.readable || signal.aborted) return;
    if (this.#isStale) await this.#forget();
    const from = [...this.#rest].map(([stream, [first]]): [StreamId, number] => [
      stream,
      first?.from ?? 0,
    ]);
    this.#cursor ??= this.#reader.cursor(new Map(from));
    await this.#cursor.wait(signal);
  }

  close(): Promise<void> {
    this.#rest.clear();
    return this.#forget();
  }

  #add(stream: StreamId, ranges: readonly OffsetRange[]): void {
    const some = ranges.filter(({ from, to }) => from < to);
    if (some.length > 0) this.#rest.set(stream, [...some]);
  }

  async #forget(): Promise<void> {
    const cursor = this.#cursor;
    this.#cursor = undefined;
    this.#isStale = false;
    await cursor?.close();
  }

  #recordsLeft(): number {
    let records = 0;
    for (const ranges of this.#rest.values()) {
      const [first] = ranges;
      if (first !== undefined) records += first.to - first.from;
    }
    return records;
  }

  /** Without what lies beyond the end of the range that its stream is at. */
  #taken(batch: CursorBatch): CursorBatch {
    const endOf = (stream: StreamId): number => this.#rest.get(stream)?.[0]?.to ?? 0;
    const isWhole =
      batch.slices.every(({ stream, records }) => (records.at(-1)?.offset ?? -1) < endOf(stream)) &&
      batch.gaps.every(({ stream, toOffset }) => toOffset <= endOf(stream));
    if (isWhole) return batch;
    const slices = batch.slices
      .map(({ stream, records }): Slice => {
        return { stream, records: records.filter(({ offset }) => offset < endOf(stream)) };
      })
      .filter(({ records }) => records.length > 0);
    const gaps = batch.gaps
      .map((gap): ReadGap => ({ ...gap, toOffset: Math.min(gap.toOffset, endOf(gap.stream)) }))
      .filter(({ fromOffset, toOffset }) => fromOffset < toOffset);
    const all = slices.flatMap(({ records }) => records);
    const bytes = all.reduce(
      (sum, { key, value, headers }) =>
        sum + (key?.length ?? 0) + (value?.length ?? 0) + headers.length,
      0,
    );
    return { ...batch, slices, gaps, records: all.length, bytes };
  }

  /** True when a stream is through with a range, so that the log is to be read elsewhere. */
  #advance({ slices, gaps }: CursorBatch): boolean {
    const ends = new Map<StreamId, number>();
    const note = (stream: StreamId, to: number): void => {
      ends.set(stream, Math.max(to, ends.get(stream) ?? 0));
    };
    for (const { stream, toOffset } of gaps) note(stream, toOffset);
    for (const { stream, records } of slices) note(stream, (records.at(-1)?.offset ?? -1) + 1);
    let isElsewhere = false;
    for (const [stream, at] of ends) {
      const ranges = this.#rest.get(stream);
      const [first] = ranges ?? [];
      if (ranges === undefined || first === undefined) continue;
      if (at < first.to) {
        ranges[0] = { from: at, to: first.to };
        continue;
      }
      ranges.shift();
      if (ranges.length > 0) isElsewhere = true;
      else {
        this.#rest.delete(stream);
        this.#isStale = true;
      }
    }
    return isElsewhere;
  }
}

/** Records of streams that are through, which a read may meet among those that are wanted. */
const PASSED_OVER = LIMITS.commitRecords;
const EMPTY: CursorBatch = { slices: [], gaps: [], records: 0, bytes: 0 };
