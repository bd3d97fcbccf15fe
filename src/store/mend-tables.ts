import { copyFile, lstat, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { GatelogError, systemCodeOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { Logger } from '../telemetry.ts';
import { troubleOf } from './damage.ts';
import { syncPath } from './files.ts';
import { listedTables } from './manifest.ts';
import { compareKeys, TRAILER_BYTES, userKey } from './table-format.ts';
import { TableFile, type DataBlock } from './table-file.ts';
import { rebuiltTable } from './table-rebuild.ts';

/**
 * Which blocks of data: all, those that opening reads (the first and the last ones), or so many bytes
 * of those that hold keys from one on.
 */
export type Extent = 'all' | 'ends' | Window;

export interface Window {
  readonly from: Buffer;
  readonly bytes: number;
}

export interface MendOptions {
  readonly folder: string;
  readonly extent: Extent;
  readonly logger: Logger;
  /** Moves a table out of the way for which a new one was made; undefined: the folder is open. */
  readonly take: ((file: string) => Promise<unknown>) | undefined;
  /** Asked now and then: there is no more time. */
  readonly isOver?: () => boolean;
  /** As an earlier call found the tables: they are not read again. */
  readonly known?: readonly Look[] | undefined;
}

export interface Mended {
  /** Tables that would have ended a process, or of which nothing could have been read. */
  readonly tables: number;
  /** False: there was no time for the rest. */
  readonly finished: boolean;
  readonly looks: readonly Look[];
  /** Keys before it were within the window; undefined: all there are. */
  readonly until: Buffer | undefined;
}

/** A table that LevelDB may open. */
export interface Look {
  readonly path: string;
  readonly blocks: readonly DataBlock[];
}

const TABLE = /\.(?:ldb|sst)$/u;
/** Ending of a new table until it takes its place. */
const NEW = '.new';

/**
 * Looks at tables before LevelDB does, which ends the process when it reads certain damage in them
 * (docs/leveldb.md), and takes the danger out: a block that can't be read is marked so that
 * LevelDB tells it as damaged, and a table without its index gets a new one. What is altered and can
 * be read stays as it is. Throws for a folder that can't be read or written.
 */
export async function mendTables(options: MendOptions): Promise<Mended> {
  const { folder, take } = options;
  if (take !== undefined) await finishRebuilding(folder);
  const mending = new Mending(options);
  const looks = options.known ?? (await mending.looks());
  const { chosen, until } = wanted(looks, options.extent);
  const finished = await mending.data(chosen);
  return { tables: mending.tables, finished, looks, until };
}

class Mending {
  readonly #options: MendOptions;
  readonly #mended = new Set<string>();

  constructor(options: MendOptions) {
    this.#options = options;
  }

  get tables(): number {
    return this.#mended.size;
  }

  async looks(): Promise<Look[]> {
    const { folder } = this.#options;
    const looks: Look[] = [];
    const listed = await listedTables(folder);
    const isRead = (name: string): boolean => listed?.has(Number.parseInt(name, 10)) ?? true;
    const tables = (await readdir(folder)).filter((name) => TABLE.test(name));
    for (const name of tables.filter(isRead)) {
      const blocks = await this.#look(join(folder, name));
      if (blocks !== undefined) looks.push({ path: join(folder, name), blocks });
    }
    return looks;
  }

  /** The table's blocks of data, when LevelDB may open it now. */
  async #look(path: string): Promise<readonly DataBlock[] | undefined> {
    return this.#reading(path, async (table) => {
      const books = await table.books();
      if (books === undefined) {
        if (table.size === 0) return undefined; // LevelDB says so itself.
        await this.#rebuild(path, table);
        return undefined;
      }
      if (books.altered.length > 0) await this.#spoil(path, books.altered);
      return books.blocks;
    });
  }

  /** False when the time was over. */
  async data(looks: readonly Look[]): Promise<boolean> {
    for (const { path, blocks } of looks) {
      if (blocks.length === 0) continue;
      const deadly: DataBlock[] = [];
      const finished = await this.#reading(path, async (table) => {
        for (let at = 0; at < blocks.length; at += BLOCKS_AT_ONCE) {
          if (this.#options.isOver?.() === true) return false;
          const some = blocks.slice(at, at + BLOCKS_AT_ONCE);
          for await (const block of table.deadly(some)) deadly.push(block);
        }
        return true;
      });
      if (deadly.length > 0) await this.#spoil(path, deadly);
      if (finished === false) return false;
    }
    return true;
  }

  /** undefined: it is gone, as LevelDB removes those that it has merged. */
  async #reading<T>(path: string, task: (table: TableFile) => Promise<T>): Promise<T | undefined> {
    let table: TableFile | undefined;
    try {
      table = await TableFile.open(path);
      return await task(table);
    } catch (error) {
      const code = systemCodeOf(error);
      // What can't be read here, or is no file, LevelDB can't read either, and says so.
      if (code === 'ENOENT' || code === 'EIO' || code === 'EISDIR') return undefined;
      throw error;
    } finally {
      await table?.close();
    }
  }

  async #spoil(path: string, blocks: readonly { offset: number; size: number }[]): Promise<void> {
    const bytes = blocks.reduce((sum, { size }) => sum + size + TRAILER_BYTES, 0);
    this.#options.logger.error(
      { event: 'store.blocks-damaged', path, blocks: blocks.length, bytes },
      'blocks of a table are damaged so that reading them would end the process: they are left out',
    );
    await ownFile(path);
    const table = await TableFile.open(path);
    try {
      await table.spoil(blocks);
    } finally {
      await table.close();
    }
    this.#mended.add(path);
  }

  async #rebuild(path: string, table: TableFile): Promise<void> {
    const { take, logger } = this.#options;
    const event = { event: 'store.table-damaged', path, bytes: table.size };
    const isSmall = table.size <= LIMITS.tableRebuildBytes;
    const rebuilt = take === undefined || !isSmall ? undefined : rebuiltTable(await table.bytes());
    if (take === undefined || rebuilt === undefined) {
      if (await table.isSpoilt()) return;
      this.#mended.add(path);
      logger.error(event, 'the index of a table is damaged: nothing of it can be read for now');
      await ownFile(path);
      await table.spoilWhole();
      return;
    }
    this.#mended.add(path);
    logger.error(event, 'the index of a table is damaged: it is made anew from its blocks');
    await writeFile(path + NEW, rebuilt, { flush: true });
    await take(path);
    await rename(path + NEW, path);
    await syncPath(this.#options.folder);
  }
}

/** Between two looks at the time. */
const BLOCKS_AT_ONCE = 32;

interface Wanted {
  readonly chosen: readonly Look[];
  readonly until: Buffer | undefined;
}

function wanted(looks: readonly Look[], extent: Extent): Wanted {
  if (typeof extent !== 'string') return within(looks, extent);
  // Newest first: there a log is read first.
  const newestFirst = looks.toSorted((left, right) => compareLast(right, left));
  if (extent === 'all') return { chosen: newestFirst, until: undefined };
  let left: number = LIMITS.tableTailBytes;
  const chosen = newestFirst.map(({ path, blocks }, table) => {
    const isOldest = table === newestFirst.length - 1;
    const some: DataBlock[] = [];
    for (const [index, block] of [...blocks.entries()].toReversed()) {
      if (left > 0 || (isOldest && index === 0)) some.push(block);
      left -= block.size;
    }
    return { path, blocks: some.toReversed() };
  });
  return { chosen, until: undefined };
}

/** Who reads up to a key looks at the first one after it, too, and that may stand in the next block. */
const BLOCKS_AT_LEAST = 3;

function within(looks: readonly Look[], { from, bytes }: Window): Wanted {
  const ordered = looks
    .flatMap(({ path, blocks }) => blocks.map((block) => ({ path, block })))
    .filter(({ block }) => Buffer.compare(userKey(block.last), from) >= 0)
    .toSorted((left, right) => compareKeys(left.block.last, right.block.last));
  let left = bytes;
  const end = ordered.findIndex(({ block }, index) => {
    if (left <= 0 && index >= BLOCKS_AT_LEAST) return true;
    left -= block.size;
    return false;
  });
  const some = end < 0 ? ordered : ordered.slice(0, end);
  const chosen = [...Map.groupBy(some, ({ path }) => path)].map(([path, group]) => ({
    path,
    blocks: group.map(({ block }) => block).toSorted((one, other) => one.offset - other.offset),
  }));
  const before = some.at(-2)?.block.last;
  return { chosen, until: end < 0 || before === undefined ? undefined : userKey(before) };
}

function compareLast(left: Look, right: Look): number {
  const [one, other] = [left.blocks.at(-1)?.last, right.blocks.at(-1)?.last];
  if (one === undefined || other === undefined) {
    return Number(one !== undefined) - Number(other !== undefined);
  }
  return compareKeys(one, other);
}

/** Who only looks has links to other people's tables: those are never written to. */
async function ownFile(path: string): Promise<void> {
  if (!(await lstat(path)).isSymbolicLink()) return;
  try {
    await copyFile(path, path + NEW);
  } catch (error) {
    if (troubleOf(error) !== 'full') throw error;
    throw new GatelogError('STORE_FULL', `no space left on device for a copy of ${path}`, {
      cause: error,
    });
  }
  await rename(path + NEW, path);
}

/** A process ended between the two steps of it. */
async function finishRebuilding(folder: string): Promise<void> {
  const names = await readdir(folder);
  for (const name of names.filter((candidate) => candidate.endsWith(NEW))) {
    const table = name.slice(0, -NEW.length);
    if (names.includes(table)) await rm(join(folder, name), { force: true });
    else await rename(join(folder, name), join(folder, table));
  }
}
