import { afterEach, beforeEach, expect, test } from 'vitest';
import { scheduled, type Schedule } from '../../src/store/schedule.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { SimClock } from '../support/sim-clock.ts';
import { rememberingLogger } from '../support/store-kit.ts';

const MINUTE = 60_000;
const YEAR = 365 * 86_400_000;
let clock: SimClock;
let runs: number[];
let schedule: Schedule;

beforeEach(() => {
  clock = new SimClock(Date.UTC(2026, 0, 1, 0, 0, 30));
  runs = [];
  schedule = scheduled(
    'it',
    '*/2 * * * *',
    () => {
      runs.push(clock.nowMs());
      return Promise.resolve();
    },
    { clock, logger: silentLogger },
  );
});
afterEach(() => schedule.stop());

test('it runs at the moments that are meant, once each', async () => {
  await clock.advance(10 * MINUTE);
  expect(runs).toEqual([2, 4, 6, 8, 10].map((minute) => Date.UTC(2026, 0, 1, 0, minute)));
});

test('a clock that jumps ahead makes up for nothing, and one that jumps back holds nothing up', async () => {
  clock.set(clock.nowMs() + 10 * YEAR);
  await clock.advance(4 * MINUTE);
  expect(runs).toHaveLength(2);
  clock.set(clock.nowMs() - 20 * YEAR);
  await clock.advance(4 * MINUTE);
  expect(runs).toHaveLength(4);
});

test('nothing overlaps, a failure is told, and after the stop nothing runs', async () => {
  const logger = rememberingLogger();
  let begun = 0;
  const failing = scheduled(
    'it',
    '* * * * * *',
    async () => {
      begun++;
      await clock.sleep(3500);
      throw new Error('no luck');
    },
    { clock, logger },
  );
  await clock.advance(8200);
  expect(begun).toBe(2);
  expect(logger.lines[0]?.message).toContain('it failed; it runs again as scheduled');
  await failing.stop();
  await clock.advance(60_000);
  expect(begun).toBe(2);
});
