import { GatelogError, messageOf, systemCodeOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import { troubleOf } from './damage.ts';

/** Why an append is refused, in words that a person can act on. */
export function tooLarge(bytes: number): GatelogError {
  return new GatelogError(
    'RECORD_TOO_LARGE',
    `a record of ${bytes} bytes was appended; at most ${LIMITS.recordBytes} bytes of key, value ` +
      `and headers are possible`,
  );
}

export function closedError(): GatelogError {
  return new GatelogError('STORE_CLOSED', 'the store is closed: nothing can be appended');
}

export function readOnlyError(): GatelogError {
  return new GatelogError(
    'STORE_UNAVAILABLE',
    'the store was opened for reading only: nothing can be defined or appended',
  );
}

export function brokenError(): GatelogError {
  return new GatelogError(
    'STORE_WRITE_FAILED',
    `the log can't be written at present: check the disk's space and health; gatelog opens it ` +
      `again by itself as soon as that works`,
  );
}

/** The disk, or what the user may have of it, is used up. */
export function isFull(error: unknown): boolean {
  return systemCodeOf(error) === 'STORE_FULL' || troubleOf(error) === 'full';
}

/** What everybody who waited for a commit that failed is told. */
export function failedError(cause: unknown): GatelogError {
  return new GatelogError(
    isFull(cause) ? 'STORE_FULL' : 'STORE_WRITE_FAILED',
    `the log could not be written (${messageOf(cause)}): nothing of this was stored; check ` +
      `the disk's space and health`,
    { cause },
  );
}
