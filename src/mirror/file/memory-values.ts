import type { KeyValue } from '../../store/log.ts';

/** For who starts afresh each time: an import, whose truth is what the centre says. */
export class MemoryValues implements KeyValue {
  readonly #values = new Map<string, Uint8Array>();

  get(key: string): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.#values.get(key));
  }

  put(key: string, value: Uint8Array): Promise<void> {
    this.#values.set(key, value);
    return Promise.resolve();
  }

  delete(key: string): Promise<void> {
    this.#values.delete(key);
    return Promise.resolve();
  }
}
