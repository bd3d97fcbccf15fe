import { cpSync, lstatSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

/**
 * Runs `task` in a folder of its own, which goes when the task succeeds and stays, with its path
 * printed, when it fails: it holds the data folder and the logs of every process. Never in memory,
 * which others need.
 */
export async function inWorkFolder<T>(
  name: string,
  task: (folder: string) => Promise<T>,
  below: string = tmpdir(),
): Promise<T> {
  const folder = mkdtempSync(join(below, `gatelog-${name}-`));
  try {
    const result = await task(folder);
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    return result;
  } catch (error) {
    const kept = join(tmpdir(), basename(folder));
    if (kept !== folder) {
      cpSync(folder, kept, { recursive: true, filter: isNoSocket });
      rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    }
    console.error(`kept for inspection: ${kept}`);
    throw error;
  }
}

function isNoSocket(path: string): boolean {
  return !lstatSync(path).isSocket();
}

/** The seed of a run: GATELOG_SEED replays one. */
export function seedOfRun(): number {
  const given = process.env['GATELOG_SEED'];
  if (given === undefined || given === '') return (Date.now() ^ (process.pid << 16)) >>> 0;
  const seed = Number(given);
  if (!Number.isSafeInteger(seed) || seed < 0) throw new Error(`GATELOG_SEED=${given}: no seed`);
  return seed >>> 0;
}
