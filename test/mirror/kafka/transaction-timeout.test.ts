import { expect, test } from 'vitest';
import { TransactionTimeout } from '../../../src/mirror/kafka/transaction-timeout.ts';

test('a transaction timeout is short, doubles while it is too short, and comes back', () => {
  const timeout = new TransactionTimeout(undefined);
  const seen: number[] = [];
  for (let session = 0; session < 8; session++) {
    seen.push(timeout.next());
    if (session >= 1 && session <= 3) timeout.noteTooShort();
  }
  expect(seen).toEqual([5000, 5000, 10_000, 20_000, 40_000, 20_000, 10_000, 5000]);
  for (let session = 0; session < 20; session++) {
    timeout.noteTooShort();
    expect(timeout.next()).toBeLessThanOrEqual(900_000);
  }
});

test('it lasts for as long as a large record may take, and no session longer', () => {
  const timeout = new TransactionTimeout(undefined);
  expect([0, 60_000, 180_000, 0].map((ms) => timeout.next(ms))).toEqual([
    5000, 60_000, 180_000, 5000,
  ]);
});

test('a configured one stays as it is', () => {
  const timeout = new TransactionTimeout(30_000);
  timeout.noteTooShort();
  expect(timeout.next(60_000)).toBe(30_000);
});
