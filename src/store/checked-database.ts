import { crc32 } from 'node:zlib';
import type { Logger } from '../telemetry.ts';
import type { Database, Entries, Entry, KeyRange, Write } from './database.ts';

/**
 * Before each value of the state database: a byte that neither msgpack nor UTF-8 text begins with,
 * and a CRC-32 over key and value. LevelDB hands altered values on without a word
 * (docs/leveldb.md), and an altered position would skip records in silence.
 */
const MARK = 0xc1;
const HEADER_BYTES = 5;

function sealed(key: Uint8Array, value: Uint8Array): Uint8Array {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + value.length);
  bytes[0] = MARK;
  bytes.writeUInt32BE(crc32(value, crc32(key)), 1);
  bytes.set(value, HEADER_BYTES);
  return bytes;
}

/** undefined: altered. */
function unsealed(key: Uint8Array, stored: Uint8Array): Uint8Array | undefined {
  if (stored.length < HEADER_BYTES || stored[0] !== MARK) return undefined;
  const value = stored.subarray(HEADER_BYTES);
  const view = new DataView(stored.buffer, stored.byteOffset, stored.byteLength);
  return view.getUint32(1) === crc32(value, crc32(key)) ? value : undefined;
}

/** Whether it is a value of the state database, as it was written. */
export function isSealed(key: Uint8Array, stored: Uint8Array): boolean {
  return unsealed(key, stored) !== undefined;
}

/** A database whose values are checked on every read: an altered one counts as missing, and is told. */
export class CheckedDatabase implements Database {
  readonly #inner: Database;
  readonly #logger: Logger;

  constructor(inner: Database, logger: Logger) {
    this.#inner = inner;
    this.#logger = logger;
  }

  put(key: Uint8Array, value: Uint8Array, sync: boolean): Promise<void> {
    return this.#inner.put(key, sealed(key, value), sync);
  }

  write(writes: readonly Write[]): Promise<void> {
    return this.#inner.write(
      writes.map(({ key, value }) => ({
        key,
        value: value === undefined ? undefined : sealed(key, value),
      })),
    );
  }

  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    const stored = await this.#inner.get(key);
    return stored === undefined ? undefined : this.#checked(key, stored);
  }

  entries(range: KeyRange): Entries {
    const entries = this.#inner.entries(range);
    return {
      next: async () => {
        for (;;) {
          const batch = await entries.next();
          const good = batch.flatMap(([key, stored]): Entry[] => {
            const value = this.#checked(key, stored);
            return value === undefined ? [] : [[key, value]];
          });
          if (good.length > 0 || batch.length === 0) return good;
        }
      },
      close: () => entries.close(),
    };
  }

  sync(): Promise<void> {
    return this.#inner.sync();
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  #checked(key: Uint8Array, stored: Uint8Array): Uint8Array | undefined {
    const value = unsealed(key, stored);
    if (value === undefined) {
      const name = Buffer.from(key).toString('utf8');
      this.#logger.error({ key: name }, 'a value in the state database is altered and not used');
    }
    return value;
  }
}

/** Keys whose values are altered. Rejects as LevelDB does when it finds damage itself. */
export async function alteredKeys(inner: Database): Promise<Uint8Array[]> {
  const altered: Uint8Array[] = [];
  for await (const batch of everything(inner)) {
    for (const [key, stored] of batch) {
      if (unsealed(key, stored) === undefined) altered.push(Buffer.from(key));
    }
  }
  return altered;
}

/** What an earlier gatelog wrote without checks. */
export async function sealAll(inner: Database): Promise<void> {
  const writes: Write[] = [];
  for await (const batch of everything(inner)) {
    for (const [key, value] of batch) {
      if (unsealed(key, value) !== undefined) continue;
      writes.push({ key: Buffer.from(key), value: sealed(key, value) });
    }
  }
  if (writes.length > 0) await inner.write(writes);
}

async function* everything(inner: Database): AsyncGenerator<readonly Entry[]> {
  const entries = inner.entries({});
  try {
    for (;;) {
      const batch = await entries.next();
      if (batch.length === 0) return;
      yield batch;
    }
  } finally {
    await entries.close();
  }
}
