import { lstat, open, readdir, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { systemCodeOf } from '../errors.ts';
import { makeFolders } from '../make-folders.ts';
import { troubleOf } from './damage.ts';
import type { DiskRoom } from './database.ts';

/** A file that is gone needs no syncing. */
export async function syncPath(path: string): Promise<void> {
  try {
    const handle = await open(path, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error;
  }
}

/** With those above it, durably; by default for nobody else, as payloads are in it. */
export function makeFolder(path: string, mode: number = 0o700): Promise<void> {
  return makeFolders(path, (folder) => syncPath(dirname(folder)), mode);
}

/** What is at the path; links are followed. */
export async function kindOf(path: string): Promise<'folder' | 'file' | 'other' | 'nothing'> {
  try {
    const found = await stat(path);
    if (found.isDirectory()) return 'folder';
    return found.isFile() ? 'file' : 'other';
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error;
    // A link that leads nowhere is something, and nothing that can be used.
    return (await exists(path)) ? 'other' : 'nothing';
  }
}

async function exists(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) !== undefined;
}

/** Bytes of a file, or of the files in a folder and below; 0 when it is gone. */
export async function bytesOf(path: string): Promise<number> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return 0;
  if (!found.isDirectory()) return found.size;
  let bytes = 0;
  try {
    for (const name of await readdir(path)) bytes += await bytesOf(join(path, name));
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error;
  }
  return bytes;
}

export async function roomOf(folder: string): Promise<DiskRoom> {
  const { bavail, blocks, bsize } = await statfs(folder);
  return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
}

/** Written to ask the disk whether it takes writes. */
export const ANSWER_FILE = 'answers';

/** Whether a few bytes can be written to the folder and synced, or only space is missing for it. */
export async function takesWrites(folder: string): Promise<boolean> {
  const path = join(folder, ANSWER_FILE);
  try {
    await writeFile(path, 'the disk takes writes\n', { flush: true });
    await rm(path);
    return true;
  } catch (error) {
    return troubleOf(error) === 'full';
  }
}
