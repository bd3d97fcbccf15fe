import { readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { systemCodeOf } from '../errors.ts';
import { bytesOf, syncPath } from './files.ts';

const DIGITS = 16;
/** Ending of the name of a segment's folder while it is being removed. */
export const REMOVED = '.removed';
const NAME = /^\d{16}$/u;

/** The folder of the segment that begins with this commit, in a data folder. */
export function segmentPath(folder: string, first: number): string {
  return join(folder, 'log', String(first).padStart(DIGITS, '0'));
}

/** First commit of the segment whose folder has this name; undefined when it is none's. */
export function segmentOf(name: string): number | undefined {
  return NAME.test(name) ? Number(name) : undefined;
}

/**
 * A kill or a power cut came while LevelDB made this folder, and no entry was written. Then CURRENT
 * is missing or names a manifest that never reached the disk. With entries it is damage, and
 * so it is where a segment is known to have been.
 */
export async function isHalfMade(path: string): Promise<boolean> {
  for (const name of await readdir(path)) {
    // Tables are made of entries, so an empty one lost them.
    if (/\.(?:ldb|sst)$/u.test(name)) return false;
    if (name.endsWith('.log') && (await stat(join(path, name))).size > 0) return false;
  }
  return true;
}

/** So that a power cut does not bring it back: an empty folder is evidence of what was before it. */
export async function clearAway(path: string): Promise<void> {
  // A process that was left behind may still write there for a moment.
  await rm(path, { recursive: true, force: true, maxRetries: 10 });
  await syncPath(dirname(path));
}

/** In one step out of the list: half removed it would look like a damaged segment. Durable when resolved. */
export async function leaveList(path: string): Promise<void> {
  // What an earlier removal could not finish stands in the way.
  await rm(path + REMOVED, { recursive: true, force: true });
  try {
    await rename(path, path + REMOVED);
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error;
  }
  await syncPath(dirname(path));
}

export async function removeFolder(path: string): Promise<void> {
  await leaveList(path);
  await rm(path + REMOVED, { recursive: true, force: true });
}

/** Bytes in a data folder besides its segments. */
export async function bytesBeside(folder: string, log: string): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    if (path !== log) bytes += await bytesOf(path);
  }
  // Such as a segment that is being removed, or a file that a person put there.
  for (const name of await readdir(log).catch(() => [])) {
    if (segmentOf(name) === undefined) bytes += await bytesOf(join(log, name));
  }
  return bytes;
}
