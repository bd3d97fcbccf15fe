import { must } from '../assert.ts';
import { messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { Loss } from '../loss.ts';
import { streamId } from '../record.ts';
import type { Logger } from '../telemetry.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { CommitLog } from './commit-log.ts';
import type { Ledger } from './ledger.ts';
import type { TopicInfo } from './log.ts';
import type { LogClock } from './log-clock.ts';
import type { LogState } from './log-state.ts';
import type { Lookup } from './lookup.ts';
import type { Positions } from './positions.ts';
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
  #running: Promise<void> | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  readonly dropped: Dropped = { records: 0, bytes: 0 };

  constructor(options: RetentionOptions) {
    this.#options = options;
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
      .map((topic) => new Plan(topic, this.#options));
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
    for (const first of segments.firsts) {
      const open = plans.filter((plan) => !plan.done);
      if (open.length === 0) return;
      const next = segments.after(first);
      const end = next === undefined ? undefined : await lookup.beginning(next);
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

  /** One directory at a time, each a bounded step. */
  async #removeSegments(): Promise<void> {
    const { segments, lookup, logger, log } = this.#options;
    for (const first of segments.firsts) {
      const next = segments.after(first);
      const end = first === log.active ? undefined : await lookup.endOf(first);
      if (end === undefined || !this.#isBeforeEveryStart(end)) return;
      try {
        if (!(await segments.remove(first))) return; // Somebody reads it; the next run comes.
      } catch (error) {
        logger.error(
          { segment: first, error: messageOf(error) },
          'a segment whose records all expired could not be removed; retention tries again',
        );
        return;
      }
      logger.info(
        { segment: first, nextSegment: next },
        'a segment whose records all expired was removed',
      );
    }
  }

  #isBeforeEveryStart({ next }: Checkpoint): boolean {
    const { start } = this.#options.state.heads;
    return next.every((offset, stream) => offset <= (start[stream] ?? 0));
  }

  /** When most of the segment being written has expired, a new one lets its space be given back. */
  async #rollIfWorthIt(): Promise<void> {
    const { state, lookup, log, segments } = this.#options;
    if (log.activeBytes < LIMITS.segmentBytesMin || segments.oldest !== log.active) return;
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
  readonly starts: Map<number, StreamStart> = new Map();

  constructor(topic: TopicInfo, options: RetentionOptions) {
    this.#topic = topic;
    this.#options = options;
    const { retentionMs, retentionBytes } = topic.options;
    this.#keepMs = retentionMs ?? Infinity;
    this.#capBytes = retentionBytes ?? Infinity;
    this.#pins = topic.streams.map((stream) => options.positions.pinnedFrom(stream) ?? Infinity);
    const { start, durable } = options.state.heads;
    for (const stream of topic.streams) {
      if ((start[stream] ?? 0) >= (durable[stream] ?? 0)) this.#stopped.add(stream);
    }
  }

  get done(): boolean {
    return this.#stopped.size === this.#topic.streams.length && this.#bytes() <= this.#capBytes;
  }

  /** Takes the cut at the end of a segment if it wants all of it; else it must look closer. */
  takesWhole(end: Checkpoint): boolean {
    const wanted = this.#topic.streams.every((stream, index) => {
      const next = end.next[stream] ?? 0;
      if (next <= this.#startOf(stream).offset) return true;
      return !this.#stopped.has(stream) && this.#expired(end, index);
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
      const expired = !this.#stopped.has(stream) && this.#expired(checkpoint, index);
      if (!expired) this.#stopped.add(stream);
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
      const from = Math.max(before, must(this.#pins[partition], 'each partition has a pin'));
      if (from >= to.offset) continue;
      const records = to.offset - from;
      const leaving = to.storedBefore - (storedBefore[stream] ?? 0);
      const readers = positions.behind(streamId(stream), to.offset).join(', ');
      losses.push({
        topic: this.#topic.name,
        partition,
        fromOffset: from,
        toOffset: to.offset,
        records,
        bytes: Math.round((leaving * records) / (to.offset - before)),
        reason: 'retention',
        detail: `the topic’s cap of ${this.#capBytes} bytes was reached before ${readers} had them`,
        mirror: undefined,
      });
    }
    return losses;
  }

  #expired(checkpoint: Checkpoint, index: number): boolean {
    const stream = must(this.#topic.streams[index], 'the partition exists');
    const next = checkpoint.next[stream] ?? 0;
    return (
      next <= must(this.#pins[index], 'each partition has a pin') &&
      this.#options.clock.isOlder(checkpoint, stream, this.#keepMs)
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
