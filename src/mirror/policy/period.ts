import { dayOf, daysIn, startOfDay, type Zone } from '../../calendar.ts';
import { DAY_MS, HOUR_MS } from '../../units.ts';

export const PERIOD_UNITS = ['hour', 'day', 'month'] as const;
export type PeriodUnit = (typeof PERIOD_UNITS)[number];

/** When a budget begins anew. */
export interface PeriodRule {
  readonly per: PeriodUnit;
  /**
   * Of an hour the minute (0 to 59), of a day the hour (0 to 23), of a month the day (1 to 31; in
   * a shorter month its last).
   */
  readonly resets: number;
}

/** Instants; the end is the begin of the next. */
export interface Period {
  readonly startMs: number;
  readonly endMs: number;
}

/** The period in which an instant lies, by the calendar of a zone. */
export function periodAt(rule: PeriodRule, zone: Zone, instantMs: number): Period {
  const wallMs = zone.wallMs(instantMs);
  const starts = startsAround(rule, wallMs).map((wall) => zone.instantMs(wall));
  let startMs = starts[0] ?? instantMs;
  for (const start of starts) {
    if (start > instantMs) return { startMs, endMs: start };
    startMs = start;
  }
  return { startMs, endMs: instantMs };
}

/** Wall times, ascending: at least one before and two after, so that a shift of the clock leaves one each. */
function startsAround({ per, resets }: PeriodRule, wallMs: number): number[] {
  const steps = [-2, -1, 0, 1, 2];
  if (per === 'month') {
    const { year, month } = dayOf(wallMs);
    return steps.map((step) => {
      const first = dayOf(startOfDay(year, month + step, 1));
      const day = Math.min(resets, daysIn(first.year, first.month));
      return startOfDay(first.year, first.month, day);
    });
  }
  const spanMs = per === 'day' ? DAY_MS : HOUR_MS;
  const shiftMs = resets * (per === 'day' ? HOUR_MS : 60_000);
  const last = Math.floor((wallMs - shiftMs) / spanMs) * spanMs + shiftMs;
  // A clock that is set back shows some hours twice.
  return [-3, ...steps, 3].map((step) => last + step * spanMs);
}
