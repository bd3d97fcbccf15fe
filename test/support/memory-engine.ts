import { MemoryLevel } from 'memory-level';
import type {
  Database,
  Engine,
  Entries,
  Entry,
  KeyRange,
  Write,
} from '../../src/store/database.ts';
import { GatelogError } from '../../src/errors.ts';

type Bytes = MemoryLevel<Uint8Array, Uint8Array>;

/** What stays when a store is closed: the "disk" of the memory engine. */
export class MemoryDisk {
  readonly databases: Map<string, Bytes> = new Map();
  locked = false;
  freeBytes = 1e12;
}

/** The engine's door over databases in memory, which outlive closing but not the test. */
export function memoryEngine(disk: MemoryDisk): Engine {
  const open = (name: string): Bytes => {
    let level = disk.databases.get(name);
    if (level === undefined) {
      level = new MemoryLevel<Uint8Array, Uint8Array>({
        keyEncoding: 'buffer',
        valueEncoding: 'buffer',
        storeEncoding: 'buffer',
      });
      disk.databases.set(name, level);
    }
    return level;
  };
  return {
    folder: 'memory',
    openState: async () => {
      if (disk.locked) throw new GatelogError('STORE_LOCKED', 'the memory disk is in use');
      disk.locked = true;
      return new MemoryDatabase(open('state'), () => {
        disk.locked = false;
      });
    },
    segments: async () =>
      [...disk.databases.keys()]
        .filter((name) => /^\d+$/u.test(name))
        .map(Number)
        .toSorted((left, right) => left - right),
    openSegment: async (first) => new MemoryDatabase(open(String(first)), () => {}),
    removeSegment: async (first) => {
      disk.databases.delete(String(first));
    },
    makeReplacement: (first, _, fill) => {
      const name = `${first}.replacement`;
      disk.databases.delete(name);
      return fill(new MemoryDatabase(open(name), () => {}));
    },
    takeReplacement: async (first) => {
      disk.databases.set(String(first), open(`${first}.replacement`));
      disk.databases.delete(`${first}.replacement`);
    },
    dropReplacement: async (first) => {
      disk.databases.delete(`${first}.replacement`);
    },
    room: async () => ({ freeBytes: disk.freeBytes, totalBytes: 1e12 }),
    segmentBytes: async (first) => {
      let bytes = 0;
      const level = disk.databases.get(String(first));
      if (level === undefined) return 0;
      for await (const [key, value] of level.iterator()) bytes += key.length + value.length;
      return bytes;
    },
  };
}

class MemoryDatabase implements Database {
  readonly #level: Bytes;
  readonly #onClose: () => void;

  constructor(level: Bytes, onClose: () => void) {
    this.#level = level;
    this.#onClose = onClose;
  }

  put(key: Uint8Array, value: Uint8Array): Promise<void> {
    // The contract: the bytes are copied before put returns.
    return this.#level.put(Buffer.from(key), Buffer.from(value));
  }

  write(writes: readonly Write[]): Promise<void> {
    return this.#level.batch<Uint8Array, Uint8Array>(
      writes.map(({ key, value }) =>
        value === undefined
          ? ({ type: 'del', key: Buffer.from(key) } as const)
          : ({ type: 'put', key: Buffer.from(key), value: Buffer.from(value) } as const),
      ),
      {},
    );
  }

  get(key: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#level.get(key);
  }

  entries(range: KeyRange): Entries {
    const iterator = this.#level.iterator(range);
    return {
      next: (): Promise<readonly Entry[]> => iterator.nextv(64),
      close: () => iterator.close(),
    };
  }

  async sync(): Promise<void> {}

  async close(): Promise<void> {
    this.#onClose();
  }
}
