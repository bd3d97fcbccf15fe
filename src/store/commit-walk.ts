import { messageOf } from '../errors.ts';
import type { Logger } from '../telemetry.ts';
import { entryKey, parseKey } from './commit-key.ts';
import { isClosed, isDamage, isUnopenable, isUnsteady } from './damage.ts';
import type { Database } from './database.ts';
import { readFrame, type Frame } from './frame.ts';
import type { Segments } from './segments.ts';

/**
 * Gets the commits whose checksum is right, ascending; those that are left out are lost. False: no
 * more for now, and the same commit comes first the next time.
 */
export type CommitVisitor = (frame: Frame, storedBytes: number) => boolean;

export interface CommitWalkOptions {
  readonly segments: Segments;
  readonly logger: Logger;
}

/** How often a read begins anew because its segment was closed and opened again. */
const REOPENINGS = 3;

/**
 * Walks over the commits, and over whatever the engine can't read, so that the good ones between
 * damaged ones are all met. Between calls it knows a commit number, and holds nothing open.
 */
export class CommitWalk {
  readonly #options: CommitWalkOptions;
  #commit = 1;
  /** There is nothing hidden before this commit that was not found. */
  #searched = 0;

  constructor(options: CommitWalkOptions) {
    this.#options = options;
  }

  /** The next commit wanted. */
  get commit(): number {
    return this.#commit;
  }

  startAt(commit: number): void {
    this.#commit = commit;
    this.#searched = 0;
  }

  /** Up to the commit `end` at most. True when it came there. */
  async to(end: number, visit: CommitVisitor): Promise<boolean> {
    const { segments } = this.#options;
    while (this.#commit <= end) {
      const first = segments.holding(this.#commit);
      if (first === undefined) break;
      const next = segments.after(Math.max(first, this.#commit));
      const last = Math.min(end, (next ?? Infinity) - 1);
      if (!(await this.#over(first, last, visit))) return false;
      this.#commit = last + 1;
    }
    this.#commit = Math.max(this.#commit, end + 1);
    return true;
  }

  /** A segment up to `last`. False when the visitor had enough. */
  async #over(first: number, last: number, visit: CommitVisitor): Promise<boolean> {
    const { segments, logger } = this.#options;
    let careful = false;
    let closedUnderUs = 0;
    let unsteady = 0;
    for (;;) {
      if (!segments.has(first)) return true; // Set aside, or expired, meanwhile.
      try {
        return await segments.using(first, (db) => this.#segment(db, last, careful, visit));
      } catch (error) {
        if (isClosed(error) && closedUnderUs < REOPENINGS) {
          closedUnderUs++; // The writer opened the segment again after a failed write.
          continue;
        }
        // A disk may fail to read once; one that always fails at a place is no better than damage.
        if (isUnsteady(error) && unsteady < REOPENINGS) {
          unsteady++;
          continue;
        }
        if (!isDamage(error) && !isUnsteady(error)) throw error;
        // LevelDB passes over a damaged block and says so at the very end: by then the careful walk
        // has had everything that can be read.
        if (careful || isUnopenable(error)) {
          logger.error(
            { segment: first, error: messageOf(error) },
            'a part of the log can not be read; readers get it as a gap',
          );
          return true;
        }
        careful = true;
      }
    }
  }

  async #segment(
    database: Database,
    last: number,
    careful: boolean,
    visit: CommitVisitor,
  ): Promise<boolean> {
    for (;;) {
      const outcome = await this.#forward(database, last, careful, visit);
      if (outcome !== 'hidden') return outcome === 'end';
    }
  }

  async #forward(
    database: Database,
    last: number,
    careful: boolean,
    visit: CommitVisitor,
  ): Promise<'end' | 'enough' | 'hidden'> {
    const entries = database.entries({
      gte: entryKey(this.#commit, 'commit'),
      lte: entryKey(last, 'commit'),
      oneByOne: careful,
    });
    try {
      for (;;) {
        const batch = await entries.next();
        if (batch.length === 0) return (await this.#jump(database, last + 1)) ? 'hidden' : 'end';
        for (const [key, value] of batch) {
          const commit = numberOf(key);
          // Damaged books of the engine hand out entries in no order.
          if (commit === undefined || commit < this.#commit || commit > last) continue;
          const frame = readFrame(key, value);
          if (frame === undefined) continue;
          if (commit > this.#commit && (await this.#jump(database, commit))) return 'hidden';
          this.#commit = commit;
          if (!visit(frame, value.length)) return 'enough';
          this.#commit = commit + 1;
        }
      }
    } finally {
      await entries.close();
    }
  }

  /**
   * The commits up to `commit` are not where they should be. Where a table of the engine was
   * exchanged for another, it finds those beyond only by their own place: backwards from the far end.
   * True when there are some; the walk goes on from them then.
   */
  async #jump(database: Database, commit: number): Promise<boolean> {
    if (this.#commit >= commit || this.#commit < this.#searched) return false;
    this.#searched = commit;
    const lowest = await lowestBehind(database, this.#commit, commit - 1);
    if (lowest === undefined) return false;
    this.#commit = lowest;
    return true;
  }
}

/** The first of the commits that can be read backwards from `to`. */
async function lowestBehind(
  database: Database,
  from: number,
  to: number,
): Promise<number | undefined> {
  const entries = database.entries({
    gte: entryKey(from, 'commit'),
    lte: entryKey(to, 'commit'),
    reverse: true,
    oneByOne: true,
  });
  let lowest: number | undefined;
  try {
    for (;;) {
      const batch = await entries.next();
      if (batch.length === 0) return lowest;
      for (const [key, value] of batch) {
        const commit = numberOf(key);
        if (commit === undefined || readFrame(key, value) === undefined) continue;
        if (commit < from || commit >= (lowest ?? to + 1)) return lowest;
        lowest = commit;
      }
    }
  } catch (error) {
    if (!isDamage(error) && !isUnsteady(error)) throw error;
    return lowest;
  } finally {
    await entries.close();
  }
}

function numberOf(key: Uint8Array): number | undefined {
  const parsed = parseKey(key);
  return parsed?.kind === 'commit' ? parsed.commit : undefined;
}
