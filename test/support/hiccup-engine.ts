import { parseKey } from '../../src/store/commit-key.ts';
import type { Database, Engine, Entries } from '../../src/store/database.ts';

/** What a test makes the disk of an engine do. */
export interface Hiccup {
  /** Commits that can't be read at present. */
  bad: ReadonlySet<number>;
  /** What reading them says. */
  reason: string;
  /** No segment can be opened. */
  gone: boolean;
  /** The state database can be opened, and not read. */
  badState: boolean;
  /** Other writes come through. */
  answers: boolean;
}

export function noHiccup(): Hiccup {
  return {
    bad: new Set(),
    reason: 'Input/output error',
    gone: false,
    badState: false,
    answers: true,
  };
}

function ioError(reason: string): Error {
  return Object.assign(new Error(`IO error: /data/000005.ldb: ${reason}`), {
    code: 'LEVEL_IO_ERROR',
  });
}

/** As LevelDB does over a block that the disk does not read: it goes on behind it, and tells at the end. */
export function hiccupEngine(engine: Engine, hiccup: Hiccup): Engine {
  return {
    ...engine,
    answers: () => Promise.resolve(hiccup.answers),
    openState: async () => {
      const database = await engine.openState();
      const refuse = (): Promise<never> => Promise.reject(ioError(hiccup.reason));
      const entries = { next: refuse, close: () => Promise.resolve() };
      if (!hiccup.badState) return database;
      return { ...closable(database), get: refuse, entries: () => entries };
    },
    openSegment: async (first, how) => {
      if (hiccup.gone) throw ioError(hiccup.reason);
      return hiccupDatabase(await engine.openSegment(first, how), hiccup);
    },
  };
}

function closable(database: Database): Pick<Database, 'put' | 'write' | 'sync' | 'close'> {
  return {
    put: (key, value, sync) => database.put(key, value, sync),
    write: (writes) => database.write(writes),
    sync: () => database.sync(),
    close: () => database.close(),
  };
}

function hiccupDatabase(database: Database, hiccup: Hiccup): Database {
  const isBad = (key: Uint8Array): boolean => hiccup.bad.has(parseKey(key)?.commit ?? -1);
  return {
    ...closable(database),
    get: async (key) => {
      if (isBad(key)) throw ioError(hiccup.reason);
      return database.get(key);
    },
    entries: (range) => scan(database.entries(range), isBad, hiccup),
  };
}

function scan(entries: Entries, isBad: (key: Uint8Array) => boolean, hiccup: Hiccup): Entries {
  let failed = false;
  return {
    next: async () => {
      for (;;) {
        const batch = await entries.next();
        if (batch.length === 0 && failed) throw ioError(hiccup.reason);
        const good = batch.filter(([key]) => !isBad(key));
        if (good.length < batch.length) failed = true;
        if (good.length > 0 || batch.length === 0) return good;
      }
    },
    close: () => entries.close(),
  };
}
