import { LIMITS } from '../limits.ts';
import type { Checkpoint } from './checkpoint.ts';
import { isDamage } from './damage.ts';
import type { Database } from './database.ts';
import type { LogState } from './log-state.ts';
import { readCheckpoint, readTail } from './recovery.ts';
import type { Segments } from './segments.ts';

interface KnownCheckpoints {
  readonly list: readonly Checkpoint[];
  /** The segment was not written to any more when they were read. */
  readonly whole: boolean;
}

/**
 * Finds places in the log by its checkpoints, so that no search reads more than it must. Those that
 * were read are kept, up to a bound counted in streams: they never change.
 */
export class Lookup {
  readonly #segments: Segments;
  readonly #state: LogState;
  readonly #firsts: Kept<Checkpoint>;
  readonly #lists: Kept<KnownCheckpoints>;

  constructor(segments: Segments, state: LogState) {
    this.#segments = segments;
    this.#state = state;
    this.#firsts = new Kept(({ next }) => next.length);
    this.#lists = new Kept(({ list }) => list.reduce((sum, { next }) => sum + next.length, 0));
  }

  /** What a segment knew when it began; undefined when that can't be read, or it is gone. */
  async beginning(first: number): Promise<Checkpoint | undefined> {
    const known = this.#firsts.get(first);
    if (known !== undefined) return known;
    if (!this.#segments.has(first)) return undefined;
    const checkpoint = await this.#reading(first, undefined, (database) =>
      readCheckpoint(database, first - 1),
    );
    if (checkpoint !== undefined) this.#firsts.set(first, checkpoint);
    return checkpoint;
  }

  /** What was known after a segment: by the next one's beginning, or by a later one's if that is damaged. */
  async endOf(first: number): Promise<Checkpoint | undefined> {
    for (const later of this.#segments.firsts.filter((other) => other > first)) {
      const checkpoint = await this.beginning(later);
      if (checkpoint !== undefined) return checkpoint;
    }
    return undefined;
  }

  /** All checkpoints of a segment that can be read, ascending. */
  async checkpoints(first: number): Promise<readonly Checkpoint[]> {
    const known = this.#lists.get(first);
    if (known?.whole === true) return known.list;
    if (!this.#segments.has(first)) return [];
    const { segment, commit } = this.#state.lastCheckpoint;
    const last = segment === first && commit >= 0 ? commit : undefined;
    const whole = first < segment;
    const list = await this.#reading(first, [], (database) =>
      checkpointsAfter(database, known?.list ?? [], last),
    );
    this.#lists.set(first, { list, whole });
    return list;
  }

  /**
   * A commit number from which reading forward surely meets `offset` of the stream, and soon: by
   * binary search over the segments and then over the segment's checkpoints.
   */
  commitBefore(stream: number, offset: number): Promise<number> {
    return this.#commitAfterLast((checkpoint) => (checkpoint.next[stream] ?? 0) <= offset);
  }

  /**
   * A commit number from which reading forward surely meets the stream's first record at or after
   * `timestampMs`. The latest timestamp so far only grows, so this may halve whatever clocks did;
   * what times became by correction since they were written has a bound that only grows, too.
   */
  commitBeforeTime(stream: number, timestampMs: number): Promise<number> {
    const { boots } = this.#state;
    return this.#commitAfterLast(
      ({ newest, clock }) =>
        (newest[stream] ?? -1) < timestampMs &&
        (clock === undefined || boots.latestMs(clock.stamp) < timestampMs),
    );
  }

  /** `holds` MUST be true up to some checkpoint and false after it. */
  async #commitAfterLast(holds: (checkpoint: Checkpoint) => boolean): Promise<number> {
    const { firsts } = this.#segments;
    let low = 0;
    let high = firsts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const beginning = await this.beginning(firsts[middle] ?? 0);
      // One that can't be read, or has not begun, is no help: left of it is always right.
      if (beginning !== undefined && holds(beginning)) low = middle + 1;
      else high = middle;
    }
    const first = firsts[Math.max(0, low - 1)];
    if (first === undefined) return 1;
    const checkpoints = await this.checkpoints(first);
    const found = checkpoints.findLast(holds);
    return found === undefined ? first : found.commit + 1;
  }

  /** A segment that the engine can't read is no help either: the search goes on without it. */
  async #reading<T>(
    first: number,
    otherwise: T,
    task: (database: Database) => Promise<T>,
  ): Promise<T> {
    try {
      return await this.#segments.using(first, task);
    } catch (error) {
      if (!this.#segments.has(first) || isDamage(error)) return otherwise;
      throw error;
    }
  }
}

/** The newest entries, up to a bound on the sum of their sizes. */
class Kept<T> {
  readonly #entries = new Map<number, T>();
  readonly #sizeOf: (entry: T) => number;
  #size = 0;

  constructor(sizeOf: (entry: T) => number) {
    this.#sizeOf = sizeOf;
  }

  get(key: number): T | undefined {
    return this.#entries.get(key);
  }

  set(key: number, entry: T): void {
    this.#drop(key);
    this.#entries.set(key, entry);
    this.#size += this.#sizeOf(entry);
    for (const oldest of this.#entries.keys()) {
      if (this.#size <= LIMITS.keptCheckpointStreams || oldest === key) return;
      this.#drop(oldest);
    }
  }

  #drop(key: number): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#size -= this.#sizeOf(entry);
  }
}

/** `known` and those after them, back from `last`, or from what the segment ends with. */
async function checkpointsAfter(
  database: Database,
  known: readonly Checkpoint[],
  last: number | undefined,
): Promise<Checkpoint[]> {
  const newestFirst: Checkpoint[] = [];
  const stop = known.at(-1)?.commit ?? -1;
  let current = last === undefined ? undefined : await readCheckpoint(database, last);
  current ??= (await readTail(database)).checkpoint;
  while (current !== undefined && current.commit > stop) {
    newestFirst.push(current);
    current = current.previous < 0 ? undefined : await readCheckpoint(database, current.previous);
  }
  return [...known, ...newestFirst.toReversed()];
}
