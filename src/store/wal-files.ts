import { copyFile, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { LIMITS } from '../limits.ts';
import { kindOf, syncPath } from './files.ts';
import { oldestLogOf } from './manifest.ts';
import { readWal, type WalContents } from './wal.ts';

export interface Wal extends WalContents {
  readonly path: string;
  readonly bytes: number;
}

/** Of what is being kept of a file, and of what is being written in its place. */
const COPY = '.altered';
const ANEW = '.new';

/** Of those that LevelDB takes in, ascending; none when they are larger than any that it wrote. */
export async function readWals(folder: string): Promise<Wal[]> {
  if ((await kindOf(folder)) !== 'folder') return [];
  const oldest = await oldestLogOf(folder);
  const names = (await readdir(folder))
    .filter((name) => /^\d+\.log$/u.test(name) && Number.parseInt(name, 10) >= oldest)
    .toSorted((left, right) => Number.parseInt(left, 10) - Number.parseInt(right, 10));
  const wals: Wal[] = [];
  let room: number = LIMITS.walBytes;
  for (const path of names.map((name) => join(folder, name))) {
    const found = await stat(path);
    room -= found.size;
    if (!found.isFile() || room < 0) return [];
    const file = await readFile(path);
    wals.push({ path, bytes: file.length, ...readWal(file) });
  }
  return wals;
}

/** A copy beside the file, durable when resolved; its path. Of one that is gone it is empty. */
export async function copyOf(path: string): Promise<string> {
  const copy = path + COPY;
  try {
    if ((await kindOf(path)) === 'nothing') await writeFile(copy, '');
    else await copyFile(path, copy);
    await syncPath(copy);
    await syncPath(dirname(copy));
  } catch (error) {
    await rm(copy, { force: true });
    throw error;
  }
  return copy;
}

/** Copies that a process which ended meanwhile left there. What else it left is removed. */
export async function copiesIn(folder: string): Promise<string[]> {
  if ((await kindOf(folder)) !== 'folder') return [];
  const names = await readdir(folder);
  for (const name of names.filter((one) => one.endsWith(`.log${ANEW}`))) {
    await rm(join(folder, name), { force: true });
  }
  return names.filter((name) => name.endsWith(`.log${COPY}`)).map((name) => join(folder, name));
}

/** In one step: whoever ends meanwhile leaves the file as it was, or as it shall be. */
export async function replace(path: string, bytes: Buffer): Promise<void> {
  const anew = path + ANEW;
  await writeFile(anew, bytes, { flush: true });
  await rename(anew, path);
  await syncPath(dirname(path));
}
