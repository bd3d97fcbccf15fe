import { describe, expect, test } from 'vitest';
import { isDamage, isUnsteady } from '../../src/store/damage.ts';
import { openError } from '../../src/store/level-errors.ts';

/** Which of the system's errors speak of what is stored, and which of the disk or the machine. */
const level = (text: string, code = 'LEVEL_IO_ERROR'): Error =>
  Object.assign(new Error(text), { code });

describe.each([
  'Input/output error',
  'Remote I/O error',
  'No such device',
  'No such device or address',
  'No medium found',
  'Stale file handle',
  'Connection timed out',
  'Transport endpoint is not connected',
  'Software caused connection abort',
  'Host is down',
  'Structure needs cleaning',
  'Bad message',
  'Interrupted system call',
  'Device or resource busy',
])('%s', (words) => {
  test('is waited for, on reading and on opening, and nothing is repaired or set aside for it', () => {
    const read = level(`IO error: /d/000005.ldb: ${words}`);
    expect([isDamage(read), isUnsteady(read)]).toEqual([false, true]);
    const opened = openError('/d', level(`IO error: /d/MANIFEST-000004: ${words}`));
    expect(opened.code).toBe('STORE_FAILING');
    expect([isDamage(opened), isUnsteady(opened)]).toEqual([false, true]);
  });
});

test.each([
  'EIO',
  'EREMOTEIO',
  'ENODEV',
  'ENXIO',
  'ESTALE',
  'ETIMEDOUT',
  'ENOTCONN',
  'EUCLEAN',
  'EBADMSG',
  'EINTR',
  'EBUSY',
])('%s of Node itself is no damage either', (code) => {
  const opened = openError('/d', level(`${code}: unknown words, stat '/d'`, code));
  expect(opened.code).toBe('STORE_FAILING');
  expect(isDamage(opened)).toBe(false);
});

test.each([
  'Permission denied',
  'Too many open files',
  'Too many open files in system',
  'Cannot allocate memory',
  'Read-only file system',
  'No space left on device',
])('%s is the machine’s state', (words) => {
  const read = level(`IO error: /d/000005.ldb: ${words}`);
  expect([isDamage(read), isUnsteady(read)]).toEqual([false, false]);
});

test.each([
  level('Corruption: block checksum mismatch', 'LEVEL_CORRUPTION'),
  level('IO error: /d/000005.ldb: No such file or directory'),
  level('IO error: /d/000005.ldb: Is a directory'),
])('%s is damage', (error) => {
  expect([isDamage(error), isUnsteady(error)]).toEqual([true, false]);
});
