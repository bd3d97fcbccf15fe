import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Level } from 'level';
import type { Database, Entries, KeyRange, Write } from './database.ts';
import { syncPath } from './files.ts';

type ByteLevel = Level<Uint8Array, Uint8Array>;

/**
 * Measured in docs/leveldb.md: 4 MB write buffer bounds memory and recovery; 64 KB
 * blocks save 5 % where commits are small; the cache is small because the log is read once.
 */
const OPTIONS = {
  keyEncoding: 'buffer',
  valueEncoding: 'buffer',
  compression: true,
  writeBufferSize: 4 * 1024 * 1024,
  cacheSize: 1024 * 1024,
  blockSize: 64 * 1024,
  maxFileSize: 8 * 1024 * 1024,
  maxOpenFiles: 74,
} as const;

/**
 * LevelDB's memory for an entry, at most: a small one stands in a block of 4 KiB of which a quarter may
 * be left over, together with some 50 bytes of its own; a larger one in a block to itself.
 */
const SMALL_BYTES = 1000;
const SMALL_GROWTH = 4 / 3;
const SMALL_OWN_BYTES = 96;
const LARGE_OWN_BYTES = 192;
const READ_AHEAD_BYTES = 256 * 1024;
const READ_AHEAD_ENTRIES = 1024;

class LevelDatabase implements Database {
  readonly #level: ByteLevel;
  readonly #folder: string;
  readonly #walName: WalName;
  readonly #onClosed: () => void;
  onNewFile: (() => void) | undefined;

  constructor(level: ByteLevel, folder: string, walName: WalName, onClosed: () => void) {
    this.#level = level;
    this.#folder = folder;
    this.#walName = walName;
    this.#onClosed = onClosed;
  }

  async put(key: Uint8Array, value: Uint8Array, sync: boolean): Promise<void> {
    this.#walName.grow(key.length + value.length);
    await this.#level.put(key, value, { sync });
    if (sync) await this.#settle();
  }

  async write(writes: readonly Write[]): Promise<void> {
    for (const { key, value } of writes) this.#walName.grow(key.length + (value?.length ?? 0));
    const operations = writes.map(({ key, value }) =>
      value === undefined
        ? ({ type: 'del', key } as const)
        : ({ type: 'put', key, value } as const),
    );
    // The array form: chained batches hold native memory until the collector finds them.
    await this.#level.batch<Uint8Array, Uint8Array>(operations, { sync: true });
    await this.#settle();
  }

  async #settle(): Promise<void> {
    if (await this.#walName.settle()) this.onNewFile?.();
  }

  get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#level.get(key, { fillCache: false });
  }

  entries({ oneByOne, ...range }: KeyRange): Entries {
    const iterator = this.#level.iterator({
      ...range,
      fillCache: false,
      highWaterMarkBytes: READ_AHEAD_BYTES,
    });
    return {
      next: () => iterator.nextv(oneByOne === true ? 1 : READ_AHEAD_ENTRIES),
      close: () => iterator.close(),
    };
  }

  /**
   * Syncs every write-ahead file there is, instead of one more synced put: that would cover only
   * the newest file, and LevelDB changes files without syncing the old one. A file that vanishes
   * meanwhile was turned into a table, which LevelDB syncs before it deletes the file.
   */
  async sync(): Promise<void> {
    const names = await readdir(this.#folder);
    for (const name of names.filter((candidate) => candidate.endsWith('.log'))) {
      await syncPath(join(this.#folder, name));
    }
    await syncPath(this.#folder);
  }

  async close(): Promise<void> {
    await this.#level.close();
    this.#onClosed();
  }
}

/**
 * When its write buffer is full LevelDB goes on in a new write-ahead file. It syncs what it writes
 * there and not the folder, so that by POSIX a power cut may take the file's name, and with it what
 * was acknowledged. Cheap: names are looked at only once the buffer may be full.
 */
class WalName {
  readonly #folder: string;
  /** At least what the write buffer holds. */
  #buffered = 0;
  /** Of it, what came since the file was last known to be the same. */
  #since = 0;
  #newest: string;

  private constructor(folder: string, newest: string) {
    this.#folder = folder;
    this.#newest = newest;
  }

  /** Right after opening, when the buffer is empty. */
  static async of(folder: string): Promise<WalName> {
    return new WalName(folder, newestLog(await readdir(folder)));
  }

  grow(bytes: number): void {
    const small = bytes <= SMALL_BYTES;
    const grown = small ? SMALL_OWN_BYTES + bytes * SMALL_GROWTH : LARGE_OWN_BYTES + bytes;
    this.#buffered += grown;
    this.#since += grown;
  }

  /** True when there is a new one. */
  async settle(): Promise<boolean> {
    const since = this.#since;
    const isNew = this.#buffered >= OPTIONS.writeBufferSize && (await this.#changed());
    this.#since -= since;
    // What was written when it changed stands in the new one.
    if (isNew) this.#buffered = since + this.#since;
    return isNew;
  }

  async #changed(): Promise<boolean> {
    const newest = newestLog(await readdir(this.#folder));
    if (newest === this.#newest) return false;
    await syncPath(this.#folder);
    this.#newest = newest;
    return true;
  }
}

/** '' when there is none. */
function newestLog(names: readonly string[]): string {
  const logs = names.filter((name) => name.endsWith('.log'));
  return (
    logs.toSorted((left, right) => Number.parseInt(right, 10) - Number.parseInt(left, 10))[0] ?? ''
  );
}

/** Rejects with LevelDB's own error. */
export async function openLevel(
  path: string,
  createIfMissing: boolean,
  onClosed: () => void = () => {},
): Promise<Database> {
  const level: ByteLevel = new Level<Uint8Array, Uint8Array>(path, {
    ...OPTIONS,
    createIfMissing,
  });
  await level.open();
  // Its last step is the new name CURRENT, which it does not sync: the one before it may name a
  // manifest that it never synced.
  await syncPath(path);
  return new LevelDatabase(level, path, await WalName.of(path), onClosed);
}

/** Whether it can be opened. The folder MUST be closed. */
export async function opensLevel(path: string): Promise<boolean> {
  try {
    await (await openLevel(path, false)).close();
    return true;
  } catch {
    return false;
  }
}

/** Rewrites all tables, as LevelDB does in the background sooner or later. The folder MUST be closed. */
export async function compactLevel(path: string): Promise<void> {
  const level: ByteLevel = new Level<Uint8Array, Uint8Array>(path, OPTIONS);
  await level.open();
  try {
    const compacting = level as unknown as {
      compactRange(from: Uint8Array, to: Uint8Array): Promise<void>;
    };
    await compacting.compactRange(new Uint8Array(1), new Uint8Array(64).fill(0xff));
  } finally {
    await level.close();
  }
}

/** In Node `level` is classic-level, whose repair its types leave out. The folder MUST be closed. */
export async function repairLevel(path: string): Promise<void> {
  await (Level as unknown as { repair(location: string): Promise<void> }).repair(path);
}
