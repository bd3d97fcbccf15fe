import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { WearBudget } from '../../src/agent/wear-budget.ts';
import { LIMITS } from '../../src/limits.ts';

const DAY = 86_400_000;
const GB = 1e9;

/** What a disk takes: so much for each commit, and so much for each byte of payload. */
interface Load {
  readonly perSecond: number;
  readonly commitBytes: number;
  readonly recordBytes: number;
}

/** Bytes in `ms` while commits wait `lingerMs`: a record alone is a commit too. */
function written(load: Load, lingerMs: number, ms: number): number {
  const { perSecond, commitBytes, recordBytes } = load;
  const perCommit = 1 + (perSecond * lingerMs) / 1000;
  const records = (perSecond * ms) / 1000;
  return records * recordBytes + (records / perCommit) * commitBytes;
}

/** Runs for so long in steps of the meter; gives the wait and the bytes of each step. */
function run(
  budget: WearBudget,
  load: (ms: number) => Load,
  forMs: number,
): { lingers: number[]; bytes: number[] } {
  const lingers: number[] = [];
  const bytes: number[] = [];
  for (let ms = 0; ms < forMs; ms += LIMITS.wearSampleMs) {
    const amount = written(load(ms), budget.lingerMs(), LIMITS.wearSampleMs);
    budget.spend(LIMITS.wearSampleMs, amount);
    lingers.push(budget.lingerMs());
    bytes.push(amount);
  }
  return { lingers, bytes };
}

const total = (bytes: readonly number[]): number => bytes.reduce((all, one) => all + one, 0);

/** 100 messages a second on ext4, as measured: 160 GB a day if each is a commit, 3 GB at 1 s. */
const STEADY: Load = { perSecond: 100, commitBytes: 18_000, recordBytes: 200 };
const QUIET: Load = { perSecond: 0.1, commitBytes: 18_000, recordBytes: 200 };

const options = (overrides: Partial<ConstructorParameters<typeof WearBudget>[0]> = {}) => ({
  budgetBytesPerDay: 5 * GB,
  lingerMs: 0,
  maxLingerMs: 1000,
  ...overrides,
});

describe('the wait under a budget', () => {
  test('is the configured one as long as there is enough left', () => {
    const budget = new WearBudget(options({ lingerMs: 50 }));
    expect(budget.lingerMs()).toBe(50);
    budget.spend(0, 5 * GB * LIMITS.wearBurstShare * 0.49);
    expect(budget.lingerMs()).toBe(50);
    budget.spend(0, 5 * GB * LIMITS.wearBurstShare * 0.1);
    expect(budget.lingerMs()).toBeGreaterThan(50);
  });

  test('comes to rest, without swinging, where the budget is just kept', () => {
    const budget = new WearBudget(options());
    const { lingers, bytes } = run(budget, () => STEADY, 2 * DAY);
    const settled = lingers.slice(lingers.length / 2);
    // Whole milliseconds alternate where one is too short and the next too long.
    expect(Math.max(...settled) - Math.min(...settled)).toBeLessThanOrEqual(1);
    // From one side: it never goes back by more than rounding.
    let highest = 0;
    for (const linger of lingers) {
      expect(linger).toBeGreaterThanOrEqual(highest - 1);
      highest = Math.max(highest, linger);
    }
    const second = total(bytes.slice(bytes.length / 2));
    expect(second).toBeLessThanOrEqual(5 * GB);
    expect(second).toBeGreaterThan(4.6 * GB);
  });

  test('no 24 hours exceed the budget, wherever they begin', () => {
    const budget = new WearBudget(options());
    const { bytes } = run(budget, (ms) => (ms % DAY < DAY / 3 ? STEADY : QUIET), 4 * DAY);
    const steps = DAY / LIMITS.wearSampleMs;
    let window = total(bytes.slice(0, steps));
    for (let at = steps; at < bytes.length; at++) {
      expect(window).toBeLessThanOrEqual(5 * GB);
      window += (bytes[at] ?? 0) - (bytes[at - steps] ?? 0);
    }
  });

  test('is the configured one again when the load is gone', () => {
    const budget = new WearBudget(options({ lingerMs: 5 }));
    run(budget, () => STEADY, DAY);
    expect(budget.lingerMs()).toBeGreaterThan(100);
    run(budget, () => QUIET, DAY / 8);
    expect(budget.lingerMs()).toBe(5);
  });

  test('is hardly moved by a table that is written at once', () => {
    const budget = new WearBudget(options());
    run(budget, () => STEADY, DAY);
    const before = budget.lingerMs();
    budget.spend(0, 4_000_000);
    expect(budget.lingerMs()).toBeLessThan(before * 1.25);
  });

  test('survives a restart, and a debt is soon forgotten', () => {
    const budget = new WearBudget(options());
    run(budget, () => STEADY, DAY);
    const next = new WearBudget(options());
    next.restore(budget.level);
    expect(next.lingerMs()).toBe(budget.lingerMs());
    next.restore(Number.MAX_VALUE);
    expect(next.level).toBe(1);
    next.spend(0, 1000 * GB);
    expect(next.lingerMs()).toBe(1000);
    run(next, () => ({ ...QUIET, perSecond: 0 }), DAY / 6);
    expect(next.lingerMs()).toBe(0);
  });

  test('whatever is written: never below the configured wait, never above the longest', () => {
    const step = fc.record({
      ms: fc.double({ min: 0, max: DAY * 400, noNaN: true }),
      bytes: fc.double({ min: 0, max: 1e15, noNaN: true }),
    });
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 100 }),
        fc.integer({ min: 0, max: 1000 }),
        fc.integer({ min: 0, max: 1000 }),
        fc.integer({ min: LIMITS.wearBudgetBytesMin, max: 1e12 }),
        (steps, first, second, budgetBytesPerDay) => {
          const lingerMs = Math.min(first, second);
          const maxLingerMs = Math.max(first, second);
          const budget = new WearBudget({ budgetBytesPerDay, lingerMs, maxLingerMs });
          for (const { ms, bytes } of steps) {
            budget.spend(ms, bytes);
            expect(budget.lingerMs()).toBeGreaterThanOrEqual(lingerMs);
            expect(budget.lingerMs()).toBeLessThanOrEqual(maxLingerMs);
            expect(Number.isInteger(budget.lingerMs())).toBe(true);
          }
        },
      ),
    );
  });

  test('any steady load comes to rest: at the budget, or at one end of the range', () => {
    fc.assert(
      fc.property(
        fc.record({
          perSecond: fc.double({ min: 0.01, max: 20_000, noNaN: true }),
          commitBytes: fc.integer({ min: 4096, max: 60_000 }),
          recordBytes: fc.integer({ min: 20, max: 4000 }),
        }),
        fc.constantFrom(0, 5, 50),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (load, lingerMs, level) => {
          const budget = new WearBudget(options({ lingerMs }));
          budget.restore(level);
          const { lingers, bytes } = run(budget, () => load, 3 * DAY);
          const lastDay = lingers.slice((lingers.length * 2) / 3);
          const low = Math.min(...lastDay);
          const high = Math.max(...lastDay);
          // At rest: whole milliseconds may alternate when one is too short and the next too long.
          expect(high - low).toBeLessThanOrEqual(Math.max(1, low * 0.02));
          const spent = total(bytes.slice((bytes.length * 2) / 3));
          expect(high === 1000 || spent <= 5 * GB).toBe(true);
          expect(low === lingerMs || high === 1000 || spent > 4.6 * GB).toBe(true);
        },
      ),
      { numRuns: 60 },
    );
  });
});
