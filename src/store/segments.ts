import { assert, must } from '../assert.ts';
import { GatelogError } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { AsideNote } from './aside-note.ts';
import { isUnopenable } from './damage.ts';
import type { Database, Engine } from './database.ts';

interface Segment {
  readonly first: number;
  opening: Promise<Database> | undefined;
  closing: Promise<void>;
  users: number;
  used: number;
}

/** Throws STORE_CORRUPT when what stands in the segment is not its own. */
export type SegmentCheck = (first: number, database: Database) => Promise<void>;

/**
 * The segments of the log, by the number of their first commit. The newest is always open; others
 * open when read, a few stay open, the rest are closed when nobody uses them.
 */
export class Segments {
  readonly #engine: Engine;
  #list: Segment[] = [];
  #uses = 0;
  #closed = false;
  /** How many times a segment was opened: that opening the store does not grow with the log. */
  opened = 0;
  /** Asked whenever a segment that was there before is opened. */
  check: SegmentCheck | undefined;
  /** Resolved before one is removed on purpose. */
  beforeRemoval: ((first: number) => Promise<void>) | undefined;
  /** Told when one can't be opened and nobody uses it. */
  onUnopenable: ((first: number, error: unknown) => void) | undefined;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** `known`: those that held something once. */
  async load(known?: ReadonlySet<number>): Promise<void> {
    this.#list = (await this.#engine.segments(known)).map(fresh);
  }

  get firsts(): readonly number[] {
    return this.#list.map((segment) => segment.first);
  }

  get count(): number {
    return this.#list.length;
  }

  get newest(): number | undefined {
    return this.#list.at(-1)?.first;
  }

  get oldest(): number | undefined {
    return this.#list[0]?.first;
  }

  /** First commit of the segment that holds `commit`, or of the first one after it. */
  holding(commit: number): number | undefined {
    let low = 0;
    let high = this.#list.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (at(this.#list, middle).first <= commit) low = middle + 1;
      else high = middle;
    }
    return this.#list[Math.max(0, low - 1)]?.first;
  }

  /** The segment after the one that begins at `first`. */
  after(first: number): number | undefined {
    return this.#list.find((segment) => segment.first > first)?.first;
  }

  /** Creates a segment ahead of its use. */
  async create(first: number): Promise<void> {
    assert(first > (this.newest ?? 0), 'segments follow each other');
    this.opened++;
    let database: Database;
    try {
      database = await this.#engine.openSegment(first, 'create');
    } catch (error) {
      // Half made, it would stand in the way of finding commits by their segment's name.
      await this.#engine.removeSegment(first).catch(() => {});
      throw error;
    }
    const segment = fresh(first);
    segment.opening = Promise.resolve(database);
    segment.used = ++this.#uses;
    this.#list.push(segment);
  }

  /** Runs `task` with the segment open; it is not closed meanwhile. */
  async using<T>(first: number, task: (database: Database) => Promise<T>): Promise<T> {
    if (this.#closed) throw new GatelogError('STORE_CLOSED', 'the store is closed');
    const segment = this.#find(first);
    segment.users++;
    segment.used = ++this.#uses;
    try {
      const database = await this.#open(segment);
      return await task(database);
    } catch (error) {
      if (segment.users === 1 && isUnopenable(error)) this.onUnopenable?.(first, error);
      throw error;
    } finally {
      segment.users--;
      await this.#closeIdle();
    }
  }

  has(first: number): boolean {
    return this.#list.some((segment) => segment.first === first);
  }

  /** The open database of a segment that the writer holds on to. */
  async hold(first: number): Promise<Database> {
    const segment = this.#find(first);
    segment.users++;
    try {
      return await this.#open(segment);
    } catch (error) {
      segment.users--;
      throw error;
    }
  }

  release(first: number): void {
    this.#find(first).users--;
  }

  /** Closes and opens the segment again, whatever state it is in. Its readers see errors and retry. */
  async reopen(first: number): Promise<Database> {
    const segment = this.#find(first);
    await this.#close(segment);
    return this.#open(segment);
  }

  /** Closes the segment and leaves it out of the list, as if it were not there. */
  async ignore(first: number): Promise<void> {
    const segment = this.#find(first);
    this.#list = this.#list.filter((candidate) => candidate !== segment);
    await this.#close(segment);
  }

  /** Has the engine rebuild a segment that it can't read; false when it has no way to. */
  async repair(first: number): Promise<boolean> {
    if (this.#engine.repairSegment === undefined) return false;
    await this.#close(this.#find(first));
    await this.#engine.repairSegment(first);
    return true;
  }

  /**
   * Closes a segment that can't be read and has the engine move it out of the way. Resolves with its
   * new name; undefined when it is in use, gone, or the engine has no such way.
   */
  async setAside(first: number, note: AsideNote): Promise<string | undefined> {
    const segment = this.#list.find((candidate) => candidate.first === first);
    if (segment === undefined || segment.users > 0) return undefined;
    await this.ignore(first);
    return this.#engine.setAside?.(first, note);
  }

  /** Adds to the note of what was set aside. */
  async annotate(name: string, note: Partial<AsideNote>): Promise<void> {
    await this.#engine.annotate?.(name, note);
  }

  /** Closes and removes a segment that nobody reads; false when somebody does. */
  async remove(first: number): Promise<boolean> {
    const segment = this.#list.find((candidate) => candidate.first === first);
    if (segment === undefined) return true;
    if (segment.users > 0) return false;
    await this.beforeRemoval?.(first);
    if (segment.users > 0) return false;
    this.#list = this.#list.filter((candidate) => candidate !== segment);
    await this.#close(segment);
    await this.#engine.removeSegment(first);
    return true;
  }

  /** As after a restart: whoever needs one opens it anew. */
  async closeAll(): Promise<void> {
    for (const segment of this.#list) await this.#close(segment);
  }

  /** After it nothing is opened any more; reads under way fail. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const segment of this.#list) await this.#close(segment);
  }

  #find(first: number): Segment {
    return must(
      this.#list.find((candidate) => candidate.first === first),
      'the segment exists',
    );
  }

  /** An opening waits for the closing before it: LevelDB locks the folder until it is closed. */
  #open(segment: Segment): Promise<Database> {
    if (segment.opening !== undefined) return segment.opening;
    const opening = segment.closing.then(() => this.#openChecked(segment.first));
    this.opened++;
    segment.opening = opening;
    opening.catch(() => {
      if (segment.opening === opening) segment.opening = undefined;
    });
    return opening;
  }

  async #openChecked(first: number): Promise<Database> {
    const database = await this.#engine.openSegment(first, 'existing');
    try {
      await this.check?.(first, database);
    } catch (error) {
      await database.close();
      throw error;
    }
    return database;
  }

  async #close(segment: Segment): Promise<void> {
    const { opening } = segment;
    if (opening !== undefined) {
      segment.opening = undefined;
      segment.closing = opening.then((database) => database.close()).catch(() => {});
    }
    await segment.closing;
  }

  async #closeIdle(): Promise<void> {
    const idle = this.#list
      .filter((segment) => segment.opening !== undefined && segment.users === 0)
      .toSorted((left, right) => right.used - left.used)
      .slice(LIMITS.idleSegmentsOpen);
    for (const segment of idle) await this.#close(segment);
  }
}

function fresh(first: number): Segment {
  return { first, opening: undefined, closing: Promise.resolve(), users: 0, used: 0 };
}

function at(list: readonly Segment[], index: number): Segment {
  return must(list[index], 'the index lies inside the list');
}
