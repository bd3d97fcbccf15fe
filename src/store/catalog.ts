import { packCheckpoint, unpackCheckpoint, type Checkpoint } from './checkpoint.ts';
import type { Database, Write } from './database.ts';
import { packed, unpacked } from './pack.ts';

const SEGMENT_PREFIX = 'segment/';
const SEGMENT_DIGITS = 16;
const END_KEY = Buffer.from('log-end');

/** The log as the state database remembers it. */
export interface RememberedEnd {
  /** Where everything stood, all producers included. */
  readonly checkpoint: Checkpoint;
  /** It was closed cleanly: nothing came after the checkpoint. */
  readonly clean: boolean;
}

/**
 * What the state database knows of the log: which segments held something, and where everything
 * stood when the newest one began, or at a clean close. So a segment that is missing is missed, and
 * a log whose end or whole is lost goes on after the offsets it gave.
 */
export class Catalog {
  readonly #database: Database;
  readonly #known: Set<number>;
  #writing: Promise<void> = Promise.resolve();
  readonly end: RememberedEnd | undefined;

  private constructor(database: Database, known: Set<number>, end: RememberedEnd | undefined) {
    this.#database = database;
    this.#known = known;
    this.end = end;
  }

  static async load(database: Database): Promise<Catalog> {
    const known = new Set<number>();
    const entries = database.entries({
      gte: Buffer.from(SEGMENT_PREFIX),
      lte: Buffer.from(`${SEGMENT_PREFIX}~`),
    });
    try {
      for (;;) {
        const batch = await entries.next();
        if (batch.length === 0) break;
        for (const [key] of batch) {
          const first = Number(Buffer.from(key).toString('utf8').slice(SEGMENT_PREFIX.length));
          if (Number.isSafeInteger(first)) known.add(first);
        }
      }
    } finally {
      await entries.close();
    }
    return new Catalog(database, known, await readEnd(database));
  }

  /** First commits of segments that held something. */
  get known(): ReadonlySet<number> {
    return this.#known;
  }

  /**
   * On opening: the segments that are there, nothing of those that are not (but of those which the
   * loss ledger has still to be told of), and that from now on something may come after `checkpoint`.
   */
  async opened(
    firsts: readonly number[],
    untold: readonly number[],
    checkpoint: Checkpoint,
  ): Promise<void> {
    const there = new Set([...firsts, ...untold]);
    const gone = [...this.#known].filter((first) => !there.has(first));
    const added = firsts.filter((first) => !this.#known.has(first));
    // As after a kill of one that had written nothing.
    const isNoted = this.end?.clean === false && this.end.checkpoint.commit === checkpoint.commit;
    if (gone.length + added.length === 0 && isNoted) return;
    await this.#write([
      ...gone.map((first) => ({ key: segmentKey(first), value: undefined })),
      ...added.map((first) => ({ key: segmentKey(first), value: packed(true) })),
      endWrite(checkpoint, false),
    ]);
    for (const first of gone) this.#known.delete(first);
    for (const first of added) this.#known.add(first);
  }

  /** The log stands at the checkpoint, and goes on in that segment. Durable when resolved. */
  async note(first: number, checkpoint: Checkpoint): Promise<void> {
    await this.#write([
      { key: segmentKey(first), value: packed(true) },
      endWrite(checkpoint, false),
    ]);
    this.#known.add(first);
  }

  /** Before a segment is removed on purpose. */
  async removed(first: number): Promise<void> {
    if (!this.#known.has(first)) return;
    await this.#write([{ key: segmentKey(first), value: undefined }]);
    this.#known.delete(first);
  }

  /** Nothing comes after it. */
  async closed(checkpoint: Checkpoint): Promise<void> {
    await this.#write([endWrite(checkpoint, true)]);
  }

  async settled(): Promise<void> {
    await this.#writing;
  }

  /** One after the other, so that the newest is the last. */
  #write(writes: readonly Write[]): Promise<void> {
    const writing = this.#writing.then(() => this.#database.write(writes));
    this.#writing = writing.catch(() => {});
    return writing;
  }
}

async function readEnd(database: Database): Promise<RememberedEnd | undefined> {
  const value = await database.get(END_KEY);
  if (value === undefined) return undefined;
  const [clean, bytes] = unpacked(value) as [boolean, Uint8Array];
  const checkpoint = unpackCheckpoint(bytes);
  return checkpoint === undefined ? undefined : { clean, checkpoint };
}

function endWrite(checkpoint: Checkpoint, clean: boolean): Write {
  return { key: END_KEY, value: packed([clean, packCheckpoint(checkpoint)]) };
}

function segmentKey(first: number): Buffer {
  return Buffer.from(SEGMENT_PREFIX + String(first).padStart(SEGMENT_DIGITS, '0'));
}
