import type { Database, Entries, KeyRange, Write } from './database.ts';

/** A database that counts how often it asked the disk to make something durable. */
export class CountedDatabase implements Database {
  readonly #inner: Database;
  syncs = 0;

  constructor(inner: Database) {
    this.#inner = inner;
  }

  async put(key: Uint8Array, value: Uint8Array, sync: boolean): Promise<void> {
    await this.#inner.put(key, value, sync);
    if (sync) this.syncs++;
  }

  async write(writes: readonly Write[]): Promise<void> {
    await this.#inner.write(writes);
    this.syncs++;
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
