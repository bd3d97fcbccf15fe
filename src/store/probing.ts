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

/** How it went with the process that did it; `unknown`: it took too long, or could not be started. */
type Fate = 'lived' | 'died' | 'unknown';

interface Trial {
  readonly mode: 'read' | 'repair';
  readonly clock: Clock;
}

function fateOf(folder: string, { mode, clock }: Trial): Promise<Fate> {
  return new Promise((answer) => {
    // It ends with us, by the channel.
    const stdio = ['ignore', 'ignore', 'ignore', 'ipc'] as const;
    const child = spawn(process.execPath, [CHILD, mode, folder], { stdio: [...stdio] });
    let late = false;
    const end = (): void => {
      late = true;
      child.kill('SIGKILL');
    };
    let timer = clock.after(LIMITS.probeMs, end);
    // It says when it begins: starting may take long on a busy machine.
    child.once('message', () => {
      timer.cancel();
      timer = clock.after(LIMITS.probeMs, end);
    });
    child.once('error', () => answer('unknown'));
    child.once('exit', (_, signal) => {
      timer.cancel();
      if (late) answer('unknown');
      else answer(signal === null ? 'lived' : 'died');
    });
  });
}

/**
 * For a database over which processes ended. `harmless`: it can be opened now, because it does nobody
 * harm, or because its deadly files were taken away by `take`. Nothing but them is touched: other
 * processes read links. The database MUST be closed.
 */
export async function makeHarmless(
  folder: string,
  surroundings: {
    readonly clock: Clock;
    readonly logger: Logger;
    readonly take: (file: string) => Promise<unknown>;
  },
): Promise<'harmless' | 'deadly' | 'unknown'> {
  const { clock, logger, take } = surroundings;
  const names = (await readdir(folder)).filter((name) => !OWN.test(name));
  // A repair looks at every key, which a reader meets only if it comes the right way.
  const fates = await Promise.all([
    tried(folder, names, { mode: 'read', clock }),
    tried(folder, names, { mode: 'repair', clock }),
  ]);
  if (!fates.includes('died')) return fates.includes('unknown') ? 'unknown' : 'harmless';
  const trial: Trial = { mode: 'repair', clock };
  logger.error(
    { event: 'store.deadly', folder },
    'reading a database ends the process that reads it: its files are looked at one by one',
  );
  const rest = [];
  for (const name of names) {
    const isDeadly = TABLES.test(name) && (await tried(folder, [name], trial)) === 'died';
    if (isDeadly) await take(join(folder, name));
    else rest.push(name);
  }
  return (await tried(folder, rest, trial)) === 'died' ? 'deadly' : 'harmless';
}

/** These files alone, as a database of their own: links to them, in a folder outside the data. */
async function tried(folder: string, names: readonly string[], trial: Trial): Promise<Fate> {
  const scratch = await mkdtemp(join(tmpdir(), 'gatelog-probe-'));
  try {
    for (const name of names) await symlink(resolve(folder, name), join(scratch, name));
    return await fateOf(scratch, trial);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
