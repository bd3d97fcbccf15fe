import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { GatelogError, systemCodeOf } from '../errors.ts';
import { isLocked } from '../folder-lock.ts';
import { LIMITS } from '../limits.ts';
import { silentLogger, type Logger } from '../telemetry.ts';
import { systemClock, type Clock } from '../time.ts';
import { STATE, UNINDEXED, whatOf, type AsideNote } from './aside-note.ts';
import type { Database, DiskRoom, Engine, ExamineHow } from './database.ts';
import { bytesOf, kindOf, makeFolder, roomOf, syncPath, takesWrites } from './files.ts';
import { openLevel, opensLevel, repairLevel } from './level-database.ts';
import { lockedError, openError, suspectError } from './level-errors.ts';
import { noteFormat } from './format-file.ts';
import { NOTHING_KNOWN, type KnowsLog } from './log-knowledge.ts';
import type { Extent } from './mend-tables.ts';
import { cutTornEnd, isOfOtherFiles } from './manifest.ts';
import { emptied } from './presence.ts';
import { makeHarmless } from './probing.ts';
import { QuarantineFolder } from './quarantine-folder.ts';
import { ReserveFile } from './reserve-file.ts';
import {
  bytesBeside,
  clearAway,
  isHalfMade,
  REMOVED,
  removeFolder,
  segmentOf,
  segmentPath,
} from './segment-folder.ts';
import * as replacement from './segment-replacement.ts';
import { StartMarkers } from './start-markers.ts';
import { TableGuard } from './table-guard.ts';
import { BegunWals } from './wal-begun.ts';
import { mendWals } from './wal-mend.ts';
import { copiesIn } from './wal-files.ts';
import { restWritten, saveRest, type WalRest } from './wal-rest.ts';

/** Where LevelDB's repair puts what it did not take in. */
const LOST = 'lost';

export interface LevelEngineOptions {
  readonly logger?: Logger;
  readonly clock?: Clock;
  /** False: until `opened`, what takes long is refused with STORE_SUSPECT. */
  readonly patient?: boolean;
  /** Cap of everything in the folder. */
  readonly maxBytes?: number | undefined;
}

/** LevelDB in `folder`: `state/` and `log/<first commit number>/`. */
class LevelEngine implements Engine {
  readonly folder: string;
  readonly reserve: ReserveFile;
  readonly #log: string;
  readonly #state: string;
  readonly #mayCreate: boolean;
  readonly #logger: Logger;
  readonly aside: QuarantineFolder;
  readonly #clock: Clock;
  readonly #markers: StartMarkers;
  readonly #guard: TableGuard;
  #isPatient: boolean;
  /** Not to be opened or repaired in this process. */
  readonly #deadly = new Set<string>();
  knowledge: KnowsLog = NOTHING_KNOWN;
  stateDamage: string | undefined;
  prepared = 0;
  /** There was a state database: one that is not there is missing. */
  #isOpen = false;

  constructor(folder: string, mayCreate: boolean, options: LevelEngineOptions) {
    const { logger = silentLogger, clock = systemClock, patient = true } = options;
    this.folder = folder;
    this.#isPatient = patient;
    this.reserve = new ReserveFile(join(folder, 'reserve'));
    this.#log = join(folder, 'log');
    this.#state = join(folder, 'state');
    this.#mayCreate = mayCreate;
    this.#logger = logger;
    this.aside = new QuarantineFolder(folder, logger, clock, options.maxBytes);
    this.#clock = clock;
    this.#markers = new StartMarkers(folder, clock);
    this.#guard = new TableGuard({
      clock,
      logger,
      take: (file, what) => this.aside.take(file, what, { why: UNINDEXED }),
    });
  }

  async openState(): Promise<Database> {
    try {
      await this.requirePresent();
      if (this.#mayCreate) {
        await makeFolder(this.folder);
        this.stateDamage ??= await emptied(this.folder);
        // A file that stands in the way is set aside only by who holds the lock: after opening.
        if ((await kindOf(this.#state)) === 'file')
          await this.aside.clear(this.#state, 'state', 'folder');
      } else {
        await stat(this.#state);
      }
      await this.#requireFree();
      await this.#makeHarmless(this.#state, STATE, 'all');
      const database = await (this.#mayCreate ? this.#openWhole() : openLevel(this.#state, false));
      await this.#clearLost(this.#state, STATE);
      this.#isOpen = true;
      return database;
    } catch (error) {
      throw openError(this.folder, error);
    }
  }

  /** Before anything in the state database is altered, whose lock is LevelDB's and taken on opening. */
  async #requireFree(): Promise<void> {
    if (this.#mayCreate && (await isLocked(this.#state))) throw lockedError(this.folder);
  }

  async #openWhole(): Promise<Database> {
    const warn = (text: string): void => this.#logger.warn({ folder: this.#state }, text);
    const rest = await this.#relieved(this.#state, () => saveRest(this.#state, warn));
    this.stateDamage ??= rest?.why;
    if (await isOfOtherFiles(this.#state)) await this.repairState();
    // A handle whose write failed is not written to again.
    return this.#relieved(this.#state, async () => {
      const database = await this.#openMarked(this.#state, STATE, true);
      try {
        await this.#makeReady(database, rest);
        return new BegunWals(database, this.#state, warn);
      } catch (error) {
        await database.close();
        throw error;
      }
    });
  }

  async #makeReady(database: Database, rest: WalRest | undefined): Promise<void> {
    for (const batch of rest?.batches ?? []) await database.write(batch);
    await restWritten(this.#state);
    await this.aside.make();
    await this.aside.clear(this.#log, 'log', 'folder');
    // Who is let into the folder around it may look.
    await makeFolder(this.#log, 0o777);
    await syncPath(this.folder);
  }

  /** Called by the holder of the folder's lock. Clears away what a kill left half made or removed. */
  async segments(known: ReadonlySet<number> = new Set()): Promise<number[]> {
    const firsts: number[] = [];
    if (this.#mayCreate) await replacement.endReplacing(this.#log);
    for (const name of await this.#names()) {
      const path = join(this.#log, name);
      const first = segmentOf(name);
      if (this.#mayCreate && first !== undefined) {
        await this.aside.clear(path, `segment-${first}`, 'folder');
      }
      if ((await kindOf(path)) !== 'folder') continue;
      const isHalf = first !== undefined && !known.has(first) && (await isHalfMade(path));
      const leftover = name.endsWith(REMOVED) || isHalf;
      if (leftover && this.#mayCreate) await clearAway(path);
      if (isHalf) this.prepared = first > this.prepared ? first : this.prepared;
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
      await this.requirePresent();
      if (how === 'existing') {
        await this.#mend(first);
        await this.#makeHarmless(path, String(first), 'ends');
      }
      // Before LevelDB deletes or misreads what its books, perhaps of another database, do not name.
      const isOther = how === 'existing' && this.#mayCreate && (await isOfOtherFiles(path));
      if (isOther) await this.repairSegment(first);
      const database = await this.#openMarked(path, String(first), how === 'create');
      // LevelDB syncs its own directory but not the entry in ours.
      if (how === 'create') await syncPath(this.#log);
      else await this.#clearLost(path, String(first));
      return database;
    } catch (error) {
      const failure = openError(path, error);
      if (failure.code !== 'STORE_CORRUPT' || !this.#mayCreate || how === 'create') throw failure;
      return this.#repaired(first);
    }
  }

  /** Before LevelDB gives up what stands behind altered bytes. */
  async #mend(first: number): Promise<void> {
    const path = this.#path(first);
    if (!this.#mayCreate) return;
    // A pipe in place of a file would be waited for.
    if ((await kindOf(path)) === 'folder') await this.aside.clearIn(path, `segment-${first}`, LOST);
    const keep = async (copy: string, why: string): Promise<void> => {
      await this.aside.take(copy, `segment-${first}-${basename(copy)}`, { why });
    };
    await this.#relieved(path, () => mendWals(path, first, this.knowledge, keep));
  }

  /** What would end the process is taken out before LevelDB reads it. */
  async #makeHarmless(path: string, name: string, extent: Extent): Promise<void> {
    if (!this.#mayCreate || (await kindOf(path)) !== 'folder') return;
    const isSuspect = this.#markers.deaths(name) > 0;
    // What was found is what ended them.
    if (await this.#guard.closed(path, whatOf(name), extent, isSuspect)) this.#markers.forget(name);
  }

  async opened(): Promise<void> {
    if (this.#mayCreate) noteFormat(this.folder);
    this.#isPatient = true;
    for (const copy of this.#mayCreate ? await copiesIn(this.#state) : []) {
      const why = this.stateDamage ?? 'it is a copy of an altered write-ahead file';
      await this.aside.tryTake(copy, `${STATE}-${basename(copy)}`, { why });
    }
  }

  examineSegment(first: number, how: ExamineHow): Promise<number> {
    if (!this.#mayCreate) return Promise.resolve(Infinity);
    return this.#guard.reading(this.#path(first), first, how);
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
  #relieved<T>(path: string, task: () => Promise<T>): Promise<T> {
    return this.reserve.lent(task, () => {
      this.#logger.warn({ event: 'disk.relief', path }, 'opened with space from the reserve');
    });
  }

  async #probe(path: string, name: string): Promise<void> {
    const deaths = this.#markers.deaths(name);
    const why = `the process ended ${deaths} times in a row while it was open, and so does every one that reads it`;
    if (!this.#isPatient) throw suspectError(path, deaths);
    const verdict = await makeHarmless(path, {
      clock: this.#clock,
      logger: this.#logger,
      take: (file) => this.aside.take(file, `${whatOf(name)}-${basename(file)}`, { why }),
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
    await this.requirePresent();
    await this.#requireFree();
    await this.#repair(this.#state, STATE);
  }

  async #repair(path: string, name: string): Promise<void> {
    // A repair reads too, and may be what ended those processes.
    if (this.#markers.deaths(name) >= LIMITS.deathsBeforeProbe) await this.#probe(path, name);
    this.#requireHarmless(path, name);
    this.#logger.warn({ folder: path }, 'a damaged database is repaired');
    const what = whatOf(name);
    // LevelDB's own books are files; its repair puts what it can't read into `lost`.
    await this.aside.clearIn(path, what, LOST);
    // It reads everything.
    await this.#guard.closed(path, what, 'all');
    this.#markers.begin(name);
    try {
      if ((await cutTornEnd(path)) && (await opensLevel(path))) return;
      await repairLevel(path);
    } finally {
      this.#markers.end(name);
    }
    // Of the state database when it is open: only then nobody else has the folder.
    if (name !== STATE) await this.#clearLost(path, name);
  }

  /** Nothing reads what LevelDB's repair put there, and nothing else would ever give its space back. */
  async #clearLost(path: string, name: string): Promise<void> {
    const lost = join(path, LOST);
    if (!this.#mayCreate || (await kindOf(lost)) !== 'folder') return;
    const why = 'the repair of a damaged database left it over';
    await this.aside.tryTake(lost, `${whatOf(name)}-${LOST}`, { why });
  }

  removeSegment(first: number): Promise<void> {
    return removeFolder(this.#path(first));
  }

  makeReplacement(first: number, note: string, fill: replacement.Fill): Promise<boolean> {
    const path = this.#path(first);
    return this.#relieved(path, () => replacement.makeReplacement(path, note, fill));
  }

  replacedFor(first: number): Promise<string | undefined> {
    return replacement.noteOf(this.#path(first));
  }

  async takeReplacement(first: number): Promise<void> {
    await replacement.takeReplacement(this.#path(first));
    this.#guard.forget(this.#path(first), first);
  }

  dropReplacement(first: number): Promise<void> {
    return replacement.dropReplacement(this.#path(first));
  }

  async setAside(what: number | 'state', note: AsideNote): Promise<string | undefined> {
    if (what === STATE) await this.#requireFree();
    this.#deadly.delete(String(what));
    if (what === 'state') this.#isOpen = false;
    const path = what === 'state' ? this.#state : this.#path(what);
    return this.aside.take(path, whatOf(String(what)), note);
  }

  annotate(name: string, note: Partial<AsideNote>): Promise<void> {
    return this.aside.annotate(name, note);
  }

  segmentBytes(first: number): Promise<number> {
    return bytesOf(this.#path(first));
  }

  room(): Promise<DiskRoom> {
    return roomOf(this.folder);
  }

  /** LevelDB would make folders anew where a disk was mounted, and its repair an empty log in them. */
  async requirePresent(): Promise<void> {
    if (!this.#isOpen || (await kindOf(join(this.#state, 'CURRENT'))) !== 'nothing') return;
    throw new GatelogError(
      'STORE_MISSING',
      `the data folder ${this.folder} was there and is gone: mount its disk again; gatelog goes on ` +
        `by itself then`,
    );
  }

  async answers(): Promise<boolean> {
    return this.#mayCreate && (await takesWrites(this.folder));
  }

  otherBytes(): Promise<number> {
    return bytesBeside(this.folder, this.#log);
  }

  #path(first: number): string {
    return segmentPath(this.folder, first);
  }
}

/** `readOnly`: nothing is created, repaired or set aside. */
export function levelEngine(
  folder: string,
  readOnly: boolean,
  options: LevelEngineOptions = {},
): Engine {
  return new LevelEngine(folder, !readOnly, options);
}
