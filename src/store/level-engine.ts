import { mkdir, open, readdir, rename, rm, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Level } from 'level';
import { GatelogError, messageOf, systemCodeOf } from '../errors.ts';
import { silentLogger, type Logger } from '../telemetry.ts';
import type { Database, Engine, Entries, KeyRange, Write } from './database.ts';

type ByteLevel = Level<Uint8Array, Uint8Array>;

/**
 * Measured in research/store.md section 7: 4 MB write buffer bounds memory and recovery; 64 KB
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

const SEGMENT_DIGITS = 16;
const SEGMENT = /^\d+$/u;
/** Ending of the name of a segment's folder while it is being removed. */
const REMOVED = '.removed';
/** LevelDB's memory for an entry is less than this and so many times its bytes. */
const WAL_ENTRY_BYTES = 400;
const WAL_GROWTH = 1.5;
const READ_AHEAD_BYTES = 256 * 1024;
const READ_AHEAD_ENTRIES = 1024;

class LevelDatabase implements Database {
  readonly #level: ByteLevel;
  readonly #folder: string;
  readonly #walName: WalName;

  constructor(level: ByteLevel, folder: string, walName: WalName) {
    this.#level = level;
    this.#folder = folder;
    this.#walName = walName;
  }

  async put(key: Uint8Array, value: Uint8Array, sync: boolean): Promise<void> {
    this.#walName.grow(key.length + value.length);
    await this.#level.put(key, value, { sync });
    if (sync) await this.#walName.settle();
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
    await this.#walName.settle();
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

  close(): Promise<void> {
    return this.#level.close();
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
    this.#buffered += WAL_ENTRY_BYTES + bytes * WAL_GROWTH;
  }

  async settle(): Promise<void> {
    if (this.#buffered < OPTIONS.writeBufferSize) return;
    const newest = newestLog(await readdir(this.#folder));
    if (newest === this.#newest) return;
    await syncPath(this.#folder);
    this.#newest = newest;
    this.#buffered = 0;
  }
}

/** '' when there is none. */
function newestLog(names: readonly string[]): string {
  const logs = names.filter((name) => name.endsWith('.log'));
  return (
    logs.toSorted((left, right) => Number.parseInt(right, 10) - Number.parseInt(left, 10))[0] ?? ''
  );
}

/** A file that is gone needs no syncing. */
async function syncPath(path: string): Promise<void> {
  try {
    const handle = await open(path, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error;
  }
}

/** LevelDB in `folder`: `state/` and `log/<first commit number>/`. */
class LevelEngine implements Engine {
  readonly folder: string;
  readonly #log: string;
  readonly #mayCreate: boolean;
  readonly #logger: Logger;

  constructor(folder: string, mayCreate: boolean, logger: Logger) {
    this.folder = folder;
    this.#log = join(folder, 'log');
    this.#mayCreate = mayCreate;
    this.#logger = logger;
  }

  async openState(): Promise<Database> {
    const path = join(this.folder, 'state');
    try {
      if (this.#mayCreate) {
        await makeFolder(this.folder);
        await makeFolder(this.#log);
      } else {
        await stat(path);
      }
      const database = await openLevel(path, this.#mayCreate);
      if (this.#mayCreate) await syncPath(this.folder);
      return database;
    } catch (error) {
      throw openError(this.folder, error);
    }
  }

  /** Called by the holder of the folder's lock. Clears away what a kill left half made or removed. */
  async segments(): Promise<number[]> {
    const firsts: number[] = [];
    for (const name of await readdir(this.#log)) {
      const path = join(this.#log, name);
      const leftover = name.endsWith(REMOVED) || (SEGMENT.test(name) && (await isHalfMade(path)));
      if (leftover && this.#mayCreate) await rm(path, { recursive: true, force: true });
      if (!leftover && SEGMENT.test(name)) firsts.push(Number(name));
    }
    return firsts.toSorted((left, right) => left - right);
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
      if (failure.code !== 'STORE_CORRUPT' || !this.#mayCreate) throw failure;
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
    this.#logger.warn({ segment: this.#path(first) }, 'a damaged segment is repaired');
    await repairLevel(this.#path(first));
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

  segmentBytes(first: number): Promise<number> {
    return folderBytes(this.#path(first));
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
 * is missing or names a manifest that never reached the disk. With entries it is damage, for a
 * person to see.
 */
async function isHalfMade(path: string): Promise<boolean> {
  for (const name of await readdir(path)) {
    if (/\.(?:ldb|sst|log)$/u.test(name) && (await stat(join(path, name))).size > 0) return false;
  }
  return true;
}

/** In Node `level` is classic-level, whose repair its types leave out. The folder MUST be closed. */
async function repairLevel(path: string): Promise<void> {
  await (Level as unknown as { repair(location: string): Promise<void> }).repair(path);
}

/** Not mkdir's own recursion: it never ends where a parent can't be made, as below /proc. */
async function makeFolder(path: string): Promise<void> {
  const make = async (): Promise<void> => {
    try {
      await mkdir(path);
      await syncPath(dirname(path));
    } catch (error) {
      // Something is there: if it is no folder, the next step says so.
      if (systemCodeOf(error) !== 'EEXIST') throw error;
    }
  };
  try {
    await make();
  } catch (error) {
    const parent = dirname(path);
    if (systemCodeOf(error) !== 'ENOENT' || parent === path) throw error;
    await makeFolder(parent);
    await make();
  }
}

async function openLevel(path: string, createIfMissing: boolean): Promise<Database> {
  const level: ByteLevel = new Level<Uint8Array, Uint8Array>(path, {
    ...OPTIONS,
    createIfMissing,
  });
  await level.open();
  // Its last step is the new name CURRENT, which it does not sync: the one before it may name a
  // manifest that it never synced.
  await syncPath(path);
  return new LevelDatabase(level, path, await WalName.of(path));
}

async function folderBytes(path: string): Promise<number> {
  let bytes = 0;
  try {
    for (const name of await readdir(path)) {
      const info = await stat(join(path, name)).catch(() => undefined);
      bytes += info?.size ?? 0;
    }
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error;
  }
  return bytes;
}

/** The engine's reasons, turned into what a person can act on. */
function openError(folder: string, error: unknown): GatelogError {
  const inner = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const code = systemCodeOf(inner);
  const text = messageOf(inner);
  if (code === 'LEVEL_LOCKED') {
    return new GatelogError(
      'STORE_LOCKED',
      `the data folder ${folder} is in use by another process: stop the gatelog that runs on it, ` +
        `or give this one a folder of its own with --data`,
      { cause: error },
    );
  }
  if (code === 'LEVEL_CORRUPTION') {
    return new GatelogError(
      'STORE_CORRUPT',
      `the database in ${folder} is damaged (${text}): move that folder away to go on without ` +
        `what it holds, and keep it for repair`,
      { cause: error },
    );
  }
  return new GatelogError(
    'STORE_UNAVAILABLE',
    `the data folder ${folder} can't be opened (${text}): ${adviceFor(code, text)}`,
    { cause: error },
  );
}

function adviceFor(code: string | undefined, text: string): string {
  if (code === 'ENOENT' || /does not exist/u.test(text)) {
    return 'there is no gatelog data there; check the path, or start gatelog once to make it';
  }
  if (code === 'ENOSPC' || /no space left/iu.test(text)) {
    return 'the disk is full; free space on it, or lower the topics’ retention';
  }
  if (code === 'EACCES' || code === 'EPERM' || /permission denied/iu.test(text)) {
    return 'let the user that runs gatelog read and write it';
  }
  if (code === 'EROFS' || /read-only file system/iu.test(text)) {
    return 'its file system is mounted read-only; remount it, or choose another folder';
  }
  if (code === 'ENOTDIR' || code === 'EEXIST') {
    return 'a file stands in the way; choose another folder';
  }
  return 'check that the disk is there and that the folder can be read and written';
}

/** `readOnly`: nothing is created and nothing repaired. */
export function levelEngine(
  folder: string,
  readOnly: boolean,
  logger: Logger = silentLogger,
): Engine {
  return new LevelEngine(folder, !readOnly, logger);
}
