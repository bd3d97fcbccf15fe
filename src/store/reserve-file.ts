import { open, stat, truncate } from 'node:fs/promises';
import { systemCodeOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { SpaceReserve } from './database.ts';
import { isFull } from './write-errors.ts';

const BLOCK_BYTES = 512;

/**
 * A file that does nothing but take space, to be given back when LevelDB needs room on a full disk.
 * Node has no fallocate, and a file system that compresses would keep nothing of zeros: what it is
 * grown by must be noise.
 */
export class ReserveFile implements SpaceReserve {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** What is really there: a file with holes reserves nothing. */
  async bytes(): Promise<number> {
    try {
      const { size, blocks } = await stat(this.#path);
      return Math.min(size, blocks * BLOCK_BYTES);
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return 0;
      throw error;
    }
  }

  async grow(chunk: Uint8Array): Promise<void> {
    const handle = await open(this.#path, 'a', 0o600);
    try {
      await handle.writeFile(chunk);
      await handle.datasync();
    } finally {
      await handle.close();
    }
  }

  async shrink(toBytes: number): Promise<void> {
    await truncate(this.#path, toBytes);
    // Some file systems give blocks out again only after the change was committed.
    const handle = await open(this.#path, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }

  async relieve(): Promise<boolean> {
    const bytes = await this.bytes();
    if (bytes === 0) return false;
    await this.shrink(Math.max(0, bytes - LIMITS.reserveReliefBytes));
    return true;
  }

  /** Runs a task that needs room, again after each bit that is given back for it. */
  async lent<T>(task: () => Promise<T>, onRelief: () => void): Promise<T> {
    for (;;) {
      try {
        return await task();
      } catch (error) {
        if (!isFull(error) || !(await this.relieve())) throw error;
        onRelief();
      }
    }
  }
}
