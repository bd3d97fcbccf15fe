import {
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  closeSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { Random } from '../../../src/random.ts';
import { runProcess } from '../process.ts';

/**
 * A power cut by proxy: the agent runs with a witness (witness.c) that notes which bytes of which
 * file were synced; after SIGKILL everything that was not is treated as a disk may treat it: cut
 * off anywhere, zeroed, filled with rubbish, or there after all. Renames and unlinks since the
 * last sync may be undone, the latest first (a journalling file system keeps their order, and any
 * sync writes the journal).
 */
export interface Witness {
  readonly env: Readonly<Record<string, string>>;
  /** Before every start of the agent: what stands in the folder now is on the disk. */
  begin(): void;
  /** Changes the folder as a power cut at this moment might. The agent must be dead. */
  cut(random: Random): CutReport;
}

export interface CutReport {
  readonly filesCut: number;
  readonly bytesLost: number;
  readonly undone: number;
}

/** Compiles the witness; says what to install when there is no C compiler. */
export async function prepareWitness(folder: string, data: string): Promise<Witness> {
  const library = join(folder, 'witness.so');
  const source = join(import.meta.dirname, 'witness.c');
  const args = ['-O2', '-shared', '-fPIC', '-o', library, source, '-ldl', '-lpthread'];
  const built = await runProcess({ command: 'cc', args }).catch((error: unknown) => {
    throw new Error('the power-cut hunt needs a C compiler: apt-get install gcc libc6-dev', {
      cause: error,
    });
  });
  if (built.code !== 0) throw new Error(`witness.c does not compile: ${built.stderr}`);
  const graves = join(folder, 'graves');
  mkdirSync(graves, { recursive: true });
  const log = join(folder, 'witness.log');
  let onDisk = new Map<string, number>();
  return {
    env: {
      LD_PRELOAD: library,
      WITNESS_LOG: log,
      WITNESS_ROOT: data,
      WITNESS_GRAVES: graves,
      UV_USE_IO_URING: '0', // io_uring would sync behind the library's back
    },
    begin: () => {
      rmSync(log, { force: true });
      rmSync(graves, { recursive: true, force: true });
      mkdirSync(graves);
      onDisk = new Map(filesBelow(data).map((path) => [path, statSync(path).size]));
    },
    cut: (random) => cutPower(data, log, onDisk, random),
  };
}

interface Change {
  readonly verb: 'R' | 'U';
  readonly grave: string;
  readonly from: string;
  readonly to: string;
  /** Synced bytes of the file that was moved or taken away, and of the one it replaced. */
  readonly covered: number | undefined;
  readonly replaced: number | undefined;
}

interface Testimony {
  /** By path as it is now: bytes that a sync covered. */
  readonly synced: Map<string, number>;
  /** Since the last sync of anything. */
  readonly loose: readonly Change[];
}

function readTestimony(log: string, onDisk: ReadonlyMap<string, number>): Testimony {
  const synced = new Map(onDisk);
  let loose: Change[] = [];
  const lines = existsSync(log) ? readFileSync(log, 'utf8').split('\n') : [];
  for (const line of lines) {
    const [verb, first = '', second = '', third = ''] = line.split(' ');
    if (verb === 'S') synced.set(second, Number(first));
    if (verb === 'S' || verb === 'D') loose = [];
    if (verb === 'R') {
      const covered = synced.get(second);
      loose.push({
        verb,
        grave: first,
        from: second,
        to: third,
        covered,
        replaced: synced.get(third),
      });
      synced.delete(second);
      synced.set(third, covered ?? 0);
      moveBelow(second, third, synced);
    }
    if (verb === 'U') {
      const covered = synced.get(second);
      loose.push({ verb, grave: first, from: second, to: '', covered, replaced: undefined });
      synced.delete(second);
    }
  }
  return { synced, loose };
}

/** When a folder is renamed, what lies in it is as synced as it was. */
function moveBelow(from: string, to: string, synced: Map<string, number>): void {
  for (const [path, size] of synced) {
    if (!path.startsWith(`${from}/`)) continue;
    synced.delete(path);
    synced.set(to + path.slice(from.length), size);
  }
}

function filesBelow(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

function cutPower(
  data: string,
  log: string,
  onDisk: ReadonlyMap<string, number>,
  random: Random,
): CutReport {
  const { synced, loose } = readTestimony(log, onDisk);
  const undone = Math.floor(random.next() * (loose.length + 1));
  for (const change of loose.toReversed().slice(0, undone)) undo(change, synced);
  let filesCut = 0;
  let bytesLost = 0;
  for (const path of filesBelow(data)) {
    const lost = cutFile(path, synced.get(path) ?? 0, random);
    if (lost > 0) filesCut++;
    bytesLost += lost;
  }
  return { filesCut, bytesLost, undone };
}

function undo(change: Change, synced: Map<string, number>): void {
  const { verb, grave, from, to, covered, replaced } = change;
  synced.set(from, covered ?? 0);
  if (verb === 'R') {
    renameSync(to, from);
    moveBelow(to, from, synced);
    if (grave === '-') return;
    linkSync(grave, to);
    synced.set(to, replaced ?? 0);
  } else if (grave !== '-' && !existsSync(from)) {
    mkdirSync(dirname(from), { recursive: true });
    linkSync(grave, from);
  }
}

/** Returns the number of bytes that the cut took or spoiled. */
function cutFile(path: string, covered: number, random: Random): number {
  const size = statSync(path).size;
  if (size <= covered) return 0;
  const fate = random.next();
  if (fate < 0.2) return 0; // the disk had it after all
  const keep = fate < 0.5 ? covered : covered + Math.floor(random.next() * (size - covered));
  if (keep === 0 && random.next() < 0.5) {
    rmSync(path);
    return size;
  }
  truncateSync(path, keep);
  if (fate > 0.75) spoil(path, keep, size, random);
  return size - keep;
}

/** The length reached the disk and the bytes did not: zeros, or what lay there before. */
function spoil(path: string, from: number, to: number, random: Random): void {
  const length = Math.min(to - from, 65_536);
  const bytes = Buffer.alloc(length);
  if (random.next() < 0.5) bytes.set(Buffer.from(random.hex(length), 'hex'));
  const file = openSync(path, 'r+');
  try {
    writeSync(file, bytes, 0, length, from);
  } finally {
    closeSync(file);
  }
}
