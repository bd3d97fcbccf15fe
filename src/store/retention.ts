import { must } from '../assert.ts';
import { messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { Loss } from '../loss.ts';
import { streamId } from '../record.ts';
import type { Logger } from '../telemetry.ts';
import { formatSize } from '../units.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { CommitLog } from './commit-log.ts';
import type { Ledger } from './ledger.ts';
import type { TopicInfo } from './log.ts';
import type { LogClock } from './log-clock.ts';
import type { LogState } from './log-state.ts';
import type { Lookup } from './lookup.ts';
import type { Positions } from './positions.ts';
import { cutPlace, RetentionNotes, type CutPlace } from './retention-notes.ts';
import { extentOf } from './segment-extent.ts';
import type { Segments } from './segments.ts';
import { startWrites, type StreamStart } from './state.ts';

export interface RetentionOptions {
  readonly state: LogState;
  readonly segments: Segments;
  readonly lookup: Lookup;
  readonly positions: Positions;
  readonly log: CommitLog;
  readonly ledger: Ledger;
  readonly clock: LogClock;
  readonly logger: Logger;
}

/** Records that left before a pinning reader had them; since start. */
interface Dropped {
  records: number;
  bytes: number;
}

/**
 * Moves the start of partitions forward, and gives back the space of segments that lie wholly
 * before every start. It cuts at checkpoints only (about every mebibyte of log), and never in the
 * way of appends: nothing is rewritten, segments are removed as directories.
 *
 * By time a partition's start moves over what was stored longer ago than the topic's bound, by
 * trusted or elapsed time (log-clock.ts), and was read by every pinning reader. By bytes it moves over whatever it takes to get below the topic's cap.
 */
export class Retention {
  readonly #options: RetentionOptions;
  readonly #notes: RetentionNotes;
  #running: Promise<void> | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  readonly dropped: Dropped = { records: 0, bytes: 0 };

  constructor(options: RetentionOptions) {
    this.#options = options;
    this.#notes = new RetentionNotes(options.state, options.segments);
  }

  /** Whoever calls while it runs gets the same run. */
  run(): Promise<void> {
    this.#running ??= this.alone(() => this.#run()).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Runs `task` while nobody else moves starts. */
  alone<T>(task: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(task);
    this.#turn = done.catch(() => {});
    return done;
  }

  /** Resolves when no run is under way. */
  async settled(): Promise<void> {
    await this.#running?.catch(() => {});
  }

  async #run(): Promise<void> {
    const { state, log, logger } = this.#options;
    const plans = state.registry
      .all()
      .filter(
        ({ options }) => options.retentionMs !== undefined || options.retentionBytes !== undefined,
      )
      .map((topic) => new Plan(topic, this.#options, this.#notes));
    try {
      await this.#walk(plans);
    } catch (error) {
      // As when the disk is full and a segment can't be opened: then removing matters most.
      logger.warn({ error: messageOf(error) }, 'retention could not look at all of the log');
    }
    const starts = new Map<number, StreamStart>();
    for (const plan of plans) for (const [stream, start] of plan.starts) starts.set(stream, start);
    await this.moveStarts(
      starts,
      plans.flatMap((plan) => plan.losses()),
    );
    await this.#removeSegments();
    await this.#rollIfWorthIt();
    if (plans.length > 0) log.checkpointSoon();
  }

  /**
   * Lets partitions begin later. What leaves before every pinning reader had it stands in the loss
   * ledger in the same step.
   */
  async moveStarts(
    starts: ReadonlyMap<number, StreamStart>,
    losses: readonly Loss[],
  ): Promise<void> {
    if (starts.size === 0) return;
    const { state, ledger, logger } = this.#options;
    await ledger.write(losses, startWrites(starts));
    for (const [stream, { offset, storedBefore }] of starts) {
      state.heads.start[stream] = offset;
      state.heads.storedBefore[stream] = storedBefore;
    }
    for (const loss of losses) {
      this.dropped.records += loss.records;
      this.dropped.bytes += loss.bytes ?? 0;
      logger.warn(
        { event: 'store.dropped', ...loss },
        `${loss.records} records of ${loss.topic}/${loss.partition} were dropped: ${loss.detail}`,
      );
    }
  }

  /** Shows the plans every place where they may cut, oldest first, as long as one wants more. */
  async #walk(plans: readonly Plan[]): Promise<void> {
    const { segments, lookup } = this.#options;
    /** Of which nothing was met yet. */
    const passing = new Set(plans);
    for (const first of segments.firsts) {
      const wanting = plans.filter((plan) => !plan.done);
      if (wanting.length === 0) return;
      const open = wanting.filter((plan) => !plan.isPast(first));
      if (open.length === 0) continue;
      const next = segments.after(first);
      const end = next === undefined ? undefined : await lookup.beginning(next);
      for (const plan of open) {
        if (!passing.has(plan)) continue;
        if (next === undefined || end === undefined || !plan.pass(end, next)) passing.delete(plan);
      }
      if (end !== undefined && open.every((plan) => plan.takesWhole(end))) continue;
      let previous: Checkpoint | undefined;
      for (const checkpoint of await lookup.checkpoints(first)) {
        // The first one tells of the segment before, which was looked at.
        if (previous !== undefined) for (const plan of open) plan.offer(checkpoint);
        previous = checkpoint;
      }
      if (next === undefined) return;
      if (end === undefined) continue; // Its beginning is damaged; what follows may be cut.
      for (const plan of open) plan.offer(end);
    }
  }

  /** One directory at a time, each a bounded step; also between those that stay. */
  async #removeSegments(): Promise<void> {
    const { segments, lookup, logger, log } = this.#options;
    let opened = 0;
    this.#notes.forget();
    for (const first of segments.firsts) {
      if (this.#notes.isAlive(first)) continue;
      // After a start a large log is looked at bit by bit.
      if (!lookup.knows(first)) opened++;
      if (first >= log.active || opened > LIMITS.retentionLooks) return;
      try {
        if (!(await this.#isEmpty(first))) continue;
        if (!(await segments.remove(first))) continue; // Somebody reads it; the next run comes.
      } catch (error) {
        logger.error(
          { segment: first, error: messageOf(error) },
          'a segment of which nothing is kept any more could not be removed; retention tries again',
        );
        continue;
      }
      logger.info({ segment: first }, 'a segment of which nothing is kept any more was removed');
    }
  }

  /** Nothing in it can be read any more. */
  async #isEmpty(first: number): Promise<boolean> {
    const extent = await extentOf(first, this.#options.lookup);
    return extent !== undefined && !this.#notes.look(first, extent);
  }

  /** When most of the segment being written has expired, a new one lets its space be given back. */
  async #rollIfWorthIt(): Promise<void> {
    const { state, lookup, log } = this.#options;
    if (log.activeBytes < LIMITS.segmentBytesMin) return;
    const beginning = await lookup.beginning(log.active);
    if (beginning === undefined) return;
    const { stored, storedBefore } = state.heads;
    let expired = 0;
    let written = 0;
    for (let stream = 0; stream < state.registry.streams; stream++) {
      const before = beginning.stored[stream] ?? 0;
      written += (stored[stream] ?? 0) - before;
      expired += Math.max(0, (storedBefore[stream] ?? 0) - before);
    }
    if (expired * 2 > written) log.rollSoon();
  }
}

/** One topic's cut. */
class Plan {
  readonly #topic: TopicInfo;
  readonly #options: RetentionOptions;
  readonly #keepMs: number;
  readonly #capBytes: number;
  readonly #pins: readonly number[];
  /** Streams that time moves no further. */
  readonly #stopped = new Set<number>();
  readonly #notes: RetentionNotes;
  readonly starts: Map<number, StreamStart> = new Map();

  constructor(topic: TopicInfo, options: RetentionOptions, notes: RetentionNotes) {
    this.#topic = topic;
    this.#options = options;
    this.#notes = notes;
    const { retentionMs, retentionBytes } = topic.options;
    this.#keepMs = retentionMs ?? Infinity;
    this.#capBytes = retentionBytes ?? Infinity;
    this.#pins = topic.streams.map((stream) => options.positions.pinnedFrom(stream) ?? Infinity);
    const { start, durable } = options.state.heads;
    for (const [index, stream] of topic.streams.entries()) {
      const stop = notes.stopOf(stream);
      const stays = stop !== undefined && !this.#expired(stop, index);
      if (stays || (start[stream] ?? 0) >= (durable[stream] ?? 0)) this.#stopped.add(stream);
    }
  }

  isPast(first: number): boolean {
    return this.#notes.isPast(this.#topic.name, first);
  }

  /** False: something of the topic lives before the end of a segment; else it is known to begin after it. */
  pass(end: Checkpoint, next: number): boolean {
    const { start } = this.#options.state.heads;
    const lives = this.#topic.streams.some((at) => (end.next[at] ?? 0) > (start[at] ?? 0));
    if (!lives) this.#notes.passed(this.#topic.name, next);
    return !lives;
  }

  get done(): boolean {
    return this.#stopped.size === this.#topic.streams.length && this.#bytes() <= this.#capBytes;
  }

  /** Takes the cut at the end of a segment if it wants all of it; else it must look closer. */
  takesWhole(end: Checkpoint): boolean {
    const wanted = this.#topic.streams.every((stream, index) => {
      const next = end.next[stream] ?? 0;
      if (next <= this.#startOf(stream).offset) return true;
      return !this.#stopped.has(stream) && this.#expired(cutPlace(end, stream), index);
    });
    if (!wanted && this.#bytesAfter(end) <= this.#capBytes) return false;
    this.offer(end);
    return true;
  }

  offer(checkpoint: Checkpoint): void {
    const { durable } = this.#options.state.heads;
    const force = this.#bytes() > this.#capBytes;
    for (const [index, stream] of this.#topic.streams.entries()) {
      const next = checkpoint.next[stream] ?? 0;
      if (next <= this.#startOf(stream).offset) continue;
      // Written a moment ago and not told to be durable yet: the next run's.
      if (next > (durable[stream] ?? 0)) continue;
      const place = cutPlace(checkpoint, stream);
      const expired = !this.#stopped.has(stream) && this.#expired(place, index);
      if (!expired && !this.#stopped.has(stream)) {
        this.#stopped.add(stream);
        this.#notes.stopped(place);
      }
      if (expired || force) {
        this.starts.set(stream, { offset: next, storedBefore: checkpoint.stored[stream] ?? 0 });
      }
    }
  }

  /** What leaves before every pinning reader had it. */
  losses(): Loss[] {
    const { state, positions } = this.#options;
    const { start, storedBefore } = state.heads;
    const losses: Loss[] = [];
    for (const [stream, to] of this.starts) {
      const partition = this.#topic.streams.indexOf(streamId(stream));
      const before = start[stream] ?? 0;
      const leaving = to.storedBefore - (storedBefore[stream] ?? 0);
      const readers = positions.behind(streamId(stream), to.offset).join(', ');
      // Readers went on while the log was walked.
      for (const range of positions.missing(streamId(stream), before, to.offset)) {
        const records = range.to - range.from;
        losses.push({
          topic: this.#topic.name,
          partition,
          fromOffset: range.from,
          toOffset: range.to,
          records,
          bytes: Math.round((leaving * records) / (to.offset - before)),
          reason: 'retention',
          detail: `the topic’s cap of ${formatSize(this.#capBytes)} was reached before ${readers} had them`,
          mirror: undefined,
        });
      }
    }
    return losses;
  }

  #expired(place: CutPlace, index: number): boolean {
    return (
      place.next <= must(this.#pins[index], 'each partition has a pin') &&
      this.#options.clock.isOlder(place, this.#keepMs)
    );
  }

  #startOf(stream: number): StreamStart {
    const { start, storedBefore } = this.#options.state.heads;
    return (
      this.starts.get(stream) ?? {
        offset: start[stream] ?? 0,
        storedBefore: storedBefore[stream] ?? 0,
      }
    );
  }

  /** What the topic would still hold. */
  #bytes(): number {
    const { stored } = this.#options.state.heads;
    let bytes = 0;
    for (const stream of this.#topic.streams) {
      bytes += (stored[stream] ?? 0) - this.#startOf(stream).storedBefore;
    }
    return bytes;
  }

  #bytesAfter(checkpoint: Checkpoint): number {
    const { stored } = this.#options.state.heads;
    let bytes = 0;
    for (const stream of this.#topic.streams) {
      bytes += (stored[stream] ?? 0) - (checkpoint.stored[stream] ?? 0);
    }
    return bytes;
  }
}
