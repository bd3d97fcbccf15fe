import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { systemCodeOf } from '../errors.ts';

/** Names of files with `*`, `?` and `[…]` in them, as in `conf.d/*.yaml`. */
export function isPattern(name: string): boolean {
  return /[*?[]/u.test(name);
}

/**
 * The files that a pattern names, in the order of their names; none is not an error. Names that begin with a dot,
 * which editors and package managers leave behind, only where the pattern has the dot. Throws where a folder is
 * there and can't be read: the library's globSync would say that it is empty.
 */
export function filesMatching(pattern: string, folder: string): string[] {
  let found = [path.isAbsolute(pattern) ? path.parse(pattern).root : folder];
  for (const part of path.normalize(pattern).split(path.sep).filter(Boolean)) {
    found = found.flatMap((within) =>
      isPattern(part)
        ? namesMatching(part, within).map((name) => path.join(within, name))
        : [path.join(within, part)],
    );
  }
  return found.filter(isFile);
}

function namesMatching(pattern: string, folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => path.matchesGlob(name, pattern))
      .toSorted();
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/** A link to nothing counts, so that it is told. */
function isFile(file: string): boolean {
  try {
    return !statSync(file).isDirectory();
  } catch (error) {
    if (!isMissing(error)) throw error;
    return readdirSync(path.dirname(file)).includes(path.basename(file));
  }
}

function isMissing(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes(systemCodeOf(error) ?? '');
}
