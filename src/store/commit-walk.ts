import { messageOf } from '../errors.ts';
import type { Logger } from '../telemetry.ts';
import { entryKey, parseKey } from './commit-key.ts';
import { isClosed, isDamage, isUnopenable, isUnsteady } from './damage.ts';
import type { Database } from './database.ts';
import { readFrame, type Frame } from './frame.ts';
import { unreadableError } from './patience.ts';
import { nameOf, type Segments } from './segments.ts';

/**
 * Gets the commits whose checksum is right, ascending; those that are left out are lost. False: no
 * more for now, and the same commit comes first the next time.
 */
export type CommitVisitor = (frame: Frame, storedBytes: number) => boolean;

export interface CommitWalkOptions {
  readonly segments: Segments;
  /** The engine's files may have gone bad since somebody else walked there. */
  readonly anew?: boolean;
  readonly logger: Logger;
}

/** What was tried at one segment so far. */
interface Effort {
  /** Entry by entry: what can be read is had before damage further on is told. */
  careful: boolean;
  /** What the disk does not read counts as damaged. */
  givenUp: boolean;
  closedUnderUs: number;
  unanswered: number;
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
  /** Commits of a segment that the engine may be asked for. */
  #readable = { segment: 0, from: 0, until: 0 };

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
      const examined = await this.#examined(first);
      const last = Math.min(end, (next ?? Infinity) - 1, examined - 1);
      const outcome = await this.#over(first, last, visit);
      if (outcome === 'enough') return false;
      this.#commit = last + 1;
    }
    this.#commit = Math.max(this.#commit, end + 1);
    return true;
  }

  /** The commit before which the segment can be read. */
  async #examined(first: number): Promise<number> {
    const known = this.#readable;
    const commit = this.#commit;
    if (known.segment === first && known.from <= commit && commit < known.until) return known.until;
    const anew = this.#options.anew ?? false;
    const until = await this.#options.segments.examine(first, { commit, anew });
    this.#readable = { segment: first, from: commit, until };
    return until;
  }

  /**
   * A segment up to `last`. `enough`: for the visitor. Throws STORE_FAILING: later, perhaps.
   */
  async #over(first: number, last: number, visit: CommitVisitor): Promise<'end' | 'enough'> {
    const { segments } = this.#options;
    const effort: Effort = { careful: false, givenUp: false, closedUnderUs: 0, unanswered: 0 };
    for (;;) {
      if (!segments.has(first)) return 'end'; // Set aside, or expired, meanwhile.
      const from = this.#commit;
      try {
        const outcome = await segments.using(first, (database) =>
          this.#segment(database, last, effort, visit),
        );
        const to = outcome === 'end' ? last : this.#commit - 1;
        if (!effort.givenUp) segments.couldRead(first, from, to);
        return outcome;
      } catch (error) {
        if (!(await this.#triesAgain(first, effort, error))) return 'end';
      }
    }
  }

  /** False: what can be read was read. Throws what is no damage. */
  async #triesAgain(first: number, effort: Effort, error: unknown): Promise<boolean> {
    const { segments, logger } = this.#options;
    if (isClosed(error) && effort.closedUnderUs < REOPENINGS) {
      effort.closedUnderUs++; // The writer opened the segment again after a failed write.
      return true;
    }
    if (isUnsteady(error) && !effort.givenUp) {
      const verdict = await segments.afterFailedRead(first, this.#commit, effort.unanswered++);
      if (verdict === 'wait') throw unreadableError(nameOf(first), error);
      effort.givenUp = effort.careful = verdict === 'lost';
      return true;
    }
    if (!isDamage(error) && !isUnsteady(error)) throw error;
    await segments.requirePresent();
    // LevelDB passes over a damaged block and says so at the very end: by then the careful walk
    // has had everything that can be read.
    if (effort.careful || isUnopenable(error)) {
      // Once for each who walks; whose offsets they are, and that they are lost, is told once.
      logger.warn(
        { event: 'store.unreadable', segment: first, error: messageOf(error) },
        'a part of the log can not be read; readers get it as a gap',
      );
      return false;
    }
    effort.careful = true;
    return true;
  }

  async #segment(
    database: Database,
    last: number,
    effort: Effort,
    visit: CommitVisitor,
  ): Promise<'end' | 'enough'> {
    for (;;) {
      const outcome = await this.#forward(database, last, effort, visit);
      if (outcome !== 'hidden') return outcome;
    }
  }

  async #forward(
    database: Database,
    last: number,
    { careful, givenUp }: Effort,
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
        if (batch.length === 0)
          return (await this.#jump(database, last + 1, givenUp)) ? 'hidden' : 'end';
        for (const [key, value] of batch) {
          const commit = numberOf(key);
          // Damaged books of the engine hand out entries in no order.
          if (commit === undefined || commit < this.#commit || commit > last) continue;
          const frame = readFrame(key, value);
          if (frame === undefined) continue;
          if (commit > this.#commit && (await this.#jump(database, commit, givenUp)))
            return 'hidden';
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
  async #jump(database: Database, commit: number, givenUp: boolean): Promise<boolean> {
    if (this.#commit >= commit || this.#commit < this.#searched) return false;
    const lowest = await lowestBehind(database, this.#commit, commit - 1, givenUp);
    this.#searched = commit;
    if (lowest === undefined) return false;
    this.#commit = lowest;
    return true;
  }
}

/**
 * The first of the commits that can be read backwards from `to`. That the disk does not answer is told
 * here, unless it was `givenUp`: a scan forward passes over such a block, and tells it too late.
 */
async function lowestBehind(
  database: Database,
  from: number,
  to: number,
  givenUp: boolean,
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
    if (!isDamage(error) && !(givenUp && isUnsteady(error))) throw error;
    return lowest;
  } finally {
    await entries.close();
  }
}

function numberOf(key: Uint8Array): number | undefined {
  const parsed = parseKey(key);
  return parsed?.kind === 'commit' ? parsed.commit : undefined;
}
