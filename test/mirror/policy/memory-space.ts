import type { KeyValue } from '../../../src/store/log.ts';

/** A space of small values that a test looks into. */
export interface MemorySpace extends KeyValue {
  failing: boolean;
  readonly writes: number;
  /** Bytes of all values. */
  readonly size: number;
  /** What a process would find that starts after a crash now. */
  copy(): MemorySpace;
}

export function memorySpace(initial: ReadonlyMap<string, Uint8Array> = new Map()): MemorySpace {
  const values = new Map(initial);
  let writes = 0;
  return {
    failing: false,
    get writes() {
      return writes;
    },
    get size() {
      return [...values.values()].reduce((sum, value) => sum + value.length, 0);
    },
    get: (key) => Promise.resolve(values.get(key)),
    async put(key, value) {
      await Promise.resolve();
      if (this.failing) throw new Error('no space');
      writes++;
      values.set(key, value);
    },
    delete: (key) => {
      values.delete(key);
      return Promise.resolve();
    },
    copy: () => memorySpace(values),
  };
}
