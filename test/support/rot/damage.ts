import { copyFile, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Random } from '../../../src/random.ts';
import { filesOf } from './build.ts';

const HOWS = [
  'flip a bit',
  'flip eight bits',
  'zero 512 bytes',
  'zero 4096 bytes',
  'truncate',
  'append garbage',
  'make empty',
  'fill with NULs',
  'remove',
  'exchange with another of its folder',
  'put in one of another segment',
  'remove the folder',
] as const;
export type How = (typeof HOWS)[number];

export interface Damage {
  readonly file: string;
  readonly how: How;
  /** What was hit, in bytes of the file; undefined: all of it. */
  readonly from: number | undefined;
  readonly to: number | undefined;
  readonly size: number;
}

type Kind = 'table' | 'wal' | 'MANIFEST' | 'CURRENT' | 'LOCK';

export function kindOf(file: string): Kind {
  const name = basename(file);
  if (name.endsWith('.ldb') || name.endsWith('.sst')) return 'table';
  if (name.endsWith('.log')) return 'wal';
  if (name.startsWith('MANIFEST')) return 'MANIFEST';
  return name === 'CURRENT' ? 'CURRENT' : 'LOCK';
}

/** Tables and write-ahead files more often: there are the records. */
const WEIGHTS: Readonly<Record<Kind, number>> = {
  table: 5,
  wal: 5,
  MANIFEST: 3,
  CURRENT: 2,
  LOCK: 1,
};

/** Of all damages, those to the newest write-ahead file of the log. */
const NEWEST_SHARE = 0.2;

/** Damages one file of a data folder by chance. */
export async function damageByChance(folder: string, random: Random): Promise<Damage> {
  const files = await filesOf(folder);
  const newest = await newestWal(folder, files);
  const weighted = files.flatMap((file) =>
    Array.from({ length: WEIGHTS[kindOf(file)] }, () => file),
  );
  for (;;) {
    const file = random.next() < NEWEST_SHARE ? newest : pick(weighted, random);
    const how = pick(HOWS, random);
    const done = await damage(folder, file, how, files, random);
    if (done !== undefined) return done;
  }
}

const PAGE_HOWS = ['flip a bit', 'flip eight bits', 'zero 512 bytes', 'zero 4096 bytes'] as const;
/** Where a table's index, its filter and its footer stand. */
const TABLE_END_BYTES = 2048;

/** A page or some bits of a table: every other time of its end, which says where everything is. */
export async function damageOfTable(folder: string, random: Random): Promise<Damage> {
  const tables = (await filesOf(folder)).filter((name) => kindOf(name) === 'table');
  const file = pick(tables, random);
  const { size } = await stat(join(folder, file));
  const how = pick(PAGE_HOWS, random);
  const atEnd = random.next() < 0.5;
  const part = atEnd ? 1 - (random.next() * Math.min(size, TABLE_END_BYTES)) / size : random.next();
  return change(folder, file, how, size, { ...random, next: once(part, random) });
}

/** Its first number is that one. */
function once(first: number, random: Random): () => number {
  let isFirst = true;
  return () => {
    if (!isFirst) return random.next();
    isFirst = false;
    return first;
  };
}

/** The one that holds the end of the log; a segment made ahead of need has an empty one. */
export async function newestWal(folder: string, files: readonly string[]): Promise<string> {
  for (const file of files.toReversed()) {
    if (!file.startsWith('log/') || kindOf(file) !== 'wal') continue;
    if ((await stat(join(folder, file))).size > 0) return file;
  }
  throw new Error(`${folder} holds no write-ahead file`);
}

/** undefined when it can't be done to this file. */
async function damage(
  folder: string,
  file: string,
  how: How,
  files: readonly string[],
  random: Random,
): Promise<Damage | undefined> {
  const path = join(folder, file);
  const { size } = await stat(path);
  const whole = { file, how, from: undefined, to: undefined, size };
  switch (how) {
    case 'flip a bit':
    case 'flip eight bits':
    case 'zero 512 bytes':
    case 'zero 4096 bytes':
      return size === 0 ? undefined : change(folder, file, how, size, random);
    case 'truncate': {
      if (size === 0) return undefined;
      const length = Math.floor(random.next() * size);
      await truncate(path, length);
      return { ...whole, from: length, to: size };
    }
    case 'append garbage': {
      const garbage = Buffer.from(random.hex(1 + Math.floor(random.next() * 5000)), 'hex');
      await writeFile(path, garbage, { flag: 'a' });
      return { ...whole, from: size, to: size };
    }
    case 'make empty':
      await truncate(path, 0);
      return whole;
    case 'fill with NULs':
      await writeFile(path, Buffer.alloc(size));
      return whole;
    case 'remove':
      await rm(path);
      return whole;
    case 'remove the folder':
      if (random.next() < 0.7) return undefined; // Once in a while is enough.
      await rm(join(folder, folderOf(file)), { recursive: true });
      return whole;
    case 'exchange with another of its folder':
    case 'put in one of another segment':
      return exchange(folder, file, how, files, random);
  }
}

async function change(
  folder: string,
  file: string,
  how: How,
  size: number,
  random: Random,
): Promise<Damage> {
  const path = join(folder, file);
  const bytes = await readFile(path);
  const at = Math.floor(random.next() * size);
  if (how === 'flip a bit' || how === 'flip eight bits') {
    const bits = how === 'flip a bit' ? 1 : 8;
    let last = at;
    for (let bit = 0; bit < bits; bit++) {
      const place = Math.min(size - 1, at + bit * 3);
      bytes[place] = (bytes[place] ?? 0) ^ (1 << Math.floor(random.next() * 8));
      last = place;
    }
    await writeFile(path, bytes);
    return { file, how, from: at, to: last + 1, size };
  }
  const page = how === 'zero 512 bytes' ? 512 : 4096;
  const from = at - (at % page);
  const to = Math.min(size, from + page);
  await writeFile(path, bytes.fill(0, from, to));
  return { file, how, from, to, size };
}

/** Another file of the same kind takes its place. */
async function exchange(
  folder: string,
  file: string,
  how: How,
  files: readonly string[],
  random: Random,
): Promise<Damage | undefined> {
  const within = how === 'exchange with another of its folder';
  const kind = kindOf(file);
  const others = files.filter(
    (other) =>
      other !== file &&
      kindOf(other) === kind &&
      (folderOf(other) === folderOf(file)) === within &&
      (within || other.startsWith('log/') === file.startsWith('log/')),
  );
  if (others.length === 0) return undefined;
  const other = pick(others, random);
  await copyFile(join(folder, other), join(folder, file));
  const { size } = await stat(join(folder, file));
  return { file, how, from: undefined, to: undefined, size };
}

function folderOf(file: string): string {
  return file.slice(0, file.lastIndexOf('/'));
}

function pick<T>(list: readonly T[], random: Random): T {
  const picked = list[Math.floor(random.next() * list.length)];
  if (picked === undefined) throw new Error('nothing to pick from');
  return picked;
}
