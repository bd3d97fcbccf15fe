import { messageOf, systemCodeOf } from '../errors.ts';

/** The code that matters: ours, or the one below the engine's general ones. */
function innerCode(error: unknown): string {
  const code = systemCodeOf(error) ?? '';
  const inner = error instanceof Error ? systemCodeOf(error.cause) : undefined;
  return code.startsWith('STORE_') ? code : (inner ?? code);
}

/**
 * Trouble of the surroundings, not of what is stored: it passes by itself, or a person mends it, and
 * then everything can be read again.
 */
export type Trouble = 'full' | 'read-only' | 'forbidden' | 'exhausted' | 'io';

const TROUBLES: readonly (readonly [Trouble, RegExp])[] = [
  ['full', /no space left|quota exceeded|file too large|\b(?:ENOSPC|EDQUOT|EFBIG)\b/iu],
  ['read-only', /read-only file system|\bEROFS\b/iu],
  ['forbidden', /permission denied|operation not permitted|\b(?:EACCES|EPERM)\b/iu],
  ['exhausted', /too many open files|cannot allocate memory|\b(?:EMFILE|ENFILE|ENOMEM)\b/iu],
  ['io', /input\/output error|\bEIO\b/iu],
];

/** LevelDB tells the system's reasons in words only. */
export function troubleOf(error: unknown): Trouble | undefined {
  const text = `${messageOf(error)} ${systemCodeOf(error) ?? ''}`;
  return TROUBLES.find(([, words]) => words.test(text))?.[0];
}

/** What the engine reads is damaged, or not there. What it does not find, our checksums do. */
export function isDamage(error: unknown): boolean {
  const code = innerCode(error);
  if (code === 'LEVEL_CORRUPTION' || code === 'STORE_CORRUPT') return true;
  // As for a table that is empty, or a folder: whatever can't be read and is not the machine's state.
  return code === 'LEVEL_IO_ERROR' && troubleOf(error) === undefined;
}

/** The disk itself could not read: it may succeed the next time, or never again. */
export function isUnsteady(error: unknown): boolean {
  return innerCode(error) === 'LEVEL_IO_ERROR' && troubleOf(error) === 'io';
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
