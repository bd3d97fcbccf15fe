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
  const carried = (): void => timeout.noteCommitted(LARGE, 100);
  const little = (): void => timeout.noteCommitted(SMALL, 100);
  const course = [carried, tooShort, tooShort, tooShort, carried, little, little, little, little];
  expect(sessions(timeout, course)).toEqual([
    5000, 5000, 10_000, 20_000, 40_000, 20_000, 10_000, 5000, 5000,
  ]);
  for (let session = 0; session < 20; session++) {
    tooShort();
    expect(timeout.next()).toBeLessThanOrEqual(900_000);
  }
});

test('sessions that never stood, or broke before the large record was through, leave it', () => {
  const timeout = new TransactionTimeout(undefined);
  const tooShort = (): void => timeout.noteTooShort(LARGE);
  const nothing = (): void => {};
  const little = (): void => timeout.noteCommitted(SMALL, 100);
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
    timeout.noteCommitted(LARGE / 2, 100);
    timeout.noteCommitted(LARGE / 2, 100);
  };
  const half = (): void => timeout.noteCommitted(LARGE / 2, 100);
  expect(sessions(timeout, [tooShort, half, half, halves, half])).toEqual([
    5000, 10_000, 10_000, 10_000, 5000,
  ]);
});

test('it lasts for as long as a large record may take, and no session longer', () => {
  const timeout = new TransactionTimeout(undefined);
  expect([0, 60_000, 180_000, 0].map((ms) => timeout.next(ms))).toEqual([
    5000, 60_000, 180_000, 5000,
  ]);
});

test('it stays where transactions come near the shorter one', () => {
  const timeout = new TransactionTimeout(undefined);
  const tooShort = (): void => timeout.noteTooShort(SMALL);
  const long = (): void => timeout.noteCommitted(LARGE, 4600);
  const short = (): void => timeout.noteCommitted(LARGE, 1900);
  const course = [tooShort, long, long, short, long];
  expect(sessions(timeout, course)).toEqual([5000, 10_000, 10_000, 10_000, 5000]);
});

test('a configured one stays as it is', () => {
  const timeout = new TransactionTimeout(30_000);
  timeout.noteTooShort(LARGE);
  expect(timeout.next(60_000)).toBe(30_000);
});
