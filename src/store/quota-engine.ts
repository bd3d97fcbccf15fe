import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Database, Engine } from './database.ts';
import { levelEngine } from './level-engine.ts';

/**
 * LevelDB that behaves as on a disk of `quota()` bytes: less and less room, then writes that fail.
 * For rehearsals where no small disk can be mounted.
 */
export function quotaEngine(folder: string, quota: () => number): Engine {
  const engine = levelEngine(folder, false);
  const fill = { usedBytes: 0 };
  const measure = async (): Promise<void> => {
    fill.usedBytes = await bytesBelow(folder);
  };
  const refuseIfFull = (bytes: number): void => {
    fill.usedBytes += bytes;
    if (fill.usedBytes <= quota()) return;
    fill.usedBytes -= bytes;
    throw Object.assign(new Error('no space left (the quota of a rehearsal)'), { code: 'ENOSPC' });
  };
  return behaving(engine, {
    openState: async () => limited(await engine.openState(), refuseIfFull),
    openSegment: async (first, how) => {
      if (how === 'create') refuseIfFull(0);
      return limited(await engine.openSegment(first, how), refuseIfFull);
    },
    makeReplacement: async (first, note, write) =>
      (await engine.makeReplacement?.(first, note, (target) =>
        write(limited(target, refuseIfFull)),
      )) ?? false,
    room: async () => {
      await measure();
      return { freeBytes: Math.max(0, quota() - fill.usedBytes), totalBytes: quota() };
    },
  });
}

function limited(database: Database, refuseIfFull: (bytes: number) => void): Database {
  return behaving(database, {
    put: async (key, value, sync) => {
      refuseIfFull(key.length + value.length);
      await database.put(key, value, sync);
    },
    write: async (writes) => {
      for (const { key, value } of writes) refuseIfFull(key.length + (value?.length ?? 0));
      await database.write(writes);
    },
  });
}

/** `target` with some of its methods replaced; the others are its own. */
function behaving<T extends object>(target: T, replaced: Partial<T>): T {
  return new Proxy(target, {
    get: (_, name) => {
      const found: unknown = Reflect.get(name in replaced ? replaced : target, name);
      return typeof found === 'function' ? found.bind(target) : found;
    },
  });
}

async function bytesBelow(folder: string): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(folder, { recursive: true })) {
    // A file that has just gone takes no room.
    const info = await stat(path.join(folder, name)).catch(() => undefined);
    if (info?.isFile() === true) bytes += info.size;
  }
  return bytes;
}
