import { systemCodeOf } from '../errors.ts';

/** The code that matters: ours, or the one below the engine's general ones. */
function innerCode(error: unknown): string {
  const code = systemCodeOf(error) ?? '';
  const inner = error instanceof Error ? systemCodeOf(error.cause) : undefined;
  return code.startsWith('STORE_') ? code : (inner ?? code);
}

/** The engine found what it reads damaged. What it does not find, our checksums do. */
export function isDamage(error: unknown): boolean {
  const code = innerCode(error);
  return code === 'LEVEL_CORRUPTION' || code === 'STORE_CORRUPT';
}

/** Nothing of the segment can be read. */
export function isUnopenable(error: unknown): boolean {
  return innerCode(error) === 'STORE_CORRUPT';
}

/** The database was closed under a reader: the writer opens it again after a failed write. */
export function isClosed(error: unknown): boolean {
  const code = innerCode(error);
  return code === 'LEVEL_DATABASE_NOT_OPEN' || code === 'LEVEL_ITERATOR_NOT_OPEN';
}
