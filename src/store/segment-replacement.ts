import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Database } from './database.ts';
import { kindOf, syncPath } from './files.ts';
import { openLevel } from './level-database.ts';
import { clearAway, leaveList, REMOVED } from './segment-folder.ts';

/** Ending of the name of the folder that is to take a segment's place. */
const REPLACEMENT = '.replacement';

/** In the folder of a thinned segment: for what it was. LevelDB leaves names alone that are not its own. */
const NOTE = 'thinned';

/** False: what it wrote is not wanted. */
export type Fill = (target: Database) => Promise<boolean>;

/** Resolves with what `fill` said: false, and there is none. */
export async function makeReplacement(path: string, note: string, fill: Fill): Promise<boolean> {
  const folder = path + REPLACEMENT;
  await clearAway(folder);
  const target = await openLevel(folder, true);
  let filled: boolean;
  try {
    filled = await fill(target);
  } finally {
    await target.close();
  }
  if (!filled) {
    await clearAway(folder);
    return false;
  }
  // Opening makes a table of what stands in the write-ahead file, and syncs it.
  await (await openLevel(folder, false)).close();
  await writeFile(join(folder, NOTE), note, { flush: true });
  await syncPath(folder);
  await syncPath(dirname(path));
  return true;
}

/** The note of the replacement that stands there; undefined: none does, or it can't be read. */
export async function noteOf(path: string): Promise<string | undefined> {
  return readFile(join(path, NOTE), 'utf8').catch(() => undefined);
}

/** Both MUST be closed. Where it fails the segment is as it was. */
export async function takeReplacement(path: string): Promise<void> {
  try {
    await leaveList(path);
    // From here on a start goes on with it.
    await rename(path + REPLACEMENT, path);
  } catch (error) {
    if ((await kindOf(path)) === 'nothing') await rename(path + REMOVED, path);
    throw error;
  }
  await syncPath(dirname(path));
  await rm(path + REMOVED, { recursive: true, force: true });
}

/** Where the segment could not be put back it is all there is, and the next start takes it. */
export async function dropReplacement(path: string): Promise<void> {
  if ((await kindOf(path)) === 'folder') await clearAway(path + REPLACEMENT);
}

/** After a kill, in the folder of all segments: a replacement was whole before its segment went. */
export async function endReplacing(list: string): Promise<void> {
  const names = new Set(await readdir(list));
  for (const name of names) {
    if (!name.endsWith(REPLACEMENT)) continue;
    const own = name.slice(0, -REPLACEMENT.length);
    if (names.has(own)) await clearAway(join(list, name));
    else await rename(join(list, name), join(list, own));
    await syncPath(list);
  }
}
