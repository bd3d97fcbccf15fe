import { expect, test } from 'vitest';
import { DrainPace } from '../../src/mirror/drain-pace.ts';

/** A topic to which so much comes and from which so much goes a second, for so long. */
function after(
  seconds: number,
  { comes, goes, behind }: Record<'comes' | 'goes' | 'behind', number>,
) {
  const startMs = 1_000_000;
  const pace = new DrainPace(startMs, behind);
  let nowMs = startMs;
  let end = behind;
  let sent = 0;
  for (let second = 0; second < seconds; second++) {
    nowMs += 1000;
    end += comes;
    sent += goes;
    pace.note(goes, nowMs, () => end);
  }
  return pace.etaMs(end - sent, nowMs, end);
}

test('with nothing coming it is what waits by what goes', () => {
  expect(after(100, { comes: 0, goes: 100, behind: 20_000 })).toBeCloseTo(100_000, -4);
});

test('what comes meanwhile goes, too', () => {
  // 100,000 wait, and 100 a second fewer.
  const eta = after(100, { comes: 900, goes: 1000, behind: 110_000 }) ?? 0;
  expect(eta).toBeGreaterThan(800_000);
  expect(eta).toBeLessThan(1_300_000);
});

test('where as much comes as goes, or more, nobody knows when', () => {
  expect(after(100, { comes: 1000, goes: 1000, behind: 100_000 })).toBeUndefined();
  expect(after(100, { comes: 2000, goes: 1000, behind: 100_000 })).toBeUndefined();
});

test('what is on its way is no backlog, however much comes', () => {
  expect(after(100, { comes: 1000, goes: 1000, behind: 2000 })).toBeCloseTo(2000, -2);
});

test('where nothing goes nobody knows either', () => {
  expect(after(100, { comes: 5, goes: 0, behind: 10 })).toBeUndefined();
});
