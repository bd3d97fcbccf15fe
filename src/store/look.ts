import { cp, readdir, rm, statfs } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { messageOf } from '../errors.ts';
import type { LedgerEntry, LossTotals } from '../loss.ts';
import { silentLogger } from '../telemetry.ts';
import { systemClock } from '../time.ts';
import { troubleOf } from './damage.ts';
import { Catalog } from './catalog.ts';
import { CheckedDatabase, alteredKeys } from './checked-database.ts';
import { ANSWER_FILE, bytesOf, kindOf } from './files.ts';
import { Ledger } from './ledger.ts';
import { openLevel } from './level-database.ts';
import { segmentOf, segmentPath } from './segment-folder.ts';
import { lookError } from './look-error.ts';
import { endScratch, newScratch } from './look-scratch.ts';
import { holdsData, lookAtBooks } from './look-books.ts';
import { mendTables } from './mend-tables.ts';
import { listAside, type AsideItem } from './quarantine-folder.ts';
import { FORMAT_FILE } from './format-file.ts';
import { MARKERS_FILE, readDeaths, type Deaths } from './start-markers.ts';
import { readIdentity, type StoredIdentity } from './state.ts';
import { saveRest } from './wal-rest.ts';

/** A data folder as its files show it: nothing of it is opened, nothing is changed. */
export interface FolderLook {
  readonly segments: readonly { readonly first: number; readonly bytes: number }[];
  /** Names in the folder and in `log/` of what gatelog did not put there. */
  readonly strange: readonly string[];
  readonly stateBytes: number;
  readonly aside: readonly AsideItem[];
  /** By database: processes in a row that ended while it was open. */
  readonly deaths: Deaths;
  readonly disk: { readonly freeBytes: number; readonly totalBytes: number };
}

/** What the state database says; of a copy, so that a stopped folder stays as it is. */
export interface StateLook {
  /** Why it can't be read, in part or at all; undefined: nothing was found. */
  readonly trouble: string | undefined;
  readonly identity: StoredIdentity | undefined;
  readonly cleanlyClosed: boolean;
  /** First commits of segments that are remembered and not there. */
  readonly missing: readonly number[];
  /** What is wrong with the files of databases: the next start repairs what it can. */
  readonly damaged: readonly DamagedBooks[];
  readonly losses: LossTotals | undefined;
  /** What the disk lost. */
  readonly corruption: readonly LedgerEntry[];
}

export interface DamagedBooks {
  /** First commit of the segment. */
  readonly what: number | 'state';
  readonly troubles: readonly string[];
}

/** What we put into the folder, and what it is. */
const OURS = new Map<string, 'folder' | 'file' | 'other'>([
  ['state', 'folder'],
  ['log', 'folder'],
  ['quarantine', 'folder'],
  ['agent.sock', 'other'],
  ['reserve', 'file'],
  [MARKERS_FILE, 'file'],
  [FORMAT_FILE, 'file'],
  [ANSWER_FILE, 'file'], // Of a process that was killed while it asked.
]);
const LOCK = 'LOCK';

/** Throws STORE_FORBIDDEN, and what else keeps it from being looked at. */
export async function lookAtFolder(folder: string): Promise<FolderLook> {
  try {
    return await look(folder);
  } catch (error) {
    throw lookError(folder, error);
  }
}

async function look(folder: string): Promise<FolderLook> {
  const names = await readdir(folder);
  const inLog: string[] = await readdir(join(folder, 'log')).catch(() => []);
  const segments = [];
  const strange = names.filter((name) => !OURS.has(name));
  for (const [name, kind] of OURS) {
    // Of the state database it is told why it can't be read.
    if (name === 'state' || !names.includes(name)) continue;
    if ((await kindOf(join(folder, name))) !== kind) strange.push(name);
  }
  for (const name of inLog.toSorted()) {
    const path = join(folder, 'log', name);
    const first = segmentOf(name);
    const isSegment = first !== undefined && (await kindOf(path)) === 'folder';
    if (isSegment) segments.push({ first, bytes: await bytesOf(path) });
    else strange.push(join('log', name));
  }
  const { bavail, blocks, bsize } = await statfs(folder);
  return {
    segments,
    strange,
    stateBytes: await bytesOf(join(folder, 'state')),
    aside: await listAside(folder),
    deaths: readDeaths(join(folder, MARKERS_FILE)),
    disk: { freeBytes: bavail * bsize, totalBytes: blocks * bsize },
  };
}

/** Only for a folder whose agent does not run. Never rejects for what it finds. */
export async function lookAtState(folder: string, { segments }: FolderLook): Promise<StateLook> {
  const state = join(folder, 'state');
  const copy = await newScratch();
  const firsts = segments.map(({ first }) => first);
  try {
    const isNoLock = (path: string): boolean => basename(path) !== LOCK;
    await cp(state, copy, { recursive: true, filter: isNoLock });
    const damaged = await damagedOf(state, 'state');
    await mendTables({ folder: copy, extent: 'all', logger: silentLogger, take: removed });
    const { known, ...found } = await read(copy, folder, new Set(firsts));
    return { ...found, damaged: [...damaged, ...(await damagedSegments(folder, firsts, known))] };
  } catch (error) {
    if (troubleOf(error) === 'forbidden') throw lookError(folder, error);
    const trouble = await whyUnreadable(state, error);
    return {
      trouble: trouble.replaceAll(copy, state),
      identity: undefined,
      cleanlyClosed: false,
      missing: [],
      damaged: await damagedSegments(folder, firsts, new Set()),
      losses: undefined,
      corruption: [],
    };
  } finally {
    await endScratch(copy);
  }
}

async function whyUnreadable(state: string, error: unknown): Promise<string> {
  const kind = await kindOf(state);
  if (kind === 'nothing') return 'it is missing, and with it what mirrors have sent';
  if (kind !== 'folder') return `${state} is no folder`;
  const troubles = await lookAtBooks(state).catch(() => []);
  return troubles.length === 0 ? messageOf(error) : troubles.join(', ');
}

const removed = (file: string): Promise<void> => rm(file);

async function damagedOf(folder: string, what: number | 'state'): Promise<DamagedBooks[]> {
  const troubles = await lookAtBooks(folder);
  return troubles.length === 0 ? [] : [{ what, troubles }];
}

async function damagedSegments(
  folder: string,
  firsts: readonly number[],
  known: ReadonlySet<number>,
): Promise<DamagedBooks[]> {
  const found: DamagedBooks[] = [];
  for (const first of firsts) {
    const path = segmentPath(folder, first);
    // One that was only just made, and of which nobody knows, is removed by the next start.
    const counts = known.has(first) || (await holdsData(path));
    if (counts) found.push(...(await damagedOf(path, first)));
  }
  return found;
}

type KnownState = Omit<StateLook, 'damaged'> & { readonly known: ReadonlySet<number> };

async function read(copy: string, folder: string, there: ReadonlySet<number>): Promise<KnownState> {
  const rest = await saveRest(copy, () => {});
  const raw = await openLevel(copy, false);
  try {
    for (const batch of rest?.batches ?? []) await raw.write(batch);
    const altered = await alteredKeys(raw);
    const database = new CheckedDatabase(raw, silentLogger);
    const identity = await readIdentity(database, folder);
    const catalog = await Catalog.load(database);
    const options = { database, clock: systemClock, logger: silentLogger, idleMs: Infinity };
    const ledger = await Ledger.load(options);
    const corruption: LedgerEntry[] = [];
    for await (const entry of ledger.entries()) {
      if (entry.reason === 'corruption') corruption.push(entry);
    }
    const trouble = altered.length === 0 ? rest?.why : `${altered.length} values are altered`;
    return {
      trouble,
      identity,
      cleanlyClosed: catalog.end?.clean === true,
      known: catalog.known,
      missing: [...catalog.known].filter((first) => !there.has(first)),
      losses: ledger.totals(),
      corruption,
    };
  } finally {
    await raw.close();
  }
}
