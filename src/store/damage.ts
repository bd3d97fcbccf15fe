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
  ['io', notAnswering()],
];

/**
 * The disk, the way to it, or the file system on it does not answer. It says nothing of what is
 * stored: a disk that was pulled out, a network share that is away, a file system that waits for its
 * check hold the same as before when they are back. As C libraries word them, and their names.
 */
function notAnswering(): RegExp {
  const words = [
    'input/output error|i/o error', // EIO, EREMOTEIO
    'no such device|no medium found|wrong medium type', // ENODEV, ENXIO, ENOMEDIUM, EMEDIUMTYPE
    'stale (?:NFS )?file handle|(?:connection|operation) timed out', // ESTALE, ETIMEDOUT
    'endpoint is not connected|socket not connected|transport endpoint shutdown', // ENOTCONN
    'connection (?:abort|refused|reset)|no route to host|network is (?:down|unreachable)',
    'host is (?:down|unreachable)|link has been severed', // EHOSTDOWN, EHOSTUNREACH, ENOLINK
    'structure needs cleaning|bad message', // EUCLEAN, EBADMSG: the file system found itself damaged
    'required key not available|key has expired', // ENOKEY, EKEYEXPIRED: it is locked
    'interrupted system call|resource temporarily unavailable|resource busy', // EINTR, EAGAIN, EBUSY
  ];
  const codes =
    'EIO|EREMOTEIO|ENODEV|ENXIO|ENOMEDIUM|EMEDIUMTYPE|ESTALE|ETIMEDOUT|ENOTCONN|ESHUTDOWN|' +
    'ECONNABORTED|ECONNREFUSED|ECONNRESET|EHOSTUNREACH|EHOSTDOWN|ENETDOWN|ENETUNREACH|ENOLINK|' +
    'EUCLEAN|EBADMSG|ENOKEY|EKEYEXPIRED|EINTR|EAGAIN|EBUSY';
  return new RegExp(`${words.join('|')}|\\b(?:${codes})\\b`, 'iu');
}

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

/**
 * The disk did not answer: it may the next time, or when it is back, or at this place never again.
 * Who meets it waits (patience.ts) before anything is called damaged.
 */
export function isUnsteady(error: unknown): boolean {
  const code = innerCode(error);
  if (code === 'STORE_FAILING') return true;
  const isSystems = code === 'LEVEL_IO_ERROR' || /^E[A-Z0-9]+$/u.test(code);
  return isSystems && troubleOf(error) === 'io';
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
