import { expect, test } from 'vitest';
import { type Arrival, ShiftedDays } from '../sim/shifted-days.ts';
import { seedOfRun } from '../support/hunt/work-folder.ts';

/**
 * Four days in Berlin over a night on which the clock is shifted and the reset of a month's budget,
 * compressed by an injected clock. What arrived is judged by another calendar than the product's.
 */
const HOUR = 3_600_000;
const HOURS = 96;
const DAY_BYTES = 200_000;
const MONTH_BYTES = 400_000;
const BERLIN = new Intl.DateTimeFormat('sv-SE', {
  timeZone: 'Europe/Berlin',
  dateStyle: 'short',
  timeStyle: 'short',
});

/** As in `2026-03-29 03:00`. */
function berlin(ms: number): string {
  return BERLIN.format(ms);
}

/** Bytes that are not exempt, by period. An arrival is noted late, but never over a full hour. */
function usedBy(arrivals: readonly Arrival[], periodOf: (local: string) => string): number[] {
  const used = new Map<string, number>();
  for (const { topic, atMs, bytes } of arrivals) {
    if (topic === 'alarm') continue;
    const period = periodOf(berlin(atMs - 1));
    used.set(period, (used.get(period) ?? 0) + bytes);
  }
  return [...used.values()];
}

/** The day before, until four o'clock. */
function dayFromFour(local: string): string {
  const [date = '', time = ''] = local.split(' ');
  if (time >= '04:00') return date;
  return new Date(Date.parse(`${date}T12:00:00Z`) - 24 * HOUR).toISOString().slice(0, 10);
}

const SPRING = {
  name: 'in spring: no 02:00 on the 29th, a new month on the 1st',
  begin: '2026-03-28T11:00:00Z',
  resets: 1,
  newMonth: '2026-04-01 00:00',
  shifted: { date: '2026-03-29', from: '03:00', to: '06:00' },
};
const AUTUMN = {
  name: 'in autumn: 02:00 twice on the 25th, a new month on the 27th',
  begin: '2026-10-24T10:00:00Z',
  resets: 27,
  newMonth: '2026-10-27 00:00',
  // Three hours from the first 02:00 on, which is also a second time 02:00.
  shifted: { date: '2026-10-25', from: '02:00', to: '04:00' },
};

test.each([SPRING, AUTUMN])(
  'four days $name: windows and budgets hold through crashes and wrong clocks',
  async ({ begin, resets, newMonth, shifted }) => {
    const seed = seedOfRun();
    console.log(`shifted-days: GATELOG_SEED=${seed} replays this run`);
    const beginMs = Date.parse(begin);
    const window = { from: '0 2 * * *', forMs: 3 * HOUR, classes: ['bulk'] } as const;
    const rules = {
      bitsPerSecond: undefined,
      budgets: [
        { bytes: DAY_BYTES, per: 'day', resets: 4, exempt: ['alarm'] },
        { bytes: MONTH_BYTES, per: 'month', resets, exempt: ['alarm'] },
      ],
      windows: [window],
      metered: undefined,
      zone: 'Europe/Berlin',
    } as const;
    const days = new ShiftedDays({ seed, beginMs, hours: HOURS, rules });
    const { arrivals, appended, ...counts } = await days.run();
    const ruled = arrivals.filter(({ atMs }) => atMs <= beginMs + HOURS * HOUR);
    console.log('shifted-days:', { ...counts, ruled: ruled.length, all: arrivals.length });

    const nights = ruled
      .filter(({ topic }) => topic === 'bulk')
      .map(({ atMs, isLost }) => ({ at: berlin(atMs - 1), isLost }));
    const outside = nights.filter(({ at, isLost }) => {
      const [date = '', time = ''] = at.split(' ');
      const { from, to } = date === shifted.date ? shifted : { from: '02:00', to: '05:00' };
      return isLost || time < from || time >= to;
    });
    expect(outside).toEqual([]);
    expect(nights.length).toBeGreaterThan(0);

    const byDay = usedBy(ruled, dayFromFour);
    const byMonth = usedBy(ruled, (local) => (local >= newMonth ? 'new' : 'old'));
    expect(Math.max(...byDay)).toBeLessThanOrEqual(DAY_BYTES);
    expect(Math.max(...byMonth)).toBeLessThanOrEqual(MONTH_BYTES);
    // Both were used up, or nothing would be shown; and the new month has its own.
    expect(Math.max(...byMonth)).toBeGreaterThan(MONTH_BYTES / 2);
    expect(byMonth).toHaveLength(2);

    for (const topic of ['alarm', 'bulk', 'telemetry']) {
      const numbers = arrivals.filter((one) => one.topic === topic).map(({ number }) => number);
      const every = Array.from({ length: appended.get(topic) ?? 0 }, (_, index) => index);
      expect(numbers).toEqual(every);
    }
  },
);
