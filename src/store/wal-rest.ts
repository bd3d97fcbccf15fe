import { readFile, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { isSealed } from './checked-database.ts';
import type { Write } from './database.ts';
import { kindOf, syncPath } from './files.ts';
import { isOfOtherFiles, oldestLogOf } from './manifest.ts';
import { begunIn, nameOf, numberOf } from './wal-begun.ts';
import { numbersOf, writesIn } from './wal-batch.ts';
import { copiesIn, copyOf, readWals, replace, type Wal } from './wal-files.ts';
import { readWal, walOf } from './wal.ts';

/** What stands behind altered bytes of the state database's write-ahead files. */
export interface WalRest {
  /** Writes in their order. To be written again: LevelDB gives up some of them, or all. */
  readonly batches: readonly (readonly Write[])[];
  /** What is lost, for people. */
  readonly why: string;
}

/** In the folder of the database, until its writes are there. */
const REST = 'rest';
/** No character of a text is less. */
const SPACE = 0x20;
/** An entry of the state database takes more than this in the file. */
const ENTRY_BYTES_MIN = 8;

/**
 * Saved before LevelDB opens the state database, which gives up the rest of a block behind altered
 * bytes in silence: positions would step back and entries of the loss ledger vanish. Every write there
 * is synced before the next, so whatever stands behind altered bytes tells that something is lost;
 * undefined: nothing does. What is saved stands in a file of its own until `restWritten`, and
 * a copy of the altered one until somebody takes that away: so a process that ends in between
 * neither loses the writes nor the word that there was damage.
 */
export async function saveRest(
  folder: string,
  warn: (text: string) => void,
): Promise<WalRest | undefined> {
  const saved = await savedRest(folder);
  if (saved !== undefined) return saved;
  const wals = await readWals(folder);
  return (
    (await newRest(folder, wals, warn)) ?? (await lostWal(folder, wals)) ?? (await toldRest(folder))
  );
}

/** They are in the database, durably. */
export async function restWritten(folder: string): Promise<void> {
  await rm(join(folder, REST), { force: true });
  await syncPath(folder);
}

/** Of a process that ended before it had written them. LevelDB may have taken in some since. */
async function savedRest(folder: string): Promise<WalRest | undefined> {
  const path = join(folder, REST);
  if ((await kindOf(path)) !== 'file') return undefined;
  const batches = readWal(await readFile(path)).records.flatMap(({ bytes }) => {
    const writes = stateWrites(bytes);
    return writes === undefined ? [] : [writes];
  });
  if (batches.length === 0) return undefined;
  const why = `a write-ahead file was altered, and ${batches.length} writes behind the altered bytes were saved from it`;
  return { batches, why };
}

/** All was written, and nobody was told. */
async function toldRest(folder: string): Promise<WalRest | undefined> {
  const [copy] = await copiesIn(folder);
  if (copy === undefined) return undefined;
  return {
    batches: [],
    why: `a write-ahead file was altered or lost, of which ${basename(copy)} is what was left`,
  };
}

/**
 * A file that LevelDB's list names, or that held a synced write, is gone or holds nothing: with it the
 * database steps back to its last opening, in silence.
 */
async function lostWal(folder: string, wals: readonly Wal[]): Promise<WalRest | undefined> {
  const oldest = await oldestLogOf(folder);
  if (oldest === 0 || (await isOfOtherFiles(folder))) return undefined;
  const { own } = sorted(wals);
  const holding = new Set(own.map(({ from }) => from.wal.path));
  const isLost = async (name: string, mustHold: boolean): Promise<boolean> => {
    const path = join(folder, name);
    const isRead = wals.some((wal) => wal.path === path);
    return (mustHold && isRead && !holding.has(path)) || (await kindOf(path)) === 'nothing';
  };
  const begun = (await begunIn(folder)).filter((name) => numberOf(name) >= oldest);
  for (const name of [nameOf(oldest), ...begun]) {
    if (!(await isLost(name, begun.includes(name)))) continue;
    await copyOf(join(folder, name)); // The word of it outlives this opening.
    const why = `the write-ahead file ${name} is gone or empty, and with it all that was written since the start before`;
    return { batches: [], why };
  }
  return undefined;
}

async function newRest(
  folder: string,
  wals: readonly Wal[],
  warn: (text: string) => void,
): Promise<WalRest | undefined> {
  const index = wals.findIndex(({ bad }) => bad.length > 0);
  const [wal, ...later] = index === -1 ? [] : wals.slice(index);
  const [bad] = wal?.bad ?? [];
  if (wal === undefined || bad === undefined) return undefined;
  const { own, strange } = sorted(wals);
  const rest = own.filter(({ from }) =>
    from.wal === wal ? from.at >= bad.from : later.includes(from.wal),
  );
  const batches = rest.map(({ writes }) => writes);
  if (batches.length > 0) {
    for (const each of [wal, ...later].filter((one) => one.bad.length > 0)) await copyOf(each.path);
    await replace(join(folder, REST), walOf(rest.map(({ bytes }) => bytes)));
  }
  // LevelDB would take in the others, and end the process over their sequence numbers.
  for (const each of wals.filter((one) => strange.has(one)).toReversed()) {
    warn(`what another file left in ${basename(each.path)} was taken out of it`);
    const left = own.filter(({ from }) => from.wal === each);
    await replace(each.path, walOf(left.map(({ bytes }) => bytes)));
  }
  if (batches.length === 0) return undefined;
  const why = `bytes of ${basename(wal.path)} were altered from ${bad.from} to ${bad.to}, and ${batches.length} writes behind them were saved from it`;
  return { batches, why };
}

interface OwnRecord {
  readonly from: { readonly wal: Wal; readonly at: number };
  readonly bytes: Buffer;
  readonly writes: readonly Write[];
}

/**
 * The database's own records, in their order, and the files in which there are others: what stood there
 * before as part of another file has numbers that do not go on.
 */
function sorted(wals: readonly Wal[]): {
  readonly own: readonly OwnRecord[];
  readonly strange: ReadonlySet<Wal>;
} {
  const own: OwnRecord[] = [];
  const strange = new Set<Wal>();
  let next: number | undefined;
  /** Bytes since the last one. */
  let room = 0;
  for (const wal of wals) {
    let end = 0;
    for (const { from, to, bytes } of wal.records) {
      room += from - end;
      end = to;
      const numbers = numbersOf(bytes);
      const missing = numbers.sequence - (next ?? numbers.sequence);
      const writes = stateWrites(bytes);
      if (writes === undefined || missing < 0 || missing * ENTRY_BYTES_MIN > room) {
        strange.add(wal);
        room += to - from;
        continue;
      }
      own.push({ from: { wal, at: from }, bytes, writes });
      ({ next } = numbers);
      room = 0;
    }
    room += wal.bytes - end;
  }
  return { own, strange };
}

/** undefined: it is none of the state database, whose keys are texts and whose values are sealed. */
function stateWrites(bytes: Buffer): Write[] | undefined {
  const writes = writesIn(bytes) ?? [];
  const areOurs = writes.every(({ key, value }) => {
    return key.every((byte) => byte >= SPACE) && (value === undefined || isSealed(key, value));
  });
  return writes.length > 0 && areOurs ? writes : undefined;
}
