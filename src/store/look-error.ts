import { tmpdir } from 'node:os';
import { notForUs } from '../folder-access.ts';
import { GatelogError } from '../errors.ts';
import { troubleOf } from './damage.ts';
import { openError } from './level-errors.ts';

/** `openError`, for who only looks at the data folder. */
export function lookError(folder: string, error: unknown): GatelogError {
  const cause = error instanceof GatelogError ? (error.cause ?? error) : error;
  // Only what is copied elsewhere takes room.
  if (troubleOf(cause) === 'full') return noRoomToLook(folder, cause);
  return troubleOf(cause) === 'forbidden' ? notForUs(folder, cause) : openError(folder, error);
}

function noRoomToLook(folder: string, cause: unknown): GatelogError {
  return new GatelogError(
    'STORE_FULL',
    `there is no room left in ${tmpdir()} for copies of what is damaged or not yet in tables in ` +
      `${folder}: free some, or name a folder with more room by the variable TMPDIR`,
    { cause },
  );
}
