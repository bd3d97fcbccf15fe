import type { Database, Engine } from '../../src/store/database.ts';

/** Faults that a test turns on and off while the store runs. */
export interface Faults {
  /** The next so many puts and writes to segments fail. */
  failWrites: number;
  /** Those to segments that were opened again fail. */
  failOld: boolean;
  /** What they fail with. */
  reason: string;
  /** They fail, and what they wrote is there nevertheless. */
  writesArrive: boolean;
  /** Opening a segment fails. */
  failOpening: boolean;
  /** Writes to the state database fail. */
  failState: boolean;
  /** The next so many syncs of segments fail. */
  failSyncs: number;
  /** Holds every put and write until it is called. */
  hold: Promise<void> | undefined;
  /** Holds every write of the state database, and every opening of a segment. */
  holdState: Promise<void> | undefined;
  holdOpening: Promise<void> | undefined;
  /** Holds every read of a key of a segment. */
  holdReads: Promise<void> | undefined;
  /** What was asked of segments so far. */
  readonly counts: { puts: number; synced: number; syncs: number; entries: number };
}

export function noFaults(): Faults {
  return {
    failWrites: 0,
    failOld: false,
    reason: 'input/output error',
    writesArrive: false,
    failOpening: false,
    failState: false,
    failSyncs: 0,
    hold: undefined,
    holdState: undefined,
    holdOpening: undefined,
    holdReads: undefined,
    counts: { puts: 0, synced: 0, syncs: 0, entries: 0 },
  };
}

/** Another engine with faults. */
export function faultyEngine(engine: Engine, faults: Faults): Engine {
  return {
    folder: engine.folder,
    openState: async () => {
      const database = await engine.openState();
      return {
        put: (key, value, sync) => database.put(key, value, sync),
        write: async (writes) => {
          if (faults.failState) throw new Error(`injected: ${faults.reason}`);
          await faults.holdState;
          await database.write(writes);
        },
        get: (key) => database.get(key),
        entries: (range) => database.entries(range),
        sync: () => database.sync(),
        close: () => database.close(),
      };
    },
    segments: () => engine.segments(),
    openSegment: async (first, how) => {
      await faults.holdOpening;
      if (faults.failOpening) {
        // As LevelDB does: what it began to make stays behind.
        if (how === 'create') await (await engine.openSegment(first, how)).close();
        throw new Error('injected: opening fails');
      }
      return faultyDatabase(await engine.openSegment(first, how), faults, how === 'existing');
    },
    removeSegment: (first) => engine.removeSegment(first),
    makeReplacement: (first, note, fill) =>
      engine.makeReplacement?.(first, note, fill) ?? Promise.resolve(false),
    takeReplacement: async (first) => engine.takeReplacement?.(first),
    dropReplacement: async (first) => engine.dropReplacement?.(first),
    segmentBytes: (first) => engine.segmentBytes(first),
    room: () => engine.room?.() ?? Promise.resolve({ freeBytes: 1e12, totalBytes: 1e12 }),
  };
}

function faultyDatabase(database: Database, faults: Faults, isOld: boolean): Database {
  const attempt = async (write: () => Promise<void>): Promise<void> => {
    faults.counts.puts++;
    const fails = faults.failWrites > 0 || (isOld && faults.failOld);
    if (faults.failWrites > 0) faults.failWrites--;
    const written = !fails || faults.writesArrive ? write() : Promise.resolve();
    await faults.hold;
    await written;
    if (fails) throw new Error(`injected: ${faults.reason}`);
  };
  return {
    put: (key, value, sync) => {
      if (sync) faults.counts.synced++;
      return attempt(() => database.put(key, value, sync));
    },
    write: (writes) => {
      faults.counts.synced++;
      return attempt(() => database.write(writes));
    },
    get: async (key) => {
      await faults.holdReads;
      return database.get(key);
    },
    entries: (range) => {
      const entries = database.entries(range);
      const next = async (): ReturnType<typeof entries.next> => {
        const batch = await entries.next();
        faults.counts.entries += batch.length;
        return batch;
      };
      return { next, close: () => entries.close() };
    },
    sync: async () => {
      faults.counts.syncs++;
      if (faults.failSyncs > 0) {
        faults.failSyncs--;
        throw new Error('injected: input/output error');
      }
      await database.sync();
    },
    close: () => database.close(),
  };
}
