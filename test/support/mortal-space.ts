import type { SessionSpace } from '../../src/agent/broker-session-journal.ts';
import type { KeyWrite } from '../../src/store/log.ts';

/**
 * A space of the state database as a power cut sees it: each write is whole or not there. It dies
 * at a write of the test's choice, before or after that reached the disk; who is dead is silent.
 */
export class MortalSpace implements SessionSpace {
  readonly disk: Map<string, Uint8Array>;
  writes = 0;
  readonly died: Promise<void>;
  #dead = false;
  #dieAt = Infinity;
  #dieAfter = false;
  #failure: Error | undefined;
  #held: Promise<void> | undefined;
  #release: () => void = () => {};
  #die: () => void = () => {};

  constructor(disk: Map<string, Uint8Array> = new Map()) {
    this.disk = disk;
    this.died = new Promise((resolve) => {
      this.#die = resolve;
    });
  }

  /** At the `write`-th from now, counted from 0; `after` it reached the disk, or before. */
  dieAt(write: number, after: boolean): void {
    this.#dieAt = this.writes + write;
    this.#dieAfter = after;
  }

  kill(): void {
    this.#dead = true;
    this.#die();
  }

  hold(): void {
    this.#held = new Promise((resolve) => {
      this.#release = resolve;
    });
  }

  release(): void {
    this.#held = undefined;
    this.#release();
  }

  fail(): void {
    this.#failure = new Error('injected: input/output error');
  }

  mend(): void {
    this.#failure = undefined;
  }

  get(key: string): Promise<Uint8Array | undefined> {
    return this.#dead ? silence() : Promise.resolve(this.disk.get(key));
  }

  async write(writes: readonly KeyWrite[]): Promise<void> {
    if (this.#dead) return silence();
    const dies = this.writes++ === this.#dieAt;
    await this.#held;
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    if (this.#dead) return silence();
    if (this.#failure !== undefined) throw this.#failure;
    if (!dies || this.#dieAfter) this.#apply(writes);
    if (!dies) return;
    this.kill();
    return silence();
  }

  async *scan(prefix: string): AsyncGenerator<readonly [key: string, value: Uint8Array]> {
    const found = [...this.disk].toSorted(([one], [other]) => (one < other ? -1 : 1));
    for (const entry of found) if (entry[0].startsWith(prefix)) yield entry;
  }

  #apply(writes: readonly KeyWrite[]): void {
    for (const { key, value } of writes) {
      if (value === undefined) this.disk.delete(key);
      else this.disk.set(key, Buffer.from(value));
    }
  }
}

function silence<T>(): Promise<T> {
  return new Promise(() => {});
}
