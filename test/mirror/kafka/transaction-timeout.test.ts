import { expect, test } from 'vitest';
import { TransactionTimeout } from '../../../src/mirror/kafka/transaction-timeout.ts';

const LARGE = 400_000;
const SMALL = 2000;

/** What sessions one after the other are given: `what` happens in each. */
function sessions(timeout: TransactionTimeout, what: readonly (() => void)[]): number[] {
  return what.map((happens) => {
    const ms = timeout.next();
    happens();
    return ms;
  });
}

test('a transaction timeout is short, doubles while it is too short, and comes back', () => {
  const timeout = new TransactionTimeout(undefined);
  const tooShort = (): void => timeout.noteTooShort(LARGE);
  const carried = (): void => timeout.noteCommitted(LARGE);
  const little = (): void => timeout.noteCommitted(SMALL);
  const course = [carried, tooShort, tooShort, tooShort, carried, little, little, little, little];
  expect(sessions(timeout, course)).toEqual([
    5000, 5000, 10_000, 20_000, 40_000, 20_000, 10_000, 5000, 5000,
  ]);
  for (let session = 0; session < 20; session++) {
    tooShort();
    expect(timeout.next()).toBeLessThanOrEqual(300_000);
  }
});

test('sessions that never stood, or broke before the large record was through, leave it', () => {
  const timeout = new TransactionTimeout(undefined);
  const tooShort = (): void => timeout.noteTooShort(LARGE);
  const nothing = (): void => {};
  const little = (): void => timeout.noteCommitted(SMALL);
  const course = [tooShort, tooShort, nothing, nothing, little, tooShort, nothing];
  expect(sessions(timeout, course)).toEqual([5000, 10_000, 20_000, 20_000, 20_000, 20_000, 40_000]);
});

test('it comes back once as much was carried in pieces, by the largest of those that took too long', () => {
  const timeout = new TransactionTimeout(undefined);
  const tooShort = (): void => {
    timeout.noteTooShort(LARGE);
    timeout.noteTooShort(SMALL);
  };
  const halves = (): void => {
    timeout.noteCommitted(LARGE / 2);
    timeout.noteCommitted(LARGE / 2);
  };
  const half = (): void => timeout.noteCommitted(LARGE / 2);
  expect(sessions(timeout, [tooShort, half, half, halves, half])).toEqual([
    5000, 10_000, 10_000, 10_000, 5000,
  ]);
});

test('a configured one stays as it is', () => {
  const timeout = new TransactionTimeout(30_000);
  timeout.noteTooShort(LARGE);
  expect(timeout.next()).toBe(30_000);
});
