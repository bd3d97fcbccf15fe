import type { Database, Engine } from '../../src/store/database.ts';

/** When the process dies: at the `write`-th write of its life, counted from 0. */
export interface Death {
  readonly write: number;
  /** That write reached the disk, or did not. */
  readonly after: boolean;
}

/** An engine whose process dies at a write of the test's choice; who is dead is silent. */
export class MortalEngine {
  readonly #inner: Engine;
  readonly #death: Death;
  writes = 0;
  readonly died: Promise<void>;
  #dead = false;
  #die: () => void = () => {};

  constructor(inner: Engine, death: Death) {
    this.#inner = inner;
    this.#death = death;
    this.died = new Promise((resolve) => {
      this.#die = resolve;
    });
  }

  get dead(): boolean {
    return this.#dead;
  }

  engine(): Engine {
    const { folder } = this.#inner;
    return {
      folder,
      openState: () => this.#through(async () => this.#database(await this.#inner.openState())),
      segments: () => this.#through(() => this.#inner.segments()),
      openSegment: (first, how) =>
        this.#through(async () => this.#database(await this.#inner.openSegment(first, how))),
      removeSegment: (first) => this.#write(() => this.#inner.removeSegment(first)),
      segmentBytes: (first) => this.#through(() => this.#inner.segmentBytes(first)),
    };
  }

  #database(inner: Database): Database {
    return {
      put: (key, value, sync) => {
        // The contract: the bytes are copied before put returns.
        const copies = [Buffer.from(key), Buffer.from(value)] as const;
        return this.#write(() => inner.put(...copies, sync));
      },
      write: (writes) => this.#write(() => inner.write(writes)),
      get: (key) => this.#through(() => inner.get(key)),
      entries: (range) => inner.entries(range),
      sync: () => this.#through(() => inner.sync()),
      close: () => this.#through(() => inner.close()),
    };
  }

  async #write(act: () => Promise<void>): Promise<void> {
    if (this.#dead) return silence();
    const dies = this.writes++ === this.#death.write;
    if (!dies || this.#death.after) await act();
    if (!dies) return;
    this.#dead = true;
    this.#die();
    return silence();
  }

  #through<T>(act: () => Promise<T>): Promise<T> {
    return this.#dead ? silence() : act();
  }
}

function silence<T>(): Promise<T> {
  return new Promise(() => {});
}
