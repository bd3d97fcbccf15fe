import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemCodeOf } from './errors.ts';

/**
 * Makes a folder and those above it that are not there; `made` is called for each. Not mkdir's own
 * recursion: it never ends where a parent can't be made, as below /proc. `mode`: of the folder itself.
 */
export async function makeFolders(
  path: string,
  made: (folder: string) => Promise<void> = () => Promise.resolve(),
  mode: number = 0o777,
): Promise<void> {
  const make = async (): Promise<void> => {
    try {
      await mkdir(path, { mode });
      await made(path);
    } catch (error) {
      // Something is there: if it is no folder, the next step says so.
      if (systemCodeOf(error) !== 'EEXIST') throw error;
    }
  };
  try {
    await make();
  } catch (error) {
    const parent = dirname(path);
    if (systemCodeOf(error) !== 'ENOENT' || parent === path) throw error;
    await makeFolders(parent, made);
    await make();
  }
}
