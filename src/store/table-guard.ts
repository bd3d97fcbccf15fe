import { readdir } from 'node:fs/promises';
import { basename } from 'node:path';
import { GatelogError, messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import { entryKey } from './commit-key.ts';
import type { ExamineHow } from './database.ts';
import { mendTables, type Look, type Mended, type MendOptions } from './mend-tables.ts';

export interface TableGuardOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** Moves a table out of the way for which a new one was made. */
  readonly take: (file: string, what: string) => Promise<unknown>;
}

/** Commits of a segment whose blocks were looked at: from one to before another. */
interface Examined {
  readonly from: number;
  readonly until: number;
}

/** The tables of a folder as they were last found. */
interface Known {
  readonly names: string;
  readonly looks: readonly Look[];
}

/**
 * Has the tables of databases looked at before LevelDB reads them, no more of them than is about to
 * be read. What can't be looked at LevelDB tells. Throws STORE_FULL, to who looks at links and finds no
 * room for a copy of what is damaged.
 */
export class TableGuard {
  readonly #options: TableGuardOptions;
  /** By the segment's first commit: what is not looked at again. */
  readonly #examined = new Map<number, Examined>();
  /** By folder, the one used last at the end: several read at the same time, each in another one. */
  readonly #known = new Map<string, Known>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: TableGuardOptions) {
    this.#options = options;
  }

  /**
   * Of a closed database. `suspect`: processes ended over it, so all of it, but not for long; true
   * when something was found that ends processes.
   */
  async closed(
    folder: string,
    what: string,
    extent: MendOptions['extent'],
    suspect: boolean = false,
  ): Promise<boolean> {
    const { clock, take } = this.#options;
    const until = clock.monotonicMs() + LIMITS.suspectMs;
    const isOver = (): boolean => suspect && clock.monotonicMs() > until;
    const aside = (file: string): Promise<unknown> => take(file, `${what}-${basename(file)}`);
    const wanted = suspect ? 'all' : extent;
    const mended = await this.#mended({ folder, extent: wanted, take: aside, isOver });
    this.#known.delete(folder);
    return mended !== undefined && mended.tables > 0;
  }

  /** Other tables stand there now. */
  forget(folder: string, first: number): void {
    this.#known.delete(folder);
    this.#examined.delete(first);
  }

  /**
   * Of a segment that is about to be read from that commit on, which may be open; resolves with the
   * commit before which it can be read now. `anew`: whatever was found before.
   */
  async reading(folder: string, first: number, how: ExamineHow): Promise<number> {
    const { commit, anew } = how;
    const known = this.#examined.get(first);
    const isKnown = known !== undefined && known.from <= commit && commit < known.until;
    if (isKnown && anew !== true) return known.until;
    const turn = this.#turn.then(() => this.#examine(folder, first, how));
    this.#turn = turn.catch(() => {}); // It is its caller's; the next ones have their own.
    return turn;
  }

  async #examine(folder: string, first: number, { commit, bytes }: ExamineHow): Promise<number> {
    const names = await tablesIn(folder);
    const before = this.#known.get(folder);
    const mended = await this.#mended({
      folder,
      extent: { from: entryKey(commit, 'commit'), bytes: bytes ?? LIMITS.examineBytes },
      take: undefined,
      known: before?.names === names ? before.looks : undefined,
    });
    if (mended === undefined) return Infinity;
    this.#keep(folder, { names, looks: mended.looks });
    const until = mended.until === undefined ? Infinity : commitBefore(mended.until, commit);
    if (bytes !== undefined) return until; // A look at one place.
    const known = this.#examined.get(first);
    const goesOn = known !== undefined && known.from <= commit && commit <= known.until;
    this.#examined.set(first, { from: goesOn ? known.from : commit, until });
    return until;
  }

  #keep(folder: string, known: Known): void {
    this.#known.delete(folder);
    this.#known.set(folder, known);
    const [oldest] = this.#known.keys();
    if (this.#known.size > LIMITS.examinedFolders && oldest !== undefined) {
      this.#known.delete(oldest);
    }
  }

  async #mended(options: Omit<MendOptions, 'logger'>): Promise<Mended | undefined> {
    const { logger } = this.#options;
    try {
      return await mendTables({ ...options, logger });
    } catch (error) {
      // Who looks must not read what could not be taken out of its copy: it would end the process.
      if (error instanceof GatelogError) throw error;
      const { folder } = options;
      logger.warn({ folder, error: messageOf(error) }, 'tables could not be looked at');
      return undefined;
    }
  }
}

async function tablesIn(folder: string): Promise<string> {
  const names = await readdir(folder).catch(() => []);
  return names.filter((name) => /\.(?:ldb|sst)$/u.test(name)).join(' ');
}

/** Commits before it lie before the key, which LevelDB may have shortened; always after `commit`. */
function commitBefore(key: Buffer, commit: number): number {
  const whole = Buffer.concat([key, Buffer.alloc(COMMIT_BYTES)]);
  return Math.max(commit + 1, Number(whole.readBigUInt64BE(0)));
}

/** Of a key. */
const COMMIT_BYTES = 8;
