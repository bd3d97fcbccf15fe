import { messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { Logger } from '../telemetry.ts';
import type { Database, Write } from './database.ts';
import type { LogState } from './log-state.ts';
import { packed } from './pack.ts';
import { isWhole, unpackedList } from './unpack.ts';

const MARK_KEY = Buffer.from('log-synced');

/** What was noted of a log. */
interface Mark {
  readonly incarnation: string;
  /** It and all commits before it were synced. */
  readonly commit: number;
}

/**
 * How far the log was surely synced, in the state database. LevelDB leaves out the end of a
 * write-ahead file that it can't read, as if a power cut had torn it, and finds nothing wrong with
 * one that is empty or gone. A log that ends before the mark has lost what was acknowledged.
 *
 * Each write of the state database takes the mark along, for nothing: so whoever noted a position, or
 * a journal before others may see records, has noted that the log held them. Where nobody writes
 * there, it is noted after the first commit of a life and of each write-ahead file, and every
 * LIMITS.markEveryBytes: so a file that is empty or gone is missed.
 */
export class SyncMark {
  readonly #logger: Logger;
  readonly #found: Mark | undefined;
  #database: Database | undefined;
  #state: LogState | undefined;
  #incarnation = '';
  /** The last commit that is noted. Up to where opening left it, commits may be none: skipped. */
  #noted = Infinity;
  /** `bytesAppended` when it was noted last, or tried to. */
  #notedAt: number | undefined;
  #noting: Promise<void> | undefined;
  /** How many were begun: a note that was under way meanwhile is of the one before. */
  #files = 0;

  private constructor(found: Mark | undefined, logger: Logger) {
    this.#found = found;
    this.#logger = logger;
  }

  static async load(database: Database, logger: Logger): Promise<SyncMark> {
    const value = await database.get(MARK_KEY);
    const [incarnation, commit] = (value === undefined ? undefined : unpackedList(value)) ?? [];
    const isMark = typeof incarnation === 'string' && isWhole(commit);
    return new SyncMark(isMark ? { incarnation, commit } : undefined, logger);
  }

  /** The last commit of that log which was surely synced; undefined: nobody noted any. */
  synced(incarnation: string | undefined): number | undefined {
    return this.#found?.incarnation === incarnation ? this.#found?.commit : undefined;
  }

  /** From here on: before the first commit of this life. */
  begin(state: LogState, incarnation: string, database: Database): void {
    this.#state = state;
    this.#incarnation = incarnation;
    this.#database = database;
    this.#noted = state.durableCommit;
  }

  /** What the next write of the state database takes along; `noted` when that is durable. */
  beside(): { readonly writes: readonly Write[]; readonly noted: () => void } {
    const commit = this.#state?.durableCommit ?? 0;
    if (commit <= this.#noted) return { writes: [], noted: () => {} };
    const at = this.#state?.bytesAppended ?? 0;
    const files = this.#files;
    const noted = (): void => {
      this.#noted = Math.max(this.#noted, commit);
      if (files === this.#files) this.#notedAt = Math.max(this.#notedAt ?? 0, at);
    };
    return { writes: [{ key: MARK_KEY, value: packed([this.#incarnation, commit]) }], noted };
  }

  /** What is written from now on stands in another file. */
  newFile(): void {
    this.#files++;
    this.#notedAt = undefined;
  }

  /** When commits became durable: notes it in the background, if that is due. */
  renew(): void {
    const { bytesAppended = 0 } = this.#state ?? {};
    const isDue =
      this.#notedAt === undefined || bytesAppended - this.#notedAt >= LIMITS.markEveryBytes;
    if (isDue) this.#noting ??= this.#note(bytesAppended);
  }

  /** Resolves when nothing is being noted any more. */
  async settled(): Promise<void> {
    await this.#noting;
  }

  /**
   * A failure is not the log's: the next write of the state database takes it along, and if none
   * comes it is tried again soon.
   */
  async #note(at: number): Promise<void> {
    this.#notedAt = at;
    const files = this.#files;
    try {
      await this.#database?.write([]);
    } catch (error) {
      if (files === this.#files) this.#notedAt = at - LIMITS.markEveryBytes + LIMITS.markRetryBytes;
      const text = 'how far the log is synced could not be noted in the state database';
      this.#logger.warn({ error: messageOf(error) }, text);
    } finally {
      this.#noting = undefined;
    }
  }
}
