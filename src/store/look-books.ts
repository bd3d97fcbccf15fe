import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../errors.ts';
import { kindOf } from './files.ts';
import { hasSoundList, readFiles } from './manifest.ts';
import { TableFile } from './table-file.ts';

/**
 * What stands in the way of opening a database as it is, a sentence each; empty when nothing was
 * found. Only its books are read, and those of its tables: nothing is opened by LevelDB.
 */
export async function lookAtBooks(folder: string): Promise<string[]> {
  const found: string[] = [];
  const current = await readFile(join(folder, 'CURRENT'), 'latin1').catch(() => undefined);
  const files = (await hasSoundList(folder)) ? await readFiles(folder) : undefined;
  if (current === undefined) found.push('CURRENT is missing or can not be read');
  else if (!/^MANIFEST-\d+\n$/u.test(current)) found.push(`CURRENT is ${kindOfText(current)}`);
  else if (files === undefined) found.push(`${current.trim()} is missing or damaged`);
  const names = await readdir(folder);
  const lock = join(folder, 'LOCK');
  if (names.includes('LOCK') && (await kindOf(lock)) !== 'file') found.push('LOCK is no file');
  for (const [number, size] of files?.tables ?? []) {
    const name = names.find((candidate) => isTable(candidate) && numberOf(candidate) === number);
    const trouble = name === undefined ? 'is missing' : await sizeTrouble(join(folder, name), size);
    if (trouble !== undefined) found.push(`the table ${name ?? nameOf(number)} ${trouble}`);
    else if (name !== undefined) found.push(...(await tableTroubles(folder, name)));
  }
  return found;
}

/** Whether there is anything in it, or should be: a kill leaves folders that were only just made. */
export async function holdsData(folder: string): Promise<boolean> {
  if (((await readFiles(folder))?.tables.size ?? 0) > 0) return true;
  for (const name of await readdir(folder)) {
    const isData = isTable(name) || name.endsWith('.log');
    if (isData && (await stat(join(folder, name))).size > 0) return true;
  }
  return false;
}

async function tableTroubles(folder: string, name: string): Promise<string[]> {
  try {
    const table = await TableFile.open(join(folder, name));
    try {
      const books = await table.books();
      if (books === undefined) return [`the index of the table ${name} is damaged`];
      return books.altered.length === 0 ? [] : [`the filter of the table ${name} is damaged`];
    } finally {
      await table.close();
    }
  } catch (error) {
    return [`the table ${name} can't be read: ${messageOf(error)}`];
  }
}

async function sizeTrouble(path: string, wanted: number): Promise<string | undefined> {
  const found = await stat(path);
  if (!found.isFile()) return 'is no file';
  return found.size === wanted ? undefined : `has ${found.size} bytes, and should have ${wanted}`;
}

function kindOfText(text: string): string {
  if (text === '') return 'empty';
  return /^\0+$/u.test(text) ? 'full of NULs' : 'none that LevelDB wrote';
}

function isTable(name: string): boolean {
  return /^\d+\.(?:ldb|sst)$/u.test(name);
}

function numberOf(name: string): number {
  return Number.parseInt(name, 10);
}

function nameOf(number: number): string {
  return `${String(number).padStart(6, '0')}.ldb`;
}
