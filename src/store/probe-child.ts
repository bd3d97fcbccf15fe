/**
 * A process of its own that may die: node probe-child.ts read|repair FOLDER
 *
 * `read` opens the database and reads all of it, as a scan, by seeking into every hole of the
 * commit numbers, and backwards as opening a log does; `repair` rebuilds it before. Ends with 0
 * unless LevelDB ends it; damage that is told is no death.
 */
import { entryKey, parseKey } from './commit-key.ts';
import type { Database } from './database.ts';
import { LIMITS } from '../limits.ts';
import { bytesOf } from './files.ts';
import { compactLevel, openLevel, repairLevel } from './level-database.ts';

/** A seek visits other places of a block than a scan does. */
const SEEKS = 1024;

const [, , mode, folder = ''] = process.argv;
process.once('disconnect', () => process.kill(process.pid, 'SIGKILL'));
process.channel?.unref(); // Listening must not keep it alive.

process.send?.('begun', undefined, {}, () => {}); // Nobody may hear it any more.
try {
  if (mode === 'repair') await repairLevel(folder);
  const database = await openLevel(folder, false);
  const holes = await scan(database);
  for (const commit of holes) await seek(database, commit);
  await scanBack(database);
  await database.close();
  // Keys that lost their order end a process that only reads them later, in the background. Tables of
  // the log are moved and never merged; those of the state database are, and they are small.
  if ((await bytesOf(folder)) <= LIMITS.probeCompactBytes) await compactLevel(folder);
} catch {
  // LevelDB says what is wrong: the caller will hear the same.
}

/** Commits around the holes in the numbers, and some over all of them. */
async function scan(database: Database): Promise<number[]> {
  const holes: number[] = [];
  const entries = database.entries({ oneByOne: true });
  let first: number | undefined;
  let last = 0;
  try {
    for (;;) {
      const batch = await entries.next();
      if (batch.length === 0) break;
      for (const [key] of batch) {
        const commit = parseKey(key)?.commit ?? last;
        first ??= commit;
        if (commit > last + 1) holes.push(last + 1, Math.floor((last + commit) / 2), commit - 1);
        last = commit;
      }
    }
  } catch {
    // LevelDB tells of damage at the end of a scan; the holes count.
  } finally {
    await entries.close();
  }
  const step = Math.max(1, Math.ceil((last - (first ?? 0)) / SEEKS));
  for (let commit = first ?? 0; commit < last; commit += step) holes.push(commit);
  return [...holes, last + 1];
}

/** Each step back looks at keys that no scan and no seek compares. */
async function scanBack(database: Database): Promise<void> {
  const entries = database.entries({ reverse: true, oneByOne: true });
  try {
    while ((await entries.next()).length > 0);
  } catch {
    // Told damage is no death.
  } finally {
    await entries.close();
  }
}

async function seek(database: Database, commit: number): Promise<void> {
  const entries = database.entries({ gte: entryKey(commit, 'commit') });
  try {
    await entries.next();
  } catch {
    // Told damage is no death.
  } finally {
    await entries.close();
  }
}
