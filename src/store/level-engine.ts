import { readdir, rename, rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCodeOf } from '../errors.ts';
import { silentLogger, type Logger } from '../telemetry.ts';
import { systemClock, type Clock } from '../time.ts';
import type { AsideNote } from './aside-note.ts';
import type { Database, Engine } from './database.ts';
import { bytesOf, kindOf, makeFolder, syncPath } from './files.ts';
import { openLevel, repairLevel } from './level-database.ts';
import { openError } from './level-errors.ts';
import { QuarantineFolder } from './quarantine-folder.ts';

const SEGMENT_DIGITS = 16;
const SEGMENT = /^\d{16}$/u;
/** Ending of the name of a segment's folder while it is being removed. */
const REMOVED = '.removed';

/** LevelDB in `folder`: `state/` and `log/<first commit number>/`. */
class LevelEngine implements Engine {
  readonly folder: string;
  readonly #log: string;
  readonly #state: string;
  readonly #mayCreate: boolean;
  readonly #logger: Logger;
  readonly #quarantine: QuarantineFolder;

  constructor(folder: string, mayCreate: boolean, logger: Logger, clock: Clock) {
    this.folder = folder;
    this.#log = join(folder, 'log');
    this.#state = join(folder, 'state');
    this.#mayCreate = mayCreate;
    this.#logger = logger;
    this.#quarantine = new QuarantineFolder(folder, logger, clock);
  }

  async openState(): Promise<Database> {
    try {
      if (this.#mayCreate) {
        await makeFolder(this.folder);
        // A file that stands in the way is set aside only by who holds the lock: after opening.
        if ((await kindOf(this.#state)) === 'file') await this.#clearWay(this.#state, 'state');
      } else {
        await stat(this.#state);
      }
      const database = await openLevel(this.#state, this.#mayCreate);
      if (this.#mayCreate) await this.#makeReady(database);
      return database;
    } catch (error) {
      throw openError(this.folder, error);
    }
  }

  async #makeReady(database: Database): Promise<void> {
    try {
      await this.#quarantine.make();
      await this.#clearWay(this.#log, 'log');
      await makeFolder(this.#log);
      await syncPath(this.folder);
    } catch (error) {
      await database.close();
      throw error;
    }
  }

  /** Where a folder is expected, something else is set aside. */
  async #clearWay(path: string, what: string): Promise<void> {
    const kind = await kindOf(path);
    if (kind === 'folder' || kind === 'nothing') return;
    await this.#quarantine.take(path, what, { why: 'it is no folder, and one is expected here' });
  }

  /** Called by the holder of the folder's lock. Clears away what a kill left half made or removed. */
  async segments(known: ReadonlySet<number> = new Set()): Promise<number[]> {
    const firsts: number[] = [];
    for (const name of await this.#names()) {
      const path = join(this.#log, name);
      const first = SEGMENT.test(name) ? Number(name) : undefined;
      if (this.#mayCreate && first !== undefined) await this.#clearWay(path, `segment-${first}`);
      if ((await kindOf(path)) !== 'folder') continue;
      const isHalf = first !== undefined && !known.has(first) && (await isHalfMade(path));
      const leftover = name.endsWith(REMOVED) || isHalf;
      if (leftover && this.#mayCreate) await rm(path, { recursive: true, force: true });
      if (!leftover && first !== undefined) firsts.push(first);
    }
    return firsts.toSorted((left, right) => left - right);
  }

  async #names(): Promise<string[]> {
    try {
      return await readdir(this.#log);
    } catch (error) {
      // Who only looks finds what is there.
      if (!this.#mayCreate && systemCodeOf(error) === 'ENOENT') return [];
      throw openError(this.folder, error);
    }
  }

  async openSegment(first: number, how: 'create' | 'existing'): Promise<Database> {
    const path = this.#path(first);
    try {
      const database = await openLevel(path, how === 'create');
      // LevelDB syncs its own directory but not the entry in ours.
      if (how === 'create') await syncPath(this.#log);
      return database;
    } catch (error) {
      const failure = openError(path, error);
      if (failure.code !== 'STORE_CORRUPT' || !this.#mayCreate || how === 'create') throw failure;
      return this.#repaired(first);
    }
  }

  async #repaired(first: number): Promise<Database> {
    try {
      await this.repairSegment(first);
      return await openLevel(this.#path(first), false);
    } catch (error) {
      throw openError(this.#path(first), error);
    }
  }

  /**
   * Rebuilds LevelDB's own books from what tables there are. What it finds again is not to be
   * trusted more than anything else, and our checksums are verified on every read anyway.
   */
  async repairSegment(first: number): Promise<void> {
    await this.#repair(this.#path(first), `segment-${first}`);
  }

  async repairState(): Promise<void> {
    await this.#repair(this.#state, 'state');
  }

  async #repair(path: string, what: string): Promise<void> {
    this.#logger.warn({ folder: path }, 'a damaged database is repaired');
    for (const name of await readdir(path)) {
      // LevelDB's own books are files; its repair puts what it can't read into `lost`.
      if (name !== 'lost') await this.#clearOdd(join(path, name), `${what}-${name}`);
    }
    await repairLevel(path);
  }

  async #clearOdd(path: string, what: string): Promise<void> {
    if ((await kindOf(path)) === 'file') return;
    await this.#quarantine.take(path, what, { why: 'it is no file, and one is expected here' });
  }

  async removeSegment(first: number): Promise<void> {
    // In one step out of the list: half removed it would look like a damaged segment.
    const path = this.#path(first);
    try {
      await rename(path, path + REMOVED);
    } catch (error) {
      if (systemCodeOf(error) !== 'ENOENT') throw error;
    }
    await syncPath(this.#log);
    await rm(path + REMOVED, { recursive: true, force: true });
  }

  setAside(what: number | 'state', note: AsideNote): Promise<string | undefined> {
    const path = what === 'state' ? this.#state : this.#path(what);
    return this.#quarantine.take(path, what === 'state' ? what : `segment-${what}`, note);
  }

  annotate(name: string, note: Partial<AsideNote>): Promise<void> {
    return this.#quarantine.annotate(name, note);
  }

  segmentBytes(first: number): Promise<number> {
    return bytesOf(this.#path(first));
  }

  async room(): Promise<{ readonly freeBytes: number; readonly totalBytes: number }> {
    const { bavail, blocks, bsize } = await statfs(this.folder);
    return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
  }

  #path(first: number): string {
    return join(this.#log, String(first).padStart(SEGMENT_DIGITS, '0'));
  }
}

/**
 * A kill or a power cut came while LevelDB made this folder, and no entry was written. Then CURRENT
 * is missing or names a manifest that never reached the disk. With entries it is damage, and
 * so it is where a segment is known to have been.
 */
async function isHalfMade(path: string): Promise<boolean> {
  for (const name of await readdir(path)) {
    if (/\.(?:ldb|sst|log)$/u.test(name) && (await stat(join(path, name))).size > 0) return false;
  }
  return true;
}

/** `readOnly`: nothing is created, repaired or set aside. */
export function levelEngine(
  folder: string,
  readOnly: boolean,
  logger: Logger = silentLogger,
  clock: Clock = systemClock,
): Engine {
  return new LevelEngine(folder, !readOnly, logger, clock);
}
