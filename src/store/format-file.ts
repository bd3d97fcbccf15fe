import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { FORMAT_VERSION } from './state.ts';

/** In the data folder: the version of its format, for who can't read a LevelDB (the Debian package's scripts). */
export const FORMAT_FILE = 'format';

/**
 * Notes that this gatelog wrote the folder. Not synced, and no reason not to start: who really may not read
 * the folder finds that out from the state database (STORE_FORMAT_NEWER).
 */
export function noteFormat(dataFolder: string): void {
  const file = join(dataFolder, FORMAT_FILE);
  const text = `${FORMAT_VERSION}\n`;
  try {
    const found = statSync(file, { throwIfNoEntry: false });
    // Such as a pipe, which would be waited for.
    if (found !== undefined && !found.isFile()) return;
    if (found === undefined || readFileSync(file, 'utf8') !== text) writeFileSync(file, text);
  } catch {
    // A disk that can't be written has other troubles.
  }
}
