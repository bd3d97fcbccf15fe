import { stat } from 'node:fs/promises';
import { GatelogError, messageOf, systemCodeOf } from '../errors.ts';
import type { Store } from '../store/log.ts';
import { openStore } from '../store/open.ts';
import { silentLogger } from '../telemetry.ts';
import type { CliContext } from './context.ts';

/**
 * Asks the agent that runs on the folder; if none does, opens the folder to look into it. Nothing
 * is created: a folder that is not there is said so.
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
    if (!(error instanceof GatelogError) || error.code !== 'AGENT_NOT_RUNNING') throw error;
  }
  return withFolder(context, folder, look);
}

/** Opens the data folder read-only, and closes it whatever happens. */
export async function withFolder<T>(
  context: CliContext,
  folder: string,
  look: (store: Store) => Promise<T>,
): Promise<T> {
  await requireFolder(folder);
  const { clock, random } = context;
  const store = await openStore({ folder, clock, random, logger: silentLogger, readOnly: true });
  try {
    return await look(store);
  } finally {
    await store.close();
  }
}

/** Throws NOT_FOUND when there is none. */
export async function requireFolder(folder: string): Promise<void> {
  try {
    const found = await stat(folder);
    if (found.isDirectory()) return;
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT' && systemCodeOf(error) !== 'ENOTDIR') {
      throw new GatelogError('STORE_UNAVAILABLE', `can't read ${folder}: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }
  throw new GatelogError(
    'NOT_FOUND',
    `there is no data folder ${folder}; name it with --data DIR or --config FILE`,
  );
}
