import { constants } from 'node:fs';
import { access, readFile, stat } from 'node:fs/promises';
import { GatelogError } from './errors.ts';
import { startHint } from './service-place.ts';

/** Whether this user may see what is in the folder. */
export function mayRead(folder: string): Promise<boolean> {
  return access(folder, constants.R_OK | constants.X_OK).then(
    () => true,
    () => false,
  );
}

/** For who only looks at a data folder, and may not. */
export function notForUs(folder: string, cause: unknown): GatelogError {
  return new GatelogError(
    'STORE_FORBIDDEN',
    `the data folder ${folder} is not for this user to read: run this command with sudo, or as the user that ` +
      `runs gatelog`,
    { cause },
  );
}

/**
 * Root may write into another user's data folder, and that user could not open afterwards what root made there.
 * Throws STORE_FORBIDDEN. A folder that is not there is made, and then ours.
 */
export async function refuseOwnedByOther(
  folder: string,
  uid: number | undefined = process.getuid?.(),
): Promise<void> {
  if (uid !== 0) return;
  const owner = await stat(folder).then(
    (found) => found.uid,
    () => uid,
  );
  if (owner === uid) return;
  const name = (await nameOf(owner)) ?? `#${owner}`;
  throw new GatelogError(
    'STORE_FORBIDDEN',
    `the data folder ${folder} is user ${name}'s, who could not read what root writes there: ` +
      `${startHint(folder)}; by hand as that user: sudo -u ${name} gatelog run …`,
  );
}

async function nameOf(uid: number): Promise<string | undefined> {
  const users = await readFile('/etc/passwd', 'utf8').catch(() => '');
  const lines = users.split('\n').map((line) => line.split(':'));
  return lines.find((fields) => fields[2] === String(uid))?.[0];
}
