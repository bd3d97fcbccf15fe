import { readlinkSync, rmSync } from 'node:fs';
import { lstat, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemCodeOf } from '../errors.ts';

const PREFIX = 'gatelog-look-';
/** As in `gatelog-look-4026531836-1234-Ab3xYz`: the processes' namespace, and the process. */
const NAME = /^gatelog-look-(\d+)-(\d+)-\w{6}$/u;
const SIGNALS = ['SIGHUP', 'SIGINT', 'SIGTERM'] as const;

const mine = new Set<string>();

/**
 * A folder among the temporary ones, for who looks at a data folder. MUST be given to `endScratch`; a
 * signal that ends the process removes it too, and what a killed process left is removed here.
 */
export async function newScratch(): Promise<string> {
  await removeStale();
  const scratch = await mkdtemp(join(tmpdir(), `${PREFIX}${namespace()}-${process.pid}-`));
  if (mine.size === 0) for (const signal of SIGNALS) process.on(signal, onSignal);
  mine.add(scratch);
  return scratch;
}

export async function endScratch(scratch: string): Promise<void> {
  await rm(scratch, { recursive: true, force: true });
  mine.delete(scratch);
  if (mine.size === 0) for (const signal of SIGNALS) process.off(signal, onSignal);
}

function onSignal(signal: NodeJS.Signals): void {
  // Somebody else takes it, and ends what is open in good order.
  if (process.listenerCount(signal) > 1) return;
  for (const scratch of mine) rmSync(scratch, { recursive: true, force: true });
  process.off(signal, onSignal);
  process.kill(process.pid, signal);
}

/** Another user's, and those of processes that may live, stay. */
async function removeStale(): Promise<void> {
  for (const name of await readdir(tmpdir()).catch(() => [])) {
    const [, space, pid] = NAME.exec(name) ?? [];
    if (space !== namespace() || isAlive(Number(pid))) continue;
    const path = join(tmpdir(), name);
    const found = await lstat(path).catch(() => undefined);
    if (found?.isDirectory() !== true || found.uid !== process.getuid?.()) continue;
    await rm(path, { recursive: true, force: true }).catch(() => {});
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemCodeOf(error) !== 'ESRCH';
  }
}

/** Processes of another container have other numbers. */
function namespace(): string {
  try {
    return /\d+/u.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? '0';
  } catch {
    return '0';
  }
}
