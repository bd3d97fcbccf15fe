import { copyFile, mkdir, readdir, rm, symlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { GatelogError } from '../errors.ts';
import type { AsideNote } from './aside-note.ts';
import type { Database, Engine, ExamineHow } from './database.ts';
import { kindOf } from './files.ts';
import { isLocked } from '../folder-lock.ts';
import { levelEngine, type LevelEngineOptions } from './level-engine.ts';
import { lockedError } from './level-errors.ts';
import { segmentPath } from './segment-folder.ts';
import { NOTHING_KNOWN, type KnowsLog } from './log-knowledge.ts';
import { lookError } from './look-error.ts';
import { endScratch, newScratch } from './look-scratch.ts';

/** A database of the folder, with a place of its own. */
interface Place {
  readonly engine: Engine;
  readonly folder: string;
  /** It was rebuilt: that is not thrown away when it is closed. */
  isRepaired: boolean;
}

/** What LevelDB makes anew, or locks. */
const OWN = /^(?:LOCK|LOG|LOG\.old)$/u;
/** Never written to, only read, renamed and removed: a link will do. What else there is is small. */
const LINKED = /\.(?:ldb|sst)$/u;

/**
 * A data folder whose agent does not run, for who only looks: nothing of it is written to, so that it
 * may lie on a medium that can't be written, and is found as it was left. LevelDB can't open a
 * database without writing, so each is opened elsewhere, of links and copies of its small files;
 * and there what is damaged is repaired, as the agent would. Older segments only while they are open,
 * so that this takes little room. MUST be ended.
 */
export class LookEngine implements Engine {
  readonly folder: string;
  readonly #options: LevelEngineOptions;
  readonly #segments = new Map<number, Place>();
  #scratch: Promise<string> | undefined;
  #state: Place | undefined;
  #count = 0;
  knowledge: KnowsLog = NOTHING_KNOWN;
  stateDamage: string | undefined;

  constructor(folder: string, options: LevelEngineOptions) {
    this.folder = resolve(folder);
    this.#options = options;
  }

  async openState(): Promise<Database> {
    try {
      this.#state ??= await this.#begin();
      const database = await this.#state.engine.openState();
      this.stateDamage ??= this.#state.engine.stateDamage;
      return database;
    } catch (error) {
      throw lookError(this.folder, error);
    }
  }

  async segments(known?: ReadonlySet<number>): Promise<number[]> {
    try {
      return await levelEngine(this.folder, true, this.#options).segments(known);
    } catch (error) {
      throw lookError(this.folder, error);
    }
  }

  async openSegment(first: number, how: 'create' | 'existing'): Promise<Database> {
    const place = await this.#placeOf(first, how === 'existing');
    let database: Database;
    try {
      database = await place.engine.openSegment(first, how);
    } catch (error) {
      await this.#leave(first);
      throw lookError(this.folder, error);
    }
    return new LookedAt(database, () => this.#leave(first));
  }

  async examineSegment(first: number, how: ExamineHow): Promise<number> {
    const place = await this.#placeOf(first, true);
    try {
      return (await place.engine.examineSegment?.(first, how)) ?? Infinity;
    } catch (error) {
      throw lookError(this.folder, error);
    }
  }

  async repairSegment(first: number): Promise<void> {
    await this.requirePresent();
    const place = await this.#placeOf(first, true);
    await place.engine.repairSegment?.(first);
    place.isRepaired = true;
  }

  async repairState(): Promise<void> {
    await this.#state?.engine.repairState?.();
  }

  async setAside(what: number | 'state', note: AsideNote): Promise<string | undefined> {
    if (what === 'state') return this.#state?.engine.setAside?.(what, note);
    return undefined; // It is left out of the look, and stays where it is.
  }

  async removeSegment(first: number): Promise<void> {
    const place = this.#segments.get(first);
    if (place !== undefined) await place.engine.removeSegment(first);
  }

  /** What an agent that was started meanwhile has removed is not damaged. Throws STORE_LOCKED. */
  async requirePresent(): Promise<void> {
    if (await isLocked(join(this.folder, 'state'))) throw lockedError(this.folder);
  }

  segmentBytes(first: number): Promise<number> {
    return levelEngine(this.folder, true, this.#options).segmentBytes(first);
  }

  async end(): Promise<void> {
    if (this.#scratch === undefined) return;
    const scratch = await this.#scratch;
    this.#scratch = undefined;
    await endScratch(scratch);
  }

  /** Throws what keeps a folder from being looked at. */
  async #begin(): Promise<Place> {
    const state = join(this.folder, 'state');
    const log = join(this.folder, 'log');
    const kind = await kindOf(state);
    const holdsState = kind === 'folder';
    if (!holdsState) this.stateDamage = kind === 'nothing' ? 'it is missing' : 'it is no folder';
    if (!holdsState && (await kindOf(log)) !== 'folder') {
      throw new GatelogError(
        'STORE_UNAVAILABLE',
        `the data folder ${this.folder} can't be opened: there is no gatelog data there; check the ` +
          `path, or start gatelog once to make it`,
      );
    }
    await this.requirePresent();
    const place = await this.#newPlace();
    if (holdsState) await linkDatabase(state, join(place.folder, 'state'));
    return place;
  }

  async #placeOf(first: number, isThere: boolean): Promise<Place> {
    const known = this.#segments.get(first);
    if (known !== undefined) return known;
    try {
      const place = await this.#newPlace();
      const target = segmentPath(place.folder, first);
      await mkdir(join(place.folder, 'log'));
      if (isThere) await linkDatabase(segmentPath(this.folder, first), target);
      this.#segments.set(first, place);
      return place;
    } catch (error) {
      await this.requirePresent();
      throw lookError(this.folder, error);
    }
  }

  async #newPlace(): Promise<Place> {
    this.#scratch ??= newScratch();
    const folder = join(await this.#scratch, String(this.#count++));
    await mkdir(folder);
    const engine = levelEngine(folder, false, this.#options);
    engine.knowledge = () => this.knowledge();
    return { engine, folder, isRepaired: false };
  }

  /** What is opened again is linked again, unless something in it was mended. */
  async #leave(first: number): Promise<void> {
    const place = this.#segments.get(first);
    if (place === undefined || place.isRepaired) return;
    place.isRepaired = await isMended(
      segmentPath(this.folder, first),
      segmentPath(place.folder, first),
    );
    if (place.isRepaired) return;
    this.#segments.delete(first);
    await rm(place.folder, { recursive: true, force: true });
  }
}

async function linkDatabase(from: string, to: string): Promise<void> {
  await mkdir(to);
  for (const name of await readdir(from)) {
    const path = join(from, name);
    if (OWN.test(name) || (await kindOf(path)) !== 'file') continue;
    if (LINKED.test(name)) await symlink(path, join(to, name));
    else await copyFile(path, join(to, name));
  }
}

/** Whether a table of it is a copy by now. */
async function isMended(original: string, linked: string): Promise<boolean> {
  const originals = new Set(await readdir(original).catch(() => []));
  for (const entry of await readdir(linked, { withFileTypes: true })) {
    if (LINKED.test(entry.name) && entry.isFile() && originals.has(entry.name)) return true;
  }
  return false;
}

/** One of those, until it is closed. */
class LookedAt implements Database {
  readonly #inner: Database;
  readonly #onClosed: () => Promise<void>;

  constructor(inner: Database, onClosed: () => Promise<void>) {
    this.#inner = inner;
    this.#onClosed = onClosed;
  }

  put(...put: Parameters<Database['put']>): Promise<void> {
    return this.#inner.put(...put);
  }

  write(...write: Parameters<Database['write']>): Promise<void> {
    return this.#inner.write(...write);
  }

  get(...get: Parameters<Database['get']>): ReturnType<Database['get']> {
    return this.#inner.get(...get);
  }

  entries(...range: Parameters<Database['entries']>): ReturnType<Database['entries']> {
    return this.#inner.entries(...range);
  }

  sync(): Promise<void> {
    return this.#inner.sync();
  }

  async close(): Promise<void> {
    await this.#inner.close();
    await this.#onClosed();
  }
}
