import type { Checkpoint } from './checkpoint.ts';
import type { Database } from './database.ts';
import { readCheckpoint, readTail } from './recovery.ts';
import type { Segments } from './segments.ts';
import { isDamage } from './damage.ts';
import { LIMITS } from '../limits.ts';

/** Finds places in the log by its checkpoints, so that no search reads more than it must. */
export class Lookup {
  readonly #segments: Segments;
  /** First checkpoints of segments, few: they never change. */
  readonly #firsts = new Map<number, Checkpoint>();
  #kept = 0;

  constructor(segments: Segments) {
    this.#segments = segments;
  }

  /** What a segment knew when it began; undefined when that can't be read, or it is gone. */
  async beginning(first: number): Promise<Checkpoint | undefined> {
    const known = this.#firsts.get(first);
    if (known !== undefined) return known;
    if (!this.#segments.has(first)) return undefined;
    const checkpoint = await this.#reading(first, undefined, (database) =>
      readCheckpoint(database, first - 1),
    );
    if (checkpoint !== undefined) this.#keep(first, checkpoint);
    return checkpoint;
  }

  /** All checkpoints of a segment that can be read, ascending. */
  async checkpoints(first: number): Promise<Checkpoint[]> {
    if (!this.#segments.has(first)) return [];
    return this.#reading(first, [], allCheckpoints);
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
   * `timestampMs`. The latest timestamp so far only grows, so this may halve whatever clocks did.
   */
  commitBeforeTime(stream: number, timestampMs: number): Promise<number> {
    return this.#commitAfterLast((checkpoint) => (checkpoint.newest[stream] ?? -1) < timestampMs);
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

  #keep(first: number, checkpoint: Checkpoint): void {
    this.#firsts.set(first, checkpoint);
    this.#kept += checkpoint.next.length;
    for (const [oldest, { next }] of this.#firsts) {
      if (this.#kept <= LIMITS.keptCheckpointStreams || oldest === first) break;
      this.#firsts.delete(oldest);
      this.#kept -= next.length;
    }
  }
}

async function allCheckpoints(database: Database): Promise<Checkpoint[]> {
  const { checkpoint } = await readTail(database);
  const newestFirst: Checkpoint[] = [];
  let current = checkpoint;
  while (current !== undefined) {
    newestFirst.push(current);
    current = current.previous < 0 ? undefined : await readCheckpoint(database, current.previous);
  }
  return newestFirst.toReversed();
}
