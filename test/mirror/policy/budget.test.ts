import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { zoneOf } from '../../../src/calendar.ts';
import { Budget, type BudgetRule } from '../../../src/mirror/policy/budget.ts';
import { BudgetBook } from '../../../src/mirror/policy/budget-book.ts';
import { periodAt } from '../../../src/mirror/policy/period.ts';
import { silentLogger } from '../../../src/telemetry.ts';
import { NOT_YET, RIGHT, startMachine } from '../../support/shifty-clock.ts';
import { memorySpace } from './memory-space.ts';

const berlin = zoneOf('Europe/Berlin');
const at = (text: string): number => Date.parse(text);
const MB = 1_000_000;
const HOUR = 3_600_000;
const MONTHLY: BudgetRule = { bytes: 500 * MB, per: 'month', resets: 15, exempt: [] };
const DAILY: BudgetRule = { bytes: 20 * MB, per: 'day', resets: 6, exempt: [] };

describe('a period', () => {
  test.each([
    ['month', 15, '2026-07-20T10:00:00Z', '2026-07-14T22:00:00Z', '2026-08-14T22:00:00Z'],
    ['month', 15, '2026-07-14T21:59:59Z', '2026-06-14T22:00:00Z', '2026-07-14T22:00:00Z'],
    // In a shorter month the last day.
    ['month', 31, '2026-03-10T10:00:00Z', '2026-02-27T23:00:00Z', '2026-03-30T22:00:00Z'],
    ['month', 1, '2026-12-31T23:30:00Z', '2026-12-31T23:00:00Z', '2027-01-31T23:00:00Z'],
    ['day', 6, '2026-07-20T03:59:00Z', '2026-07-19T04:00:00Z', '2026-07-20T04:00:00Z'],
    // The day on which the clock is set ahead has 23 hours, that on which it is set back 25.
    ['day', 0, '2026-03-29T12:00:00Z', '2026-03-28T23:00:00Z', '2026-03-29T22:00:00Z'],
    ['day', 0, '2026-10-25T12:00:00Z', '2026-10-24T22:00:00Z', '2026-10-25T23:00:00Z'],
    ['hour', 15, '2026-07-20T10:10:00Z', '2026-07-20T09:15:00Z', '2026-07-20T10:15:00Z'],
  ] as const)('of a %s from %d at %s', (per, resets, now, start, end) => {
    expect(periodAt({ per, resets }, berlin, at(now))).toEqual({
      startMs: at(start),
      endMs: at(end),
    });
  });

  test('holds its instant, and periods follow each other without a hole, through every shift of the clock', () => {
    const rule = fc.constantFrom(
      { per: 'hour' as const, resets: 30 },
      { per: 'day' as const, resets: 2 },
      { per: 'month' as const, resets: 29 },
    );
    const instant = fc.integer({
      min: at('2026-01-01T00:00:00Z'),
      max: at('2028-01-01T00:00:00Z'),
    });
    const zone = fc.constantFrom('Europe/Berlin', 'Australia/Lord_Howe', 'America/St_Johns', 'UTC');
    fc.assert(
      fc.property(rule, instant, zone, (which, now, name) => {
        const place = zoneOf(name);
        const period = periodAt(which, place, now);
        expect(period.startMs).toBeLessThanOrEqual(now);
        expect(period.endMs).toBeGreaterThan(now);
        expect(periodAt(which, place, period.endMs).startMs).toBe(period.endMs);
        expect(periodAt(which, place, period.endMs - 1)).toEqual(period);
      }),
      { numRuns: 300 },
    );
  });
});

describe('a budget', () => {
  test('is over when it is used, until the next period', () => {
    const budget = new Budget(DAILY, berlin);
    budget.look(at('2026-07-20T12:00:00Z'));
    budget.charge(19 * MB);
    expect(budget.isOver).toBe(false);
    budget.charge(MB);
    expect(budget.isOver).toBe(true);
    // What the kernel takes back does not open it again.
    budget.charge(-1000);
    expect(budget.isOver).toBe(true);
    budget.look(at('2026-07-21T03:59:59Z'));
    expect(budget.isOver).toBe(true);
    budget.look(at('2026-07-21T04:00:00Z'));
    expect(budget.isOver).toBe(false);
    expect(budget.leftBytes).toBe(20 * MB);
  });

  test('a clock that goes ahead and back gives no period twice', () => {
    const budget = new Budget(MONTHLY, berlin);
    budget.look(at('2026-07-20T12:00:00Z'));
    budget.charge(500 * MB);
    budget.look(at('2026-08-20T12:00:00Z'));
    expect(budget.isOver).toBe(false);
    budget.charge(100 * MB);
    budget.look(at('2026-07-21T12:00:00Z'));
    expect(budget.isOver).toBe(true);
    budget.look(at('2026-08-15T12:00:00Z'));
    expect(budget.usedBytes).toBe(100 * MB);
  });

  test('what is used before the time is known counts in the period that it turns out to be', () => {
    const budget = new Budget(DAILY, berlin);
    budget.look(undefined);
    budget.charge(3 * MB);
    expect(budget.usedBytes).toBe(3 * MB);
    expect(budget.period).toBeUndefined();
    budget.look(at('2026-07-20T12:00:00Z'));
    expect(budget.usedBytes).toBe(3 * MB);
    budget.look(undefined);
    budget.charge(2 * MB);
    budget.look(at('2026-07-21T12:00:00Z'));
    expect(budget.usedBytes).toBe(2 * MB);
    budget.look(at('2026-07-20T12:00:00Z'));
    expect(budget.usedBytes).toBe(5 * MB);
  });

  test('by a clock that nobody trusts no period ends', async () => {
    const { clock, trust, source } = await startMachine({ wallMs: at('2026-07-20T12:00:00Z') });
    const budget = new Budget(MONTHLY, berlin);
    const look = (): void => budget.look(trust.isSound() ? trust.nowMs() : undefined);
    look();
    budget.charge(500 * MB);
    expect(budget.isOver).toBe(true);
    clock.set(at('2026-09-01T00:00:00Z'));
    await clock.advance(2000);
    look();
    expect(trust.isSound()).toBe(false);
    expect(budget.isOver).toBe(true);
    // Somebody who knows says that it really is September.
    source.answer = RIGHT;
    await clock.advance(5000);
    look();
    expect(budget.isOver).toBe(false);
  });

  describe('that a batch was too large for', () => {
    const dayAt = (day: number): number => at(`2026-07-0${day}T12:00:00Z`);
    const overdrawn = (): Budget => {
      const budget = new Budget(DAILY, berlin);
      budget.look(dayAt(1));
      budget.begin(40 * MB);
      budget.charge(65 * MB);
      budget.settle();
      return budget;
    };
    const usedOn = (budget: Budget, day: number): number => {
      budget.look(dayAt(day));
      return budget.usedBytes / MB;
    };

    test('saves in the next periods what it took, as far as that was foreseen, through restarts', () => {
      let budget = overdrawn();
      const used = [2, 3, 4].map((day) => {
        budget = new Budget(DAILY, berlin, budget.stored(0));
        return usedOn(budget, day);
      });
      expect(used).toEqual([40, 20, 0]);
      expect(budget.isOver).toBe(false);
    });

    test('saves no more than it was overdrawn by', () => {
      const budget = new Budget(DAILY, berlin);
      budget.look(dayAt(1));
      budget.begin(40 * MB);
      budget.charge(21 * MB);
      budget.settle();
      expect(usedOn(budget, 2)).toBe(1);
      expect(budget.isOverdrawn).toBe(true);
      expect(usedOn(budget, 3)).toBe(0);
      expect(budget.isOverdrawn).toBe(false);
    });

    test('has saved in the days that nobody looked', () => {
      expect(usedOn(overdrawn(), 3)).toBe(20);
      expect(usedOn(overdrawn(), 9)).toBe(0);
    });

    test('does not save it again when the clock goes back, nor less by a detour', () => {
      const budget = overdrawn();
      expect([2, 1, 2].map((day) => usedOn(budget, day))).toEqual([40, 65, 40]);
      const detour = overdrawn();
      detour.look(at('2026-06-20T12:00:00Z'));
      expect(usedOn(detour, 2)).toBe(40);
    });

    test('saves it when nobody knew the time, too', () => {
      const budget = new Budget(DAILY, berlin);
      budget.look(undefined);
      budget.begin(40 * MB);
      budget.charge(60 * MB);
      budget.settle();
      expect([1, 2, 3, 4].map((day) => usedOn(budget, day))).toEqual([60, 40, 20, 0]);
    });
  });

  test('a gateway that starts in 1970 waits for its time', async () => {
    const { clock, trust, source } = await startMachine({
      wallMs: at('1970-01-01T00:01:00Z'),
    });
    source.answer = NOT_YET;
    const before = new Budget(MONTHLY, berlin);
    before.look(at('2026-07-20T12:00:00Z'));
    before.charge(500 * MB);
    const budget = new Budget(MONTHLY, berlin, before.stored(0));
    const look = (): void => budget.look(trust.isSound() ? trust.nowMs() : undefined);
    look();
    expect(budget.isOver).toBe(true);
    clock.set(at('2026-08-20T12:00:00Z'));
    source.answer = RIGHT;
    await clock.advance(5000);
    look();
    expect(budget.isOver).toBe(false);
    expect(budget.usedBytes).toBe(0);
  });
});

test('whatever the clock does, a period never gets more than its budget', () => {
  const step = fc.record({
    day: fc.integer({ min: 1, max: 3 }),
    known: fc.boolean(),
    restart: fc.boolean(),
    bytes: fc.integer({ min: 1, max: 9 * MB }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      let budget = new Budget(DAILY, berlin);
      const used = new Map<number, number>();
      for (const { day, known, restart, bytes } of steps) {
        if (restart) budget = new Budget(DAILY, berlin, budget.stored(0));
        budget.look(known ? at(`2026-07-0${day}T12:00:00Z`) : undefined);
        if (budget.isOver || bytes > budget.leftBytes) continue;
        budget.charge(bytes);
        const { period } = budget;
        if (!known || period === undefined) continue;
        const sum = (used.get(period.startMs) ?? 0) + bytes;
        used.set(period.startMs, sum);
        expect(sum).toBeLessThanOrEqual(DAILY.bytes);
        expect(budget.usedBytes).toBeGreaterThanOrEqual(sum);
      }
    }),
    { numRuns: 300 },
  );
});

describe('the book of budgets', () => {
  const rules = [MONTHLY, DAILY];
  const now = at('2026-07-20T12:00:00Z');
  const load = async (space: ReturnType<typeof memorySpace>, of = rules) => {
    const book = await BudgetBook.load({ space, rules: of, zone: berlin, logger: silentLogger });
    book.look(now);
    return book;
  };
  const usedOf = (book: BudgetBook): number[] => book.budgets.map(({ usedBytes }) => usedBytes);

  test('remembers exactly after a good end', async () => {
    const space = memorySpace();
    const book = await load(space);
    book.charge(123_456);
    await book.close();
    expect(usedOf(await load(space))).toEqual([123_456, 123_456]);
  });

  test('after a crash counts at most what was booked ahead too much, and never too little', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 60_000 }), { minLength: 1, maxLength: 50 }),
        async (charges) => {
          const space = memorySpace();
          const book = await load(space);
          let used = 0;
          for (const bytes of charges) {
            await book.secure(bytes);
            book.charge(bytes);
            used += bytes;
            const [monthly = 0, daily = 0] = usedOf(await load(space.copy()));
            expect(monthly).toBeGreaterThanOrEqual(used);
            expect(daily).toBeLessThanOrEqual(used + 60_000 + 20_000);
          }
        },
      ),
      { numRuns: 50 },
    );
  });

  test('writes seldom', async () => {
    const space = memorySpace();
    const book = await load(space);
    for (let batch = 0; batch < 1000; batch++) {
      await book.secure(1000);
      book.charge(1000);
    }
    expect(space.writes).toBeLessThan(130);
  });

  test('a budget that is made smaller goes on with what was used', async () => {
    const space = memorySpace();
    const book = await load(space);
    book.charge(15 * MB);
    await book.close();
    const smaller = await load(space, [MONTHLY, { ...DAILY, bytes: 10 * MB }]);
    expect(smaller.budgets.map(({ isOver }) => isOver)).toEqual([false, true]);
  });

  test('what can not be booked does not begin, and is booked when it can', async () => {
    const space = memorySpace();
    const book = await load(space);
    space.failing = true;
    await expect(book.secure(1000)).rejects.toThrow('no space');
    book.charge(500);
    space.failing = false;
    await book.secure(1000);
    expect(usedOf(await load(space.copy()))[1]).toBeGreaterThanOrEqual(1500);
  });

  test('periods that are long gone are forgotten', async () => {
    const space = memorySpace();
    const book = await load(space);
    for (let hour = 0; hour < 24 * 60; hour += 5) {
      book.look(now + hour * HOUR);
      book.charge(1000);
    }
    await book.close();
    expect(space.size).toBeLessThan(1000);
  });
});
