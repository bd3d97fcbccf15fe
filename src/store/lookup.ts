import type { Checkpoint } from './checkpoint.ts';
import type { Database } from './database.ts';
import { readCheckpoint, readTail } from './recovery.ts';
import type { Segments } from './segments.ts';

/** Finds places in the log by its checkpoints, so that no search reads more than it must. */
export class Lookup {
  readonly #segments: Segments;
  /** First checkpoints of segments, few: they never change. */
  readonly #firsts = new Map<number, Checkpoint>();

  constructor(segments: Segments) {
    this.#segments = segments;
  }

  /** What a segment knew when it began; undefined when that can't be read. */
  async beginning(first: number): Promise<Checkpoint | undefined> {
    const known = this.#firsts.get(first);
    if (known !== undefined) return known;
    const checkpoint = await this.#segments.using(first, (database) =>
      readCheckpoint(database, first - 1),
    );
    if (checkpoint !== undefined) {
      if (this.#firsts.size >= FIRSTS_KEPT) {
        for (const oldest of this.#firsts.keys()) {
          this.#firsts.delete(oldest);
          break;
        }
      }
      this.#firsts.set(first, checkpoint);
    }
    return checkpoint;
  }

  /** All checkpoints of a segment that can be read, ascending. */
  async checkpoints(first: number): Promise<Checkpoint[]> {
    return await this.#segments.using(first, allCheckpoints);
  }

  /**
   * The last commit number from which reading forward surely meets `offset` of the stream, by
   * binary search over the segments and then over the segment's checkpoints.
   */
  async commitBefore(stream: number, offset: number): Promise<number> {
    const { firsts } = this.#segments;
    let low = 0;
    let high = firsts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const beginning = await this.beginning(firsts[middle] ?? 0);
      // One that can't be read, or not begun yet, is no help: go left of it.
      if (beginning !== undefined && nextOf(beginning, stream) <= offset) low = middle + 1;
      else high = middle;
    }
    const first = firsts[Math.max(0, low - 1)];
    if (first === undefined) return 1;
    const checkpoints = await this.checkpoints(first);
    const found = checkpoints.findLast((checkpoint) => nextOf(checkpoint, stream) <= offset);
    return found === undefined ? first : found.commit + 1;
  }
}

const FIRSTS_KEPT = 64;

function nextOf(checkpoint: Checkpoint, stream: number): number {
  return checkpoint.next[stream] ?? 0;
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
