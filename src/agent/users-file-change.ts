import { chown, type FileHandle, open, readFile, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { GatelogError, systemCodeOf } from '../errors.ts';
import { reasonOf } from './config-document.ts';
import { type FileUser, parseUsers } from './users-file.ts';

/** Before the change: the text, and who is in it. An absent file has nobody. */
export interface UsersNow {
  readonly text: string;
  readonly users: ReadonlyMap<string, FileUser>;
  readonly isThere: boolean;
}

/** Throws CONFIG_INVALID, naming file and line. */
export async function usersIn(file: string): Promise<UsersNow> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return { text: '', users: new Map(), isThere: false };
    throw unusable(file, `can't be read: ${reasonOf(error)}`, error);
  }
  return { text, users: parseUsers(text, file), isThere: true };
}

/**
 * Changes the file as one step: whoever reads it sees the old text or the new one, also after a power
 * cut. Its owner stays; its mode is 0600. Of two that change it at once the second is refused.
 */
export async function changeUsers(
  file: string,
  change: (now: UsersNow) => Promise<string>,
): Promise<void> {
  const fresh = `${file}.new`;
  const handle = await begin(file, fresh);
  try {
    const text = await change(await usersIn(file));
    await handle.writeFile(text);
    await handle.sync();
    await handle.close();
    await keepOwner(file, fresh);
    await rename(fresh, file);
    await syncFolder(file);
  } catch (error) {
    await handle.close().catch(() => {});
    await rm(fresh, { force: true });
    if (error instanceof GatelogError) throw error;
    throw unusable(file, `can't be written: ${reasonOf(error)}`, error);
  }
}

async function begin(file: string, fresh: string): Promise<FileHandle> {
  try {
    return await open(fresh, 'wx', 0o600);
  } catch (error) {
    const why =
      systemCodeOf(error) === 'EEXIST'
        ? `is being changed by another gatelog user; if there is none it was ended half-way, and ${fresh} can be removed`
        : `can't be written: ${reasonOf(error)}`;
    throw unusable(file, why, error);
  }
}

/** Root may change the file of the agent's user, which must read it after that. */
async function keepOwner(file: string, fresh: string): Promise<void> {
  if (process.getuid?.() !== 0) return;
  try {
    const { uid, gid } = await stat(file);
    await chown(fresh, uid, gid);
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error;
  }
}

async function syncFolder(file: string): Promise<void> {
  const folder = await open(path.dirname(file), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function unusable(file: string, why: string, cause: unknown): GatelogError {
  return new GatelogError('CONFIG_INVALID', `${file} ${why}`, { place: { file }, cause });
}
