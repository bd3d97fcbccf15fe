import { GatelogError } from '../errors.ts';
import type { Database, Write } from './database.ts';
import type { KeyWrite, OrderedSpace } from './log.ts';
import { packed, unpacked } from './pack.ts';

/** The version of everything in the data folder. A newer one is refused. */
export const FORMAT_VERSION = 2;
/** Before the values of the state database were checked. */
const UNCHECKED_VERSION = 1;

export const IDENTITY_KEY: Buffer = Buffer.from('identity');
const POSITIONS_LOST_KEY = Buffer.from('positions-lost');
const START_PREFIX = 'start/';

export interface StoredIdentity {
  readonly formatVersion: number;
  readonly incarnation: string;
  readonly createdMs: number;
  /** Id of the gateway whose folder this is; undefined: a folder of an earlier version. */
  readonly gateway?: string | undefined;
  /** Nobody chose that id: it is the host's name. */
  readonly gatewayAssumed?: boolean | undefined;
}

/** undefined in a fresh state database. */
export async function readIdentity(
  database: Database,
  folder: string,
): Promise<StoredIdentity | undefined> {
  const value = await database.get(IDENTITY_KEY);
  if (value === undefined) return undefined;
  const identity = unpacked(value) as StoredIdentity;
  if (identity.formatVersion > FORMAT_VERSION) {
    throw new GatelogError(
      'STORE_FORMAT_NEWER',
      `the data folder ${folder} has format ${identity.formatVersion}, and this gatelog knows up ` +
        `to format ${FORMAT_VERSION}: start the newer gatelog that wrote it`,
    );
  }
  return identity;
}

export async function writeIdentity(database: Database, identity: StoredIdentity): Promise<void> {
  await database.write([{ key: IDENTITY_KEY, value: packed(identity) }]);
}

/** The identity stands there as an earlier gatelog wrote it. */
export async function hasUncheckedIdentity(database: Database): Promise<boolean> {
  try {
    const value = await database.get(IDENTITY_KEY);
    const found = value === undefined ? undefined : (unpacked(value) as StoredIdentity);
    return found?.formatVersion === UNCHECKED_VERSION;
  } catch {
    return false;
  }
}

/**
 * The state database was damaged: readers that have no positions may have had some of the streams
 * below this number, which were there then. 0: it never was. Infinity: nobody counted them yet.
 */
export async function readPositionsLost(database: Database): Promise<number> {
  const value = await database.get(POSITIONS_LOST_KEY);
  if (value === undefined) return 0;
  const below = unpacked(value);
  return typeof below === 'number' ? below : Infinity;
}

export async function writePositionsLost(
  database: Database,
  below: number,
  alongside: readonly Write[] = [],
): Promise<void> {
  const value = below === 0 ? undefined : packed(below === Infinity ? true : below);
  const mark = { key: POSITIONS_LOST_KEY, value };
  await database.write([...alongside, mark]);
}

/** Where retention lets a stream begin. */
export interface StreamStart {
  readonly offset: number;
  /** Bytes that were stored of the stream before that offset. */
  readonly storedBefore: number;
}

export async function readStarts(database: Database): Promise<Map<number, StreamStart>> {
  const starts = new Map<number, StreamStart>();
  for (const [name, value] of await entriesUnder(database, START_PREFIX)) {
    starts.set(Number(name), unpacked(value) as StreamStart);
  }
  return starts;
}

/** Everything whose key begins so, without that part of the key. */
async function entriesUnder(
  database: Database,
  prefix: string,
): Promise<(readonly [key: string, value: Uint8Array])[]> {
  const found: (readonly [key: string, value: Uint8Array])[] = [];
  for await (const entry of walkUnder(database, prefix)) found.push(entry);
  return found;
}

async function* walkUnder(
  database: Database,
  prefix: string,
): AsyncGenerator<readonly [key: string, value: Uint8Array]> {
  const gte = Buffer.from(prefix);
  // No UTF-8 text holds that byte, and keys may hold any text.
  const entries = database.entries({ gte, lte: Buffer.concat([gte, Buffer.from([0xff])]) });
  try {
    for (;;) {
      const batch = await entries.next();
      if (batch.length === 0) return;
      for (const [key, value] of batch) {
        yield [Buffer.from(key.subarray(gte.length)).toString('utf8'), value];
      }
    }
  } finally {
    await entries.close();
  }
}

/** What makes them durable. */
export function startWrites(starts: ReadonlyMap<number, StreamStart>): Write[] {
  return [...starts].map(([stream, start]) => ({ key: startKey(stream), value: packed(start) }));
}

/** When the log is gone: what was said of its streams holds no longer. */
export async function forgetStarts(database: Database, streams: Iterable<number>): Promise<void> {
  const writes = [...streams].map((stream) => ({ key: startKey(stream), value: undefined }));
  if (writes.length > 0) await database.write(writes);
}

function startKey(stream: number): Buffer {
  return Buffer.from(START_PREFIX + String(stream));
}

export class StateSpace implements OrderedSpace {
  readonly #database: Database;
  readonly #prefix: string;

  constructor(database: Database, space: string) {
    this.#database = database;
    this.#prefix = `space/${encodeURIComponent(space)}/`;
  }

  get(key: string): Promise<Uint8Array | undefined> {
    return this.#database.get(this.#key(key));
  }

  put(key: string, value: Uint8Array): Promise<void> {
    return this.#database.write([{ key: this.#key(key), value }]);
  }

  delete(key: string): Promise<void> {
    return this.#database.write([{ key: this.#key(key), value: undefined }]);
  }

  entries(): Promise<readonly (readonly [key: string, value: Uint8Array])[]> {
    return entriesUnder(this.#database, this.#prefix);
  }

  async deleteAll(keys: readonly string[]): Promise<void> {
    if (keys.length === 0) return;
    await this.#database.write(keys.map((key) => ({ key: this.#key(key), value: undefined })));
  }

  async write(writes: readonly KeyWrite[]): Promise<void> {
    if (writes.length === 0) return;
    await this.#database.write(writes.map(({ key, value }) => ({ key: this.#key(key), value })));
  }

  async *scan(prefix: string): AsyncGenerator<readonly [key: string, value: Uint8Array]> {
    for await (const [rest, value] of walkUnder(this.#database, this.#prefix + prefix)) {
      yield [prefix + rest, value];
    }
  }

  #key(key: string): Buffer {
    return Buffer.from(this.#prefix + key);
  }
}
