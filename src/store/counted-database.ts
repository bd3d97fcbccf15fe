import type { Database, Entries, KeyRange, Write } from './database.ts';
import type { SyncMark } from './sync-mark.ts';

/** The state database: counts how often it asked the disk for durability, and takes the mark along. */
export class CountedDatabase implements Database {
  readonly #inner: Database;
  syncs = 0;
  /** Goes along with every write. */
  mark: SyncMark | undefined;
  /** Writes that have no answer yet. */
  readonly #open = new Set<Promise<void>>();

  constructor(inner: Database) {
    this.#inner = inner;
  }

  async put(key: Uint8Array, value: Uint8Array, sync: boolean): Promise<void> {
    if (sync) await this.write([{ key, value }]);
    else await this.#inner.put(key, value, false);
  }

  /** Resolves when the writes that are under way now have ended, well or not. */
  async answered(): Promise<void> {
    await Promise.allSettled(this.#open);
  }

  async write(writes: readonly Write[]): Promise<void> {
    const beside = this.mark?.beside();
    const all = beside === undefined ? writes : [...writes, ...beside.writes];
    const written = this.#inner.write(all);
    this.#open.add(written);
    try {
      await written;
    } finally {
      this.#open.delete(written);
    }
    this.syncs++;
    beside?.noted();
  }

  async sync(): Promise<void> {
    await this.#inner.sync();
    this.syncs++;
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
}
