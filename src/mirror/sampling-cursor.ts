import { aborted } from '../abort.ts';
import type { OffsetRange } from '../range-set.ts';
import type { StreamId } from '../record.ts';
import { SAMPLE_LIMITS } from '../sample-limits.ts';
import type { LogReader, Slice } from '../store/log.ts';
import type { Clock } from '../time.ts';
import { type MirrorBatch, NOTHING, type Sampled } from './mirror-cursor.ts';
import { RangeCursor, type ReadLimits } from './range-cursor.ts';
import { SampleWindow } from './sample-window.ts';
import type { SampleRule } from './sample-rule.ts';

export interface SamplingCursorOptions {
  readonly reader: LogReader;
  readonly ranges: ReadonlyMap<StreamId, readonly OffsetRange[]>;
  readonly ruleOf: (stream: StreamId) => SampleRule;
  readonly clock: Clock;
  /** Ends with the session: a long window is not read to its end then. */
  readonly signal: AbortSignal;
  /** Nothing may be sampled at present. */
  readonly isHeld: () => boolean;
}

/**
 * Gives of each key of a stream the last record in each window of its rule, and tells what lies between.
 * A window is a run of records of the log whose times fall into the same stretch of the calendar; it ends
 * with the first record of another, and where there is none yet when its time is over. So it costs a
 * delay of one window, and no wrong clock makes it lose a record: it ends early then, and more is kept.
 */
export class SamplingCursor {
  readonly #options: SamplingCursorOptions;
  readonly #inner: RangeCursor;
  readonly #open = new Map<StreamId, SampleWindow>();
  /** Ended, and not wholly given. */
  readonly #ended: SampleWindow[] = [];

  constructor(options: SamplingCursorOptions) {
    this.#options = options;
    this.#inner = new RangeCursor(options.reader, options.ranges);
  }

  get readable(): boolean {
    if (this.#options.isHeld()) return false;
    return this.#ended.length > 0 || this.#inner.readable || this.#dueInMs() <= 0;
  }

  get waiting(): number {
    return this.#inner.waiting + this.#ended.reduce((sum, { size }) => sum + size, 0);
  }

  async next(limits: ReadLimits): Promise<MirrorBatch> {
    const { signal, isHeld } = this.#options;
    if (isHeld()) return NOTHING;
    for (;;) {
      this.#endDue();
      if (this.#ended.length > 0) return this.#give(limits);
      if (signal.aborted || !this.#inner.readable) return NOTHING;
      await this.#read();
    }
  }

  async wait(signal: AbortSignal): Promise<void> {
    const { clock, isHeld } = this.#options;
    if (isHeld()) return aborted(signal);
    if (this.readable) return undefined;
    const over = new AbortController();
    const either = AbortSignal.any([signal, over.signal]);
    const dueInMs = this.#dueInMs();
    const waits = [this.#inner.wait(either)];
    if (dueInMs < Infinity) waits.push(clock.sleep(Math.max(1, dueInMs), either));
    try {
      await Promise.race(waits);
    } finally {
      over.abort();
      await Promise.all(waits);
    }
    return undefined;
  }

  close(): Promise<void> {
    this.#open.clear();
    this.#ended.length = 0;
    return this.#inner.close();
  }

  async #read(): Promise<void> {
    const { readRecords: maxRecords, readBytes: maxBytes } = SAMPLE_LIMITS;
    const { slices, gaps, release } = await this.#inner.next({ maxRecords, maxBytes });
    const news = [
      ...gaps.map((gap) => ({ at: gap.fromOffset, stream: gap.stream, gap, slice: undefined })),
      ...slices.map((slice) => {
        const at = slice.records[0]?.offset ?? 0;
        return { at, stream: slice.stream, gap: undefined, slice };
      }),
    ].toSorted((one, other) => one.at - other.at);
    for (const { stream, gap, slice } of news) {
      if (slice !== undefined) this.#take(slice);
      else this.#windowAt(stream, gap.fromOffset, undefined).addGap(gap);
    }
    for (const window of this.#open.values()) window.settle();
    release?.();
    this.#endLarge();
  }

  #take({ stream, records }: Slice): void {
    const { perMs } = this.#options.ruleOf(stream);
    for (const record of records) {
      const slot = Math.floor(record.timestampMs / perMs);
      this.#windowAt(stream, record.offset, slot).add(record, slot);
    }
  }

  /** The open one where it goes on there; else it ends, and another begins. */
  #windowAt(stream: StreamId, offset: number, slot: number | undefined): SampleWindow {
    const open = this.#open.get(stream);
    if (open?.goesOn(offset, slot) === true) return open;
    if (open !== undefined) this.#end(open);
    const { clock, ruleOf } = this.#options;
    const window = new SampleWindow(stream, ruleOf(stream), offset, clock.monotonicMs());
    this.#open.set(stream, window);
    return window;
  }

  #end(window: SampleWindow): void {
    this.#open.delete(window.stream);
    window.settle();
    this.#ended.push(window);
  }

  /** What would have to be remembered beyond all bounds. */
  #endLarge(): void {
    const windows = [...this.#open.values()].toSorted((one, other) => other.bytes - one.bytes);
    let bytes = windows.reduce((sum, window) => sum + window.bytes, 0);
    for (const window of windows) {
      const isLong = window.to - window.from >= SAMPLE_LIMITS.windowRecords;
      if (bytes <= SAMPLE_LIMITS.heldBytes && !isLong) continue;
      bytes -= window.bytes;
      this.#end(window);
    }
  }

  /** Those whose time is over, and of whose stream everything was read. */
  #endDue(): void {
    for (const window of this.#open.values()) {
      if (this.#isAtEnd(window) && this.#leftMs(window) <= 0) this.#end(window);
    }
  }

  #dueInMs(): number {
    let dueInMs = Infinity;
    for (const window of this.#open.values()) dueInMs = Math.min(dueInMs, this.#leftMs(window));
    return dueInMs;
  }

  #leftMs(window: SampleWindow): number {
    const { clock } = this.#options;
    return window.leftMs(clock.nowMs(), clock.monotonicMs());
  }

  #isAtEnd({ stream }: SampleWindow): boolean {
    const next = this.#inner.nextOf(stream) ?? Infinity;
    return next >= this.#options.reader.range(stream).endOffset;
  }

  #give(limits: ReadLimits): MirrorBatch {
    const sampled: Sampled[] = [];
    const slices: Slice[] = [];
    const gaps: MirrorBatch['gaps'][number][] = [];
    let records = 0;
    let bytes = 0;
    while (this.#ended[0] !== undefined && records < limits.maxRecords && bytes < limits.maxBytes) {
      const part = this.#ended[0].give({
        maxRecords: limits.maxRecords - records,
        maxBytes: limits.maxBytes - bytes,
      });
      sampled.push(part.sampled);
      slices.push(...part.slices);
      gaps.push(...part.gaps);
      records += part.sampled.kept.length;
      bytes += part.bytes;
      if (part.isLast) this.#ended.shift();
    }
    return { slices, gaps, records, bytes, sampled };
  }
}
