import { spawn } from 'node:child_process';
import { mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { extname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LIMITS } from '../limits.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';

/** The sources run as they are, the build as JavaScript. */
const CHILD = fileURLToPath(new URL(`./probe-child${extname(import.meta.url)}`, import.meta.url));
/** What a reader makes anew, or locks. */
const OWN = /^(?:LOCK|LOG|LOG\.old)$/u;
const TABLES = /\.(?:ldb|sst|log)$/u;

/**
 * Whether reading (and before it repairing) the database ends the process that does it. One that
 * takes too long proves nothing, and neither does one that can't be started.
 */
function dies(mode: 'read' | 'repair', folder: string, clock: Clock): Promise<boolean> {
  return new Promise((answer) => {
    // It ends with us, by the channel.
    const stdio = ['ignore', 'ignore', 'ignore', 'ipc'] as const;
    const child = spawn(process.execPath, [CHILD, mode, folder], { stdio: [...stdio] });
    let late = false;
    const timer = clock.after(LIMITS.probeMs, () => {
      late = true;
      child.kill('SIGKILL');
    });
    child.once('error', () => answer(false));
    child.once('exit', (_, signal) => {
      timer.cancel();
      answer(signal !== null && !late);
    });
  });
}

/**
 * For a database over which processes ended. Resolves true when it can be opened now: because it
 * does nobody harm, or because its deadly files were taken away by `take`. Nothing but them is
 * touched: other processes read links. The database MUST be closed.
 */
export async function makeHarmless(
  folder: string,
  surroundings: {
    readonly clock: Clock;
    readonly logger: Logger;
    readonly take: (file: string) => Promise<unknown>;
  },
): Promise<boolean> {
  const { clock, logger, take } = surroundings;
  const names = (await readdir(folder)).filter((name) => !OWN.test(name));
  // A repair looks at every key, which a reader meets only if it comes the right way.
  const isHarmless =
    !(await isDeadly('read', folder, names, clock)) &&
    !(await isDeadly('repair', folder, names, clock));
  if (isHarmless) return true;
  logger.error(
    { event: 'store.deadly', folder },
    'reading a database ends the process that reads it: its files are looked at one by one',
  );
  const rest = [];
  for (const name of names) {
    const deadly = TABLES.test(name) && (await isDeadly('repair', folder, [name], clock));
    if (deadly) await take(join(folder, name));
    else rest.push(name);
  }
  return !(await isDeadly('repair', folder, rest, clock));
}

/** These files alone, as a database of their own: links to them, in a folder outside the data. */
async function isDeadly(
  mode: 'read' | 'repair',
  folder: string,
  names: readonly string[],
  clock: Clock,
): Promise<boolean> {
  const scratch = await mkdtemp(join(tmpdir(), 'gatelog-probe-'));
  try {
    for (const name of names) await symlink(resolve(folder, name), join(scratch, name));
    return await dies(mode, scratch, clock);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
