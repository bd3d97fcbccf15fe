import fc from 'fast-check';
import { expect, test } from 'vitest';
import { NOTHING_WRITTEN, perDay, ratio, WearDay } from '../../src/agent/wear-day.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

test('an even rate is that rate at any time, and the window holds a day', () => {
  const day = new WearDay();
  for (let minute = 1; minute <= 3 * 24 * 60; minute++) {
    day.add(60_000, { ...NOTHING_WRITTEN, disk: 1000 });
    const total = day.total();
    expect(perDay(total, total.disk)).toBeCloseTo(1000 * 24 * 60);
    expect(total.ms).toBe(Math.min(minute * 60_000, total.ms));
  }
  expect(day.total().ms).toBeGreaterThanOrEqual(DAY);
  expect(day.total().ms).toBeLessThanOrEqual(DAY + HOUR);
  expect(day.slots.length).toBeLessThanOrEqual(25);
});

test('what was written more than a day and an hour ago no longer counts', () => {
  const day = new WearDay();
  day.add(HOUR, { ...NOTHING_WRITTEN, process: 5_000_000 });
  day.add(HOUR, NOTHING_WRITTEN);
  expect(day.total().process).toBe(5_000_000);
  day.add(DAY, NOTHING_WRITTEN);
  expect(day.total()).toEqual({ ...NOTHING_WRITTEN, ms: DAY });
});

test('any row of stretches: nothing of the last day is left out, nothing counted twice', () => {
  const stretch = fc.record({
    ms: fc.integer({ min: 0, max: 2 * HOUR }),
    disk: fc.integer({ min: 0, max: 1_000_000 }),
  });
  fc.assert(
    fc.property(fc.array(stretch, { maxLength: 60 }), (stretches) => {
      const day = new WearDay();
      for (const { ms, disk } of stretches) day.add(ms, { ...NOTHING_WRITTEN, disk });
      const total = day.total();
      const allMs = stretches.reduce((sum, { ms }) => sum + ms, 0);
      expect(total.ms).toBeGreaterThanOrEqual(Math.min(allMs, DAY));
      // A slot may grow by one stretch beyond its hour.
      expect(total.ms).toBeLessThanOrEqual(DAY + 3 * HOUR);
      let least = 0;
      let whole = 0;
      for (let at = stretches.length - 1, age = 0; at >= 0; at--) {
        const { ms = 0, disk = 0 } = stretches[at] ?? {};
        age += ms;
        if (age <= DAY) least += disk;
        whole += disk;
      }
      expect(total.disk).toBeGreaterThanOrEqual(least);
      expect(total.disk).toBeLessThanOrEqual(whole);
      // Stored and read back it is the same.
      const back = WearDay.restore(JSON.parse(JSON.stringify(day.slots)));
      expect(back.total()).toEqual(total);
    }),
  );
});

test('what was stored is taken only if it is whole', () => {
  const good = { ...NOTHING_WRITTEN, ms: 5, disk: 7 };
  expect(WearDay.restore([good]).total()).toEqual(good);
  for (const bad of [
    undefined,
    'x',
    [1],
    [null],
    [{ ...good, ms: -1 }],
    [{ ...good, disk: '7' }],
    [{ ms: 5 }],
  ]) {
    expect(WearDay.restore(bad).slots).toEqual([]);
  }
});

test('a ratio needs something to divide by', () => {
  expect(ratio(6, 3)).toBe(2);
  expect(ratio(6, 0)).toBeUndefined();
  expect(perDay({ ms: 0 }, 5)).toBe(0);
});
