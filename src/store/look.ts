import { cp, mkdtemp, readdir, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '../errors.ts';
import type { LedgerEntry, LossTotals } from '../loss.ts';
import { silentLogger } from '../telemetry.ts';
import { systemClock } from '../time.ts';
import { Catalog } from './catalog.ts';
import { CheckedDatabase, alteredKeys } from './checked-database.ts';
import { bytesOf, kindOf } from './files.ts';
import { Ledger } from './ledger.ts';
import { openLevel } from './level-database.ts';
import { listAside, type AsideItem } from './quarantine-folder.ts';
import { MARKERS_FILE, readDeaths, type Deaths } from './start-markers.ts';
import { readIdentity, type StoredIdentity } from './state.ts';

/** A data folder as its files show it: nothing of it is opened, nothing is changed. */
export interface FolderLook {
  readonly segments: readonly { readonly first: number; readonly bytes: number }[];
  /** Names in the folder and in `log/` that gatelog did not put there. */
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
  readonly losses: LossTotals | undefined;
  /** What the disk lost. */
  readonly corruption: readonly LedgerEntry[];
}

const SEGMENT = /^\d{16}$/u;
const OURS = new Set(['state', 'log', 'quarantine', 'agent.sock', 'reserve', MARKERS_FILE]);

export async function lookAtFolder(folder: string): Promise<FolderLook> {
  const names = await readdir(folder);
  const inLog: string[] = await readdir(join(folder, 'log')).catch(() => []);
  const segments = [];
  const strange = names.filter((name) => !OURS.has(name));
  for (const name of inLog.toSorted()) {
    const path = join(folder, 'log', name);
    const isSegment = SEGMENT.test(name) && (await kindOf(path)) === 'folder';
    if (isSegment) segments.push({ first: Number(name), bytes: await bytesOf(path) });
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
  const copy = await mkdtemp(join(tmpdir(), 'gatelog-look-'));
  try {
    await cp(join(folder, 'state'), copy, { recursive: true });
    return await read(copy, folder, new Set(segments.map(({ first }) => first)));
  } catch (error) {
    return {
      trouble: messageOf(error),
      identity: undefined,
      cleanlyClosed: false,
      missing: [],
      losses: undefined,
      corruption: [],
    };
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
}

async function read(copy: string, folder: string, there: ReadonlySet<number>): Promise<StateLook> {
  const raw = await openLevel(copy, false);
  try {
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
    const trouble = altered.length === 0 ? undefined : `${altered.length} values are altered`;
    return {
      trouble,
      identity,
      cleanlyClosed: catalog.end?.clean === true,
      missing: [...catalog.known].filter((first) => !there.has(first)),
      losses: ledger.totals(),
      corruption,
    };
  } finally {
    await raw.close();
  }
}
