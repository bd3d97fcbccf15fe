import { must } from '../assert.ts';
import { type Coverage, type Coverages, holesIn, topOf, upTo } from '../coverage.ts';
import { type LaneBounds, MIRROR_LIMITS } from '../mirror-limits.ts';
import type { OffsetRange } from '../range-set.ts';
import type { StreamId } from '../record.ts';
import type { LogReader } from '../store/log.ts';
import type { Clock } from '../time.ts';
import { takeAlong } from './batch-ranges.ts';
import { isEmpty, type MirrorBatch, type MirrorCursor, NOTHING } from './mirror-cursor.ts';
import { NewestCursor } from './newest-cursor.ts';
import { RangeCursor, type ReadLimits } from './range-cursor.ts';
import { RestCursor } from './rest-cursor.ts';
import type { SampleRule } from './sample-rule.ts';
import type { SampledBook } from './sampled-book.ts';
import { SamplingCursor } from './sampling-cursor.ts';
import { CLASSES, type Treatment } from './selection.ts';

/** Which streams are sampled at present, and what is known of those that were. */
export interface LaneSampling {
  readonly ruleOf: (stream: StreamId) => SampleRule | undefined;
  readonly book: Pick<SampledBook, 'keptIn' | 'isFull'>;
  readonly clock: Clock;
  /** Ends with the session. */
  readonly signal: AbortSignal;
}

export interface LaneCursorOptions {
  readonly reader: LogReader;
  /** What was had of each stream when it begins. */
  readonly from: Coverages;
  readonly treatmentOf: (stream: StreamId) => Treatment;
  readonly bounds?: LaneBounds | undefined;
  /** undefined: nothing is, or was. */
  readonly sampling?: LaneSampling | undefined;
}

/** What waits its turn: the new records of a class, or its backlog. */
interface Lane {
  readonly cursor: RangeCursor | NewestCursor | SamplingCursor | RestCursor;
  /** Batches of lanes above it since it had its turn, while it had something. */
  passed: number;
}

/** A class's streams that send new records before their backlog. */
interface Seams {
  readonly front: RangeCursor;
  readonly streams: readonly StreamId[];
  readonly leave: (stream: StreamId, backlog: OffsetRange) => void | Promise<void>;
}

/**
 * Hands out records by the class and the drain order of their topics. A lane is a line in which records
 * keep the order of the log: each class has one for the streams that go in order and for the new records
 * of the others, and behind it one or two for the backlog of these. The first lane that has something is
 * served, a batch at a time; one that was passed over `lanePasses` times is served next, so that a
 * flood above it leaves it a share.
 */
export class LaneCursor implements MirrorCursor {
  readonly #reader: LogReader;
  readonly #bounds: LaneBounds;
  readonly #had: Map<StreamId, Coverage>;
  /** The first is served before the others. */
  readonly #lanes: Lane[] = [];
  /** Those to which something may come. */
  readonly #fronts: Pick<RangeCursor, 'wait'>[] = [];
  readonly #seams: Seams[] = [];

  constructor(options: LaneCursorOptions) {
    const { reader, from, treatmentOf, sampling, bounds = MIRROR_LIMITS } = options;
    this.#reader = reader;
    this.#bounds = bounds;
    this.#had = new Map(from);
    const byClass = Map.groupBy(from.keys(), (stream) => treatmentOf(stream).class);
    for (const name of CLASSES) {
      const all = byClass.get(name) ?? [];
      const streams = sampling === undefined ? all : this.#addSampled(all, sampling);
      if (streams.length === 0) continue;
      this.#addClass(Map.groupBy(streams, (stream) => treatmentOf(stream).drain));
    }
  }

  async next(limits: ReadLimits): Promise<MirrorBatch> {
    for (const seams of this.#seams) await this.#moveSeams(seams);
    for (const lane of this.#inTurn()) {
      const batch: MirrorBatch = await lane.cursor.next(limits);
      if (isEmpty(batch)) continue;
      this.#served(lane);
      takeAlong(this.#had, batch);
      return this.#hasBacklog() ? { ...batch, hasBacklog: true } : batch;
    }
    return NOTHING;
  }

  async wait(signal: AbortSignal): Promise<void> {
    if (this.#lanes.some(({ cursor }) => cursor.readable)) return;
    const over = new AbortController();
    const either = AbortSignal.any([signal, over.signal]);
    const waits = this.#fronts.map((front) => front.wait(either));
    try {
      await Promise.race(waits);
    } finally {
      over.abort();
      await Promise.all(waits);
    }
  }

  async close(): Promise<void> {
    for (const { cursor } of this.#lanes) await cursor.close();
  }

  /** Lanes for those that are sampled, and for those of which a rest waits; gives the others. */
  #addSampled(streams: readonly StreamId[], sampling: LaneSampling): readonly StreamId[] {
    const { ruleOf, book, clock, signal } = sampling;
    const isSampled = (stream: StreamId): boolean => ruleOf(stream) !== undefined;
    const hasRest = (stream: StreamId): boolean =>
      !isSampled(stream) && this.#hadOf(stream).sampledTo !== undefined;
    const byRest = Map.groupBy(streams.filter(isSampled), (one) => ruleOf(one)?.rest);
    for (const [rest, some] of byRest) {
      const from = (stream: StreamId): number => this.#hadOf(stream).sampledTo ?? 0;
      const cursor = new SamplingCursor({
        reader: this.#reader,
        ranges: new Map(some.map((one) => [one, holesIn(this.#hadOf(one), from(one), Infinity)])),
        ruleOf: (stream) => must(ruleOf(stream), 'a stream of this lane is sampled'),
        isHeld: () => rest === 'later' && book.isFull,
        clock,
        signal,
      });
      this.#fronts.push(cursor);
      this.#lanes.push({ cursor, passed: 0 });
    }
    const owing = streams.filter(hasRest);
    if (owing.length > 0) {
      const holes = new Map(owing.map((one) => [one, this.#holes(one, Infinity)]));
      const inner = new RangeCursor(this.#reader, holes);
      const cursor = new RestCursor(inner, book.keptIn.bind(book));
      this.#fronts.push(cursor);
      this.#lanes.push({ cursor, passed: 0 });
    }
    return streams.filter((stream) => !isSampled(stream) && !hasRest(stream));
  }

  #addClass(byDrain: ReadonlyMap<Treatment['drain'], readonly StreamId[]>): void {
    const ranges = new Map<StreamId, OffsetRange[]>();
    for (const stream of byDrain.get('backlog-first') ?? []) {
      ranges.set(stream, this.#holes(stream, Infinity));
    }
    const live = byDrain.get('live-first') ?? [];
    const newest = byDrain.get('newest-first') ?? [];
    for (const stream of [...live, ...newest]) {
      ranges.set(stream, [{ from: this.#seamAt(stream), to: Infinity }]);
    }
    const front = new RangeCursor(this.#reader, ranges);
    this.#fronts.push(front);
    this.#lanes.push({ cursor: front, passed: 0 });
    const seamOf = (stream: StreamId): number => must(front.nextOf(stream), 'a front has no end');
    if (live.length > 0) {
      const holes = live.map((stream): [StreamId, OffsetRange[]] => [
        stream,
        this.#holes(stream, seamOf(stream)),
      ]);
      const cursor = new RangeCursor(this.#reader, new Map(holes));
      this.#lanes.push({ cursor, passed: 0 });
      const leave = cursor.append.bind(cursor);
      this.#seams.push({ front, streams: live, leave });
    }
    if (newest.length > 0) {
      const cursor = new NewestCursor(this.#reader, this.#bounds.newestChunkRecords, (stream) => {
        const had = this.#hadOf(stream);
        const unsent = seamOf(stream) > topOf(had) ? 1 : 0;
        return had.ahead.length + unsent < this.#bounds.aheadRanges;
      });
      for (const stream of newest) {
        for (const hole of this.#holes(stream, seamOf(stream))) cursor.append(stream, hole);
      }
      this.#lanes.push({ cursor, passed: 0 });
      const leave = cursor.append.bind(cursor);
      this.#seams.push({ front, streams: newest, leave });
    }
  }

  #hadOf(stream: StreamId): Coverage {
    return this.#had.get(stream) ?? upTo(0);
  }

  #holes(stream: StreamId, to: number): OffsetRange[] {
    return holesIn(this.#hadOf(stream), 0, to);
  }

  /** Where the new records of a stream begin that does not go in order. */
  #seamAt(stream: StreamId): number {
    const had = this.#hadOf(stream);
    const top = topOf(had);
    const { endOffset } = this.#reader.range(stream);
    const isFar = endOffset - top > this.#bounds.seamRecords;
    return isFar && this.#mayLeave(had) ? endOffset : top;
  }

  /** A seam leaves one range more ahead, and a chunk of a backlog may leave another. */
  #mayLeave({ ahead }: Coverage): boolean {
    return ahead.length + 2 <= this.#bounds.aheadRanges;
  }

  /** New records that came faster than they went are backlog now. */
  async #moveSeams({ front, streams, leave }: Seams): Promise<void> {
    for (const stream of streams) {
      const from = must(front.nextOf(stream), 'a front has no end');
      const { endOffset } = this.#reader.range(stream);
      if (endOffset - from <= this.#bounds.reseamRecords) continue;
      const had = this.#hadOf(stream);
      // Where nothing was sent since the seam, it only moves.
      if (from <= topOf(had) && !this.#mayLeave(had)) continue;
      await front.redirect(stream, { from: endOffset, to: Infinity });
      await leave(stream, { from, to: endOffset });
    }
  }

  /** Those that have something, in the order in which they are asked. */
  #inTurn(): Lane[] {
    const readable = this.#lanes.filter(({ cursor }) => cursor.readable);
    const overdue = readable.find(({ passed }) => passed >= this.#bounds.lanePasses);
    if (overdue === undefined) return readable;
    return [overdue, ...readable.filter((lane) => lane !== overdue)];
  }

  #hasBacklog(): boolean {
    let waiting = 0;
    for (const { cursor } of this.#lanes) if (cursor.readable) waiting += cursor.waiting;
    return waiting >= this.#bounds.backlogRecords;
  }

  #served(lane: Lane): void {
    lane.passed = 0;
    const below = this.#lanes.slice(this.#lanes.indexOf(lane) + 1);
    for (const other of below) if (other.cursor.readable) other.passed++;
  }
}
