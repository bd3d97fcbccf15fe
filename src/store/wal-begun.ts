import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../errors.ts';
import type { Database, Entries, KeyRange, Write } from './database.ts';
import { syncPath } from './files.ts';

/** Behind the number of a write-ahead file; LevelDB leaves names alone that are not its own. */
const BEGUN = '.begun';
const DIGITS = 6;

/** Names of write-ahead files that held a synced write. */
export async function begunIn(folder: string): Promise<string[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith(BEGUN));
  return names.map((name) => `${name.slice(0, -BEGUN.length)}.log`);
}

/**
 * The state database, with a mark beside each write-ahead file that holds a synced write: LevelDB finds
 * nothing wrong with one that is empty. One more sync for each file, so about one a start.
 */
export class BegunWals implements Database {
  readonly #inner: Database;
  readonly #folder: string;
  readonly #warn: (text: string) => void;
  #isMarked = false;
  /** Of writes without a mark: at the first, and then ever more rarely, it is tried and told. */
  #unmarked = 0;

  constructor(inner: Database, folder: string, warn: (text: string) => void) {
    this.#inner = inner;
    this.#folder = folder;
    this.#warn = warn;
    inner.onNewFile = () => {
      this.#isMarked = false;
      this.#unmarked = 0;
    };
  }

  async put(key: Uint8Array, value: Uint8Array, sync: boolean): Promise<void> {
    await this.#inner.put(key, value, sync);
    if (sync) await this.#mark();
  }

  async write(writes: readonly Write[]): Promise<void> {
    await this.#inner.write(writes);
    await this.#mark();
  }

  async sync(): Promise<void> {
    await this.#inner.sync();
  }

  get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#inner.get(key);
  }

  entries(range: KeyRange): Entries {
    return this.#inner.entries(range);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  /** What was written is durable without it: a failure is nobody's, and the next write tries again. */
  async #mark(): Promise<void> {
    if (this.#isMarked) return;
    const tried = this.#unmarked++;
    if ((tried & (tried - 1)) !== 0) return; // At 0, 1, 2, 4, 8, …
    this.#isMarked = true;
    try {
      const names = await readdir(this.#folder);
      const newest = Math.max(0, ...names.map(numberOf));
      const name = names.find((one) => numberOf(one) === newest);
      if (name === undefined) return;
      await writeFile(join(this.#folder, name.replace(/\.log$/u, BEGUN)), '');
      await syncPath(this.#folder);
      for (const old of names.filter((one) => one.endsWith(BEGUN))) {
        if (Number.parseInt(old, 10) < newest) await rm(join(this.#folder, old), { force: true });
      }
    } catch (error) {
      this.#isMarked = false;
      if (tried === 0)
        this.#warn(`a write-ahead file could not be marked as begun (${messageOf(error)})`);
    }
  }
}

/** Of a write-ahead file; 0: it is none. */
export function numberOf(name: string): number {
  return /^\d+\.log$/u.test(name) ? Number.parseInt(name, 10) : 0;
}

export function nameOf(number: number): string {
  return `${String(number).padStart(DIGITS, '0')}.log`;
}
