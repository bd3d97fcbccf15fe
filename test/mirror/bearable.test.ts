import { expect, test } from 'vitest';
import { MIRROR_LIMITS } from '../../src/mirror-limits.ts';
import { Bearable } from '../../src/mirror/bearable.ts';
import type { LinkPace } from '../../src/mirror/upstream.ts';

const SIZE = 1000;
const WINDOW = 5;

function under(underWayMs: number): LinkPace {
  const trips = { leastMs: 0, mostMs: 0, idleMs: 0, tripMs: 0, isAlone: false, answeredMs: 0 };
  return { ...trips, underWayMs, tooLongMs: 100 };
}

test('the last few count, however many there were before anybody went by it', () => {
  const bearable = new Bearable();
  const state = { size: SIZE, window: WINDOW };
  for (let count = 0; count < 1000; count++) bearable.add(under(1), state);
  for (let count = 0; count < MIRROR_LIMITS.underWaySample; count++)
    bearable.add(under(101), state);
  expect(bearable.bytesOr(SIZE * WINDOW)).toBe(SIZE * WINDOW);
  bearable.add(under(101), state);
  expect(bearable.bytesOr(0)).toBe(SIZE * (WINDOW - 1));
  expect(bearable.hasRoom).toBe(false);
});
