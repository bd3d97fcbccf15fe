import { LIMITS } from '../limits.ts';
import type { Checkpoint } from './checkpoint.ts';
import { isDamage, isUnsteady } from './damage.ts';
import type { Database } from './database.ts';
import type { LogState } from './log-state.ts';
import { unreadableError } from './patience.ts';
import { readCheckpoint, readTail } from './recovery.ts';
import { nameOf, type Segments } from './segments.ts';

/** A segment's place, as failed reads are counted: its checkpoints, wherever they stand. */
const BOOKS = -1;

/** Where a search for a stream's records begins. */
export interface Place {
  readonly commit: number;
  /** Of the stream: none before it stands there. */
  readonly offset: number;
}

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

  /** A segment begins so: it need not be opened for that. */
  begun(checkpoint: Checkpoint): void {
    this.#firsts.set(checkpoint.commit + 1, withoutProducers(checkpoint));
  }

  /** Where it begins is known without opening it. */
  knows(first: number): boolean {
    return this.#firsts.get(first) !== undefined;
  }

  /** What a segment knew when it began; undefined when that can't be read, or it is gone. */
  async beginning(first: number): Promise<Checkpoint | undefined> {
    const known = this.#firsts.get(first);
    if (known !== undefined) return known;
    if (!this.#segments.has(first)) return undefined;
    const checkpoint = await this.#reading(first, undefined, (database) =>
      readCheckpoint(database, first - 1),
    );
    if (checkpoint === undefined) return undefined;
    const kept = withoutProducers(checkpoint);
    this.#firsts.set(first, kept);
    return kept;
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
    const list = await this.#reading(first, [], async (database) => {
      const examine = (place: number): Promise<number> =>
        this.#segments.examine(first, { commit: place, bytes: 1 });
      return checkpointsAfter(database, known?.list ?? [], last, examine);
    });
    this.#lists.set(first, { list, whole });
    return list;
  }

  /**
   * A commit number from which reading forward surely meets `offset` of the stream, and soon: by
   * binary search over the segments and then over the segment's checkpoints.
   */
  async commitBefore(stream: number, offset: number): Promise<number> {
    const found = await this.#afterLast((checkpoint) => (checkpoint.next[stream] ?? 0) <= offset);
    return found.commit;
  }

  /**
   * A commit number from which reading forward surely meets the stream's first record at or after
   * `timestampMs`, and which offset of the stream comes next there. The latest timestamp so far only grows, so this may halve whatever clocks did;
   * what times became by correction since they were written has a bound that only grows, too.
   */
  async placeBeforeTime(stream: number, timestampMs: number): Promise<Place> {
    const { boots } = this.#state;
    const { commit, after } = await this.#afterLast(
      ({ newest, clock }) =>
        (newest[stream] ?? -1) < timestampMs &&
        (clock === undefined || boots.latestMs(clock.stamp) < timestampMs),
    );
    return { commit, offset: after?.next[stream] ?? 0 };
  }

  /** `holds` MUST be true up to some checkpoint and false after it. */
  async #afterLast(
    holds: (checkpoint: Checkpoint) => boolean,
  ): Promise<{ readonly commit: number; readonly after?: Checkpoint | undefined }> {
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
    if (first === undefined) return { commit: 1 };
    const checkpoints = await this.checkpoints(first);
    const after = checkpoints.findLast(holds);
    return { commit: after === undefined ? first : after.commit + 1, after };
  }

  /** A segment that the engine can't read is no help either: the search goes on without it. */
  async #reading<T>(
    first: number,
    otherwise: T,
    task: (database: Database) => Promise<T>,
  ): Promise<T> {
    const segments = this.#segments;
    for (let attempt = 0; ; attempt++) {
      try {
        const found = await segments.using(first, task);
        segments.couldRead(first, BOOKS, BOOKS);
        return found;
      } catch (error) {
        if (!segments.has(first)) return otherwise;
        if (isDamage(error)) {
          await segments.requirePresent();
          return otherwise;
        }
        if (!isUnsteady(error)) throw error;
        const verdict = await segments.afterFailedRead(first, BOOKS, attempt);
        if (verdict === 'lost') return otherwise;
        if (verdict === 'wait') throw unreadableError(nameOf(first), error);
      }
    }
  }
}

/** They are not looked for here, and may be many. */
function withoutProducers(checkpoint: Checkpoint): Checkpoint {
  return { ...checkpoint, producers: [] };
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

/**
 * `known` and those after them, back from `last`, or from what the segment ends with. `examine`:
 * called before it reads at a commit.
 */
async function checkpointsAfter(
  database: Database,
  known: readonly Checkpoint[],
  last: number | undefined,
  examine: (commit: number) => Promise<unknown>,
): Promise<Checkpoint[]> {
  const newestFirst: Checkpoint[] = [];
  const stop = known.at(-1)?.commit ?? -1;
  const read = async (commit: number): Promise<Checkpoint | undefined> => {
    await examine(commit);
    return readCheckpoint(database, commit);
  };
  let current = last === undefined ? undefined : await read(last);
  current ??= (await readTail(database)).checkpoint;
  while (current !== undefined && current.commit > stop) {
    newestFirst.push(withoutProducers(current));
    current = current.previous < 0 ? undefined : await read(current.previous);
  }
  return [...known, ...newestFirst.toReversed()];
}
