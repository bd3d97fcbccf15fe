import { GatelogError, messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { Logger } from '../telemetry.ts';
import type { Database, Engine, Entries, KeyRange, Write } from './database.ts';
import { isClosed } from './damage.ts';
import { IDENTITY_KEY } from './state.ts';
import { isFull } from './write-errors.ts';

export interface StateDatabaseOptions {
  readonly engine: Engine;
  readonly logger: Logger;
  /** Whose data folder it is, as it stands there; undefined: nobody's yet. */
  readonly identity: Uint8Array | undefined;
}

/**
 * The state database behind its own door, with invariant 10 kept: after a failed write nothing more
 * is written to that handle. It is closed and opened again, which has LevelDB copy what its
 * write-ahead file holds into a new table and sync that; the last writes that were confirmed are
 * compared, and put again where they differ; then the write itself is tried once more. Only if
 * that fails too is the caller told, and the next caller begins with the opening.
 */
export class StateDatabase implements Database {
  readonly #options: StateDatabaseOptions;
  readonly #journal = new Journal();
  #database: Database | undefined;
  /** What may stand there to say whose it is. */
  readonly #ours: Uint8Array[];
  #turn: Promise<unknown> = Promise.resolve();
  #mending: Promise<Database> | undefined;
  #closed = false;

  constructor(options: StateDatabaseOptions, database: Database) {
    this.#options = options;
    this.#database = database;
    this.#ours = options.identity === undefined ? [] : [options.identity];
  }

  put(key: Uint8Array, value: Uint8Array): Promise<void> {
    return this.write([{ key, value }]);
  }

  /** One after the other: a write that is tried again must not overtake what came before. */
  write(writes: readonly Write[]): Promise<void> {
    const written = this.#turn.then(() => this.#write(writes));
    this.#turn = written.catch(() => {});
    return written;
  }

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    try {
      return await (await this.#open()).get(key);
    } catch (error) {
      if (this.#closed || !isClosed(error)) throw error;
      return (await this.#open()).get(key); // It was opened again under this read.
    }
  }

  entries(range: KeyRange): Entries {
    let entries: Entries | undefined;
    return {
      next: async () => {
        entries ??= (await this.#open()).entries(range);
        return entries.next();
      },
      close: async () => {
        await entries?.close();
      },
    };
  }

  async sync(): Promise<void> {
    await (await this.#open()).sync();
  }

  async close(): Promise<void> {
    await this.#turn;
    await this.#mending?.catch(() => {});
    this.#closed = true;
    await this.#database?.close();
    this.#database = undefined;
  }

  async #write(writes: readonly Write[]): Promise<void> {
    let again = true;
    for (const { key, value } of writes) {
      // Before the write: one that fails may have arrived nevertheless.
      if (sameBytes(key, IDENTITY_KEY) && value !== undefined) this.#ours.push(Buffer.from(value));
    }
    for (;;) {
      const database = await this.#open();
      try {
        await database.write(writes);
        this.#journal.note(writes);
        return;
      } catch (error) {
        await this.#broken(database, error);
        const relieved = isFull(error) && (await this.#relieve());
        if (!again && !relieved) throw error;
        again = false;
      }
    }
  }

  async #relieve(): Promise<boolean> {
    const { engine, logger } = this.#options;
    try {
      if ((await engine.reserve?.relieve()) !== true) return false;
      logger.warn({ event: 'disk.relief' }, 'the state database goes on with space of the reserve');
      return true;
    } catch (error) {
      logger.warn({ error: messageOf(error) }, 'the reserve could not be given back');
      return false;
    }
  }

  /** Closed at once: what this handle would still write can't be trusted. */
  async #broken(database: Database, error: unknown): Promise<void> {
    this.#options.logger.error(
      { event: 'state.failed', error: messageOf(error) },
      'the state database could not be written; it is opened again and verified',
    );
    this.#database = undefined;
    await database.close().catch(() => {});
  }

  #open(): Promise<Database> {
    if (this.#database !== undefined) return Promise.resolve(this.#database);
    this.#mending ??= this.#mend().finally(() => {
      this.#mending = undefined;
    });
    return this.#mending;
  }

  async #mend(): Promise<Database> {
    const { engine, logger } = this.#options;
    if (this.#closed) throw new GatelogError('STORE_CLOSED', 'the store is closed');
    try {
      const database = await engine.openState();
      try {
        await this.#requireOurs(database);
        await this.#verify(database);
      } catch (error) {
        await database.close().catch(() => {});
        throw error;
      }
      this.#database = database;
      logger.info({ event: 'state.mended' }, 'the state database is verified and written again');
      return database;
    } catch (error) {
      throw new GatelogError(
        isFull(error) ? 'STORE_FULL' : 'STORE_WRITE_FAILED',
        `the state database can't be opened at present (${messageOf(error)}): check the disk's ` +
          `space and health; gatelog tries again by itself`,
        { cause: error },
      );
    }
  }

  /** Somebody may have put another disk there meanwhile. */
  async #requireOurs(database: Database): Promise<void> {
    const found = await database.get(IDENTITY_KEY);
    if (found === undefined || this.#ours.length === 0) return;
    if (this.#ours.some((identity) => sameBytes(found, identity))) return;
    throw new GatelogError(
      'STORE_FOREIGN',
      "another gateway's data folder stands there now: put the disk back that was there before",
    );
  }

  /** What was confirmed must be there; a write that failed must not have half replaced it. */
  async #verify(database: Database): Promise<void> {
    const differing: Write[] = [];
    for (const write of this.#journal.all()) {
      const found = await database.get(write.key);
      if (!sameBytes(found, write.value)) differing.push(write);
    }
    if (differing.length === 0) return;
    const keys = differing.map(({ key }) => Buffer.from(key).toString('utf8')).slice(0, 16);
    this.#options.logger.error(
      { event: 'state.differs', count: differing.length, keys },
      'the state database does not hold what it had confirmed; it is put there again',
    );
    await database.write(differing);
  }
}

/** The last confirmed value of the keys written last. */
class Journal {
  readonly #writes = new Map<string, Write>();
  #bytes = 0;

  note(writes: readonly Write[]): void {
    for (const { key, value } of writes) {
      const name = Buffer.from(key).toString('latin1');
      this.#forget(name);
      // Copies: the caller's buffers are its own.
      const kept = { key: Buffer.from(key), value: value && Buffer.from(value) };
      this.#writes.set(name, kept);
      this.#bytes += sizeOf(kept);
    }
    for (const name of this.#writes.keys()) {
      const fits = this.#bytes <= LIMITS.stateJournalBytes;
      if (fits && this.#writes.size <= LIMITS.stateJournalKeys) return;
      this.#forget(name);
    }
  }

  all(): IterableIterator<Write> {
    return this.#writes.values();
  }

  #forget(name: string): void {
    const known = this.#writes.get(name);
    if (known === undefined) return;
    this.#writes.delete(name);
    this.#bytes -= sizeOf(known);
  }
}

function sizeOf({ key, value }: Write): number {
  return key.length + (value === undefined ? 0 : value.length);
}

function sameBytes(left: Uint8Array | undefined, right: Uint8Array | undefined): boolean {
  if (left === undefined || right === undefined) return left === right;
  return Buffer.compare(left, right) === 0;
}
