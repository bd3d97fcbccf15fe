import { expect, test } from 'vitest';
import { seededRandom } from '../../src/random.ts';
import { parseIsoTime, systemClock, untilBeat } from '../../src/time.ts';

test('a sleep ends when it is aborted, and at once when it was before', async () => {
  const control = new AbortController();
  const slept = systemClock.sleep(3_600_000, control.signal);
  control.abort();
  await expect(slept).resolves.toBeUndefined();
  await expect(systemClock.sleep(3_600_000, control.signal)).resolves.toBeUndefined();
});

test('a timer fires once and not after it was cancelled', async () => {
  let fired = 0;
  const cancelled = systemClock.after(0, () => fired++);
  cancelled.cancel();
  await new Promise<void>((resolve) => {
    systemClock.after(1, () => {
      fired++;
      resolve();
    });
  });
  expect(fired).toBe(1);
});

test('ISO times are read, other text is not', () => {
  expect(parseIsoTime('2026-01-02T03:04:05Z')).toBe(1_767_323_045_000);
  expect(parseIsoTime('yesterday')).toBeUndefined();
});

test('a seed repeats its run, another one does not', () => {
  const run = (seed: number): number[] => {
    const random = seededRandom(seed);
    return Array.from({ length: 20 }, () => random.next());
  };
  expect(run(7)).toEqual(run(7));
  expect(run(7)).not.toEqual(run(8));
  expect(run(7).every((value) => value >= 0 && value < 1)).toBe(true);
  expect(seededRandom(1).hex(8)).toMatch(/^[0-9a-f]{16}$/u);
});

test('looks of one interval fall together, and a timer that fired early does not fire twice', () => {
  const left = (nowMs: number): number => untilBeat({ monotonicMs: () => nowMs }, 1000);
  expect([left(0), left(7000), left(7001), left(7400)]).toEqual([1000, 1000, 999, 600]);
  expect([left(7999.4), left(7501)]).toEqual([1000.6000000000004, 1499]);
});
