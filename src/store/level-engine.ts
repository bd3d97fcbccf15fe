import { readdir, rename, rm, stat, statfs } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { GatelogError, systemCodeOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import { silentLogger, type Logger } from '../telemetry.ts';
import { systemClock, type Clock } from '../time.ts';
import type { AsideNote } from './aside-note.ts';
import type { Database, Engine } from './database.ts';
import { bytesOf, kindOf, makeFolder, syncPath } from './files.ts';
import { openLevel, repairLevel } from './level-database.ts';
import { openError } from './level-errors.ts';
import { cutTornEnd, isOfOtherFiles } from './manifest.ts';
import { makeHarmless } from './probing.ts';
import { QuarantineFolder } from './quarantine-folder.ts';
import { ReserveFile } from './reserve-file.ts';
import { StartMarkers } from './start-markers.ts';
import { isFull } from './write-errors.ts';

const SEGMENT_DIGITS = 16;
const SEGMENT = /^\d{16}$/u;
const STATE = 'state';
/** Ending of the name of a segment's folder while it is being removed. */
const REMOVED = '.removed';

/** LevelDB in `folder`: `state/` and `log/<first commit number>/`. */
class LevelEngine implements Engine {
  readonly folder: string;
  readonly reserve: ReserveFile;
  readonly #log: string;
  readonly #state: string;
  readonly #mayCreate: boolean;
  readonly #logger: Logger;
  readonly #quarantine: QuarantineFolder;
  readonly #clock: Clock;
  readonly #markers: StartMarkers;
  /** Not to be opened or repaired in this process. */
  readonly #deadly = new Set<string>();

  constructor(folder: string, mayCreate: boolean, logger: Logger, clock: Clock) {
    this.folder = folder;
    this.reserve = new ReserveFile(join(folder, 'reserve'));
    this.#log = join(folder, 'log');
    this.#state = join(folder, 'state');
    this.#mayCreate = mayCreate;
    this.#logger = logger;
    this.#quarantine = new QuarantineFolder(folder, logger, clock);
    this.#clock = clock;
    this.#markers = new StartMarkers(folder, clock);
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
      if (this.#mayCreate && (await isOfOtherFiles(this.#state))) await this.repairState();
      const database = await this.#openMarked(this.#state, STATE, this.#mayCreate);
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
      // A process that was left behind may still write there for a moment.
      if (leftover && this.#mayCreate) {
        await rm(path, { recursive: true, force: true, maxRetries: 10 });
      }
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
      // Before LevelDB deletes or misreads what its books, perhaps of another database, do not name.
      const isOther = how === 'existing' && this.#mayCreate && (await isOfOtherFiles(path));
      if (isOther) await this.repairSegment(first);
      const database = await this.#openMarked(path, String(first), how === 'create');
      // LevelDB syncs its own directory but not the entry in ours.
      if (how === 'create') await syncPath(this.#log);
      return database;
    } catch (error) {
      const failure = openError(path, error);
      if (failure.code !== 'STORE_CORRUPT' || !this.#mayCreate || how === 'create') throw failure;
      return this.#repaired(first);
    }
  }

  /** Marked while it is open; one over which processes ended is tried by another process first. */
  async #openMarked(path: string, name: string, create: boolean): Promise<Database> {
    if (!this.#mayCreate) return openLevel(path, create);
    if (this.#markers.deaths(name) >= LIMITS.deathsBeforeProbe) await this.#probe(path, name);
    this.#requireHarmless(path, name);
    this.#markers.begin(name);
    try {
      return await this.#relieved(path, () =>
        openLevel(path, create, () => this.#markers.end(name)),
      );
    } catch (error) {
      this.#markers.end(name); // An error is no death.
      throw error;
    }
  }

  /** LevelDB can't open without room for a table: in need the reserve gives it, bit by bit. */
  async #relieved<T>(path: string, task: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await task();
      } catch (error) {
        if (!isFull(error) || !(await this.reserve.relieve())) throw error;
        this.#logger.warn({ event: 'disk.relief', path }, 'opened with space from the reserve');
      }
    }
  }

  async #probe(path: string, name: string): Promise<void> {
    const deaths = this.#markers.deaths(name);
    const why = `the process ended ${deaths} times in a row while it was open, and so does every one that reads it`;
    const verdict = await makeHarmless(path, {
      deaths,
      clock: this.#clock,
      logger: this.#logger,
      take: (file) => this.#quarantine.take(file, `${whatOf(name)}-${basename(file)}`, { why }),
    });
    // Not proven either way: the next one that ends over it gives it more time.
    if (verdict !== 'unknown') this.#markers.forget(name);
    if (verdict === 'deadly') this.#deadly.add(name);
  }

  #requireHarmless(path: string, name: string): void {
    if (!this.#deadly.has(name)) return;
    throw new GatelogError('STORE_CORRUPT', `reading ${path} ends every process that does it`);
  }

  async #repaired(first: number): Promise<Database> {
    try {
      await this.repairSegment(first);
      return await this.#openMarked(this.#path(first), String(first), false);
    } catch (error) {
      throw openError(this.#path(first), error);
    }
  }

  /**
   * Rebuilds LevelDB's own books from what tables there are. What it finds again is not to be
   * trusted more than anything else, and our checksums are verified on every read anyway.
   */
  async repairSegment(first: number): Promise<void> {
    await this.#repair(this.#path(first), String(first));
  }

  async repairState(): Promise<void> {
    await this.#repair(this.#state, STATE);
  }

  async #repair(path: string, name: string): Promise<void> {
    // A repair reads too, and may be what ended those processes.
    if (this.#markers.deaths(name) >= LIMITS.deathsBeforeProbe) await this.#probe(path, name);
    this.#requireHarmless(path, name);
    const what = whatOf(name);
    this.#logger.warn({ folder: path }, 'a damaged database is repaired');
    for (const file of await readdir(path)) {
      // LevelDB's own books are files; its repair puts what it can't read into `lost`.
      if (file !== 'lost') await this.#clearOdd(join(path, file), `${what}-${file}`);
    }
    this.#markers.begin(name);
    try {
      if ((await cutTornEnd(path)) && (await opens(path))) return;
      await repairLevel(path);
    } finally {
      this.#markers.end(name);
    }
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
    this.#deadly.delete(String(what));
    const path = what === 'state' ? this.#state : this.#path(what);
    return this.#quarantine.take(path, whatOf(String(what)), note);
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

  async otherBytes(): Promise<number> {
    let bytes = 0;
    for (const name of await readdir(this.folder)) {
      const path = join(this.folder, name);
      if (path !== this.#log) bytes += await bytesOf(path);
    }
    return bytes;
  }

  #path(first: number): string {
    return join(this.#log, String(first).padStart(SEGMENT_DIGITS, '0'));
  }
}

async function opens(path: string): Promise<boolean> {
  try {
    await (await openLevel(path, false)).close();
    return true;
  } catch {
    return false;
  }
}

/** For people: the names of markers are those of databases. */
function whatOf(name: string): string {
  return name === STATE ? name : `segment-${name}`;
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
