import type { Database, Engine } from '../../src/store/database.ts';
import { levelEngine } from '../../src/store/level-engine.ts';

/** The planted bug: LevelDB with every sync left out. The harness MUST catch it. */
export function syncOffEngine(folder: string): Engine {
  const engine = levelEngine(folder, false);
  return {
    folder,
    openState: async () => unsynced(await engine.openState()),
    segments: () => engine.segments(),
    openSegment: async (first, how) => unsynced(await engine.openSegment(first, how)),
    removeSegment: (first) => engine.removeSegment(first),
    segmentBytes: (first) => engine.segmentBytes(first),
  };
}

function unsynced(database: Database): Database {
  return {
    put: (key, value) => database.put(key, value, false),
    write: async (writes) => {
      for (const { key, value } of writes) {
        if (value !== undefined) await database.put(key, value, false);
      }
    },
    get: (key) => database.get(key),
    entries: (range) => database.entries(range),
    sync: async () => {},
    close: () => database.close(),
  };
}
