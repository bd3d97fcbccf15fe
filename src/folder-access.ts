import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { GatelogError } from './errors.ts';

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
    `the data folder ${folder} is not for this user to read: run this command with sudo, or as ` +
      `the user that runs gatelog`,
    { cause },
  );
}
