import { stat } from 'node:fs/promises';
import { GatelogError, messageOf, systemCodeOf, type ErrorCode } from '../errors.ts';
import { notForUs } from '../folder-access.ts';
import type { Store } from '../store/log.ts';
import { openStore } from '../store/open.ts';
import { silentLogger } from '../telemetry.ts';
import { printError, type CliContext } from './context.ts';

/** An agent that serves without its log for these holds nothing of the folder, and it may be read. */
const READABLE: ReadonlySet<ErrorCode> = new Set(['STORE_READ_ONLY', 'STORE_FULL']);

/**
 * Asks the agent that runs on the folder; if none does, or it serves without a log that can be read,
 * opens the folder to look into it. Nothing is created: a folder that is not there is said so.
 */
export async function withAgentOrFolder<T>(
  context: CliContext,
  folder: string,
  ask: () => Promise<T>,
  look: (store: Store) => Promise<T>,
): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    return withFolderInstead(context, folder, error, look);
  }
}

/** When an agent could not be asked: throws why, unless the folder can be looked at without it. */
export async function withFolderInstead<T>(
  context: CliContext,
  folder: string,
  error: unknown,
  look: (store: Store) => Promise<T>,
): Promise<T> {
  if (!(error instanceof GatelogError)) throw error;
  if (error.code === 'AGENT_NOT_RUNNING') return withFolder(context, folder, look);
  if (!READABLE.has(error.code)) throw error;
  let store: Store;
  try {
    store = await openFolder(context, folder);
  } catch {
    throw error;
  }
  const what = 'warning: the agent serves without its log (gatelog status says why)';
  printError(context, `${what}; this is read off the folder itself`);
  return looking(store, look);
}

/** Opens the data folder read-only, and closes it whatever happens. */
export async function withFolder<T>(
  context: CliContext,
  folder: string,
  look: (store: Store) => Promise<T>,
): Promise<T> {
  return looking(await openFolder(context, folder), look);
}

async function openFolder({ clock, random }: CliContext, folder: string): Promise<Store> {
  await requireFolder(folder);
  return openStore({ folder, clock, random, logger: silentLogger, readOnly: true });
}

async function looking<T>(store: Store, look: (store: Store) => Promise<T>): Promise<T> {
  try {
    return await look(store);
  } finally {
    await store.close();
  }
}

/** Throws NOT_FOUND when there is none. */
export async function requireFolder(folder: string): Promise<void> {
  let isFile = false;
  try {
    const found = await stat(folder);
    if (found.isDirectory()) return;
    isFile = true;
  } catch (error) {
    const code = systemCodeOf(error);
    if (code === 'EACCES' || code === 'EPERM') throw notForUs(folder, error);
    if (code !== 'ENOENT' && code !== 'ENOTDIR') {
      throw new GatelogError('STORE_UNAVAILABLE', `can't read ${folder}: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }
  throw new GatelogError(
    'NOT_FOUND',
    `${isFile ? `${folder} is a file, and no data folder` : `there is no data folder ${folder}`}; name it with --data DIR or --config FILE`,
  );
}
