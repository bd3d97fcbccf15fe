import { assert, must } from '../assert.ts';
import { GatelogError } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { AsideNote } from './aside-note.ts';
import { isUnopenable } from './damage.ts';
import type { Database, Engine, ExamineHow } from './database.ts';
import type { Patience } from './patience.ts';

interface Segment {
  readonly first: number;
  opening: Promise<Database> | undefined;
  closing: Promise<void>;
  users: number;
  used: number;
}

/** For who has no patience. */
const UNKNOWN_RETRIES = 3;

/** Throws STORE_CORRUPT when what stands in the segment is not its own. */
export type SegmentCheck = (first: number, database: Database) => Promise<void>;

/**
 * The segments of the log, by the number of their first commit. The newest is always open; others
 * open when read, a few stay open, the rest are closed when nobody uses them.
 */
export class Segments {
  readonly #engine: Engine;
  readonly #patience: Patience | undefined;
  #list: Segment[] = [];
  #uses = 0;
  #closed = false;
  /** How many times a segment was opened: that opening the store does not grow with the log. */
  opened = 0;
  /** Asked whenever a segment that was there before is opened. */
  check: SegmentCheck | undefined;
  /** Resolved before one is removed on purpose. */
  beforeRemoval: ((first: number) => Promise<void>) | undefined;
  /** The newest that stood there without an entry: it was made ahead of its first commit. 0: none. */
  prepared = 0;
  /** Told when one goes on in a new write-ahead file. */
  onNewFile: (() => void) | undefined;
  /** Told when one can't be opened and nobody uses it. */
  onUnopenable: ((first: number, error: unknown) => void) | undefined;

  /** Without patience what the disk does not read counts as damaged at once: for who only looks. */
  constructor(engine: Engine, patience?: Patience) {
    this.#engine = engine;
    this.#patience = patience;
  }

  /** `known`: those that held something once. */
  async load(known?: ReadonlySet<number>): Promise<void> {
    this.#list = (await this.#engine.segments(known)).map(fresh);
    this.prepared = this.#engine.prepared ?? 0;
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
      database.onNewFile = () => this.onNewFile?.();
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

  /** Before it is read; resolves with the commit before which it can be read now. */
  async examine(first: number, how: ExamineHow): Promise<number> {
    return (await this.#engine.examineSegment?.(first, how)) ?? Infinity;
  }

  /** The same for all of it. */
  async examineWhole(first: number): Promise<void> {
    for (let commit = first; commit < Infinity;) commit = await this.examine(first, { commit });
  }

  /**
   * The disk did not answer when something at `place` of the segment was read, for the so manieth time
   * in one call. `again`: at once, opened anew. `lost`: it counts as damaged. `wait`: whoever reads
   * comes again later.
   */
  async afterFailedRead(
    first: number,
    place: number,
    attempt: number,
  ): Promise<'again' | 'wait' | 'lost'> {
    if (this.#patience === undefined) return attempt < UNKNOWN_RETRIES ? 'again' : 'lost';
    const answers = async (): Promise<boolean> => (await this.#engine.answers?.()) ?? true;
    const verdict = await this.#patience.afterFailure(nameOf(first), place, attempt, answers);
    if (verdict === 'again') await this.#refresh(first);
    return verdict;
  }

  /** The places of a segment between the two could be read. */
  couldRead(first: number, from: number, to: number): void {
    this.#patience?.read(nameOf(first), from, to);
  }

  /** Before anything is called damaged. Throws STORE_MISSING when the whole data folder is gone. */
  async requirePresent(): Promise<void> {
    await this.#engine.requirePresent?.();
  }

  /** The next read opens the segment anew, unless somebody else uses it. */
  async #refresh(first: number): Promise<void> {
    const segment = this.#list.find((candidate) => candidate.first === first);
    if (segment?.users === 0) await this.#close(segment);
  }

  /** Somebody has it open at present. */
  isUsed(first: number): boolean {
    return this.#find(first).users > 0;
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

  /**
   * Puts a database of what `fill` writes in the segment's place; `before` is run when it is made.
   * `unwanted`: by `fill`, or the engine has no such way; `used`: somebody reads the segment.
   */
  async replace(
    first: number,
    note: string,
    fill: (from: Database, to: Database) => Promise<boolean>,
    before: () => Promise<void>,
  ): Promise<'replaced' | 'unwanted' | 'used'> {
    const engine = this.#engine;
    if (this.#find(first).users > 0) return 'used';
    let taken = false;
    try {
      await this.examineWhole(first);
      const make = (from: Database): Promise<boolean> | undefined =>
        engine.makeReplacement?.(first, note, (to) => fill(from, to));
      if ((await this.using(first, async (from) => make(from))) !== true) return 'unwanted';
      await before();
      const segment = this.#list.find((candidate) => candidate.first === first);
      if (segment === undefined || segment.users > 0) return 'used';
      const closing = this.#close(segment);
      const taking = closing.then(() => engine.takeReplacement?.(first));
      segment.closing = taking.catch(() => {}); // Whoever opens it meanwhile waits.
      await taking;
      taken = true;
    } finally {
      if (!taken) await engine.dropReplacement?.(first);
    }
    return 'replaced';
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
    database.onNewFile = () => this.onNewFile?.();
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
    for (const segment of idle) {
      // Somebody may have come while another one was closed.
      if (segment.users === 0) await this.#close(segment);
    }
  }
}

function fresh(first: number): Segment {
  return { first, opening: undefined, closing: Promise.resolve(), users: 0, used: 0 };
}

export function nameOf(first: number): string {
  return `segment ${first}`;
}

function at(list: readonly Segment[], index: number): Segment {
  return must(list[index], 'the index lies inside the list');
}
