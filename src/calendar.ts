import { must } from './assert.ts';
import { dateOf } from './time.ts';
import { DAY_MS, HOUR_MS } from './units.ts';

/**
 * Wall clocks of time zones. A wall time is written as the milliseconds at which a clock in UTC
 * would show it, so that it can be counted with; an instant is milliseconds since 1970.
 */
export interface Zone {
  /** What a clock there shows at an instant. */
  wallMs(instantMs: number): number;
  /**
   * The instant at which a clock there shows a wall time. One that comes twice (the clock is set
   * back) is the first of the two; one that never comes (it is set ahead) is as much later as the
   * clock is set ahead. So does Temporal (`disambiguation: 'compatible'`).
   */
  instantMs(wallMs: number): number;
}

/** By its IANA name; without one the zone of this process (`TZ`). Throws RangeError for an unknown name. */
export function zoneOf(name?: string): Zone {
  const offsetMs = name === undefined ? localOffsetMs : namedOffset(name);
  return {
    wallMs: (instantMs) => instantMs + offsetMs(instantMs),
    instantMs: (wallMs) => {
      const before = offsetMs(wallMs - DAY_MS);
      const after = offsetMs(wallMs + DAY_MS);
      const candidates = [wallMs - before, wallMs - after];
      const shown = candidates.filter((instant) => instant + offsetMs(instant) === wallMs);
      return shown.length === 0 ? wallMs - before : Math.min(...shown);
    },
  };
}

export function isZone(name: string): boolean {
  try {
    namedOffset(name);
    return true;
  } catch {
    return false;
  }
}

function localOffsetMs(instantMs: number): number {
  return -dateOf(instantMs).getTimezoneOffset() * 60_000;
}

function namedOffset(timeZone: string): (instantMs: number) => number {
  const format = new Intl.DateTimeFormat('en', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
  return (instantMs) => {
    const parts = new Map(format.formatToParts(instantMs).map(({ type, value }) => [type, value]));
    const of = (type: Intl.DateTimeFormatPartTypes): number =>
      Number(must(parts.get(type), 'the format has every part that it was asked for'));
    const day = startOfDay(of('year'), of('month'), of('day'));
    const shown = day + of('hour') * HOUR_MS + of('minute') * 60_000 + of('second') * 1000;
    return shown - Math.floor(instantMs / 1000) * 1000;
  };
}

/** Year, month (1 to 12) and day of a wall time. */
export function dayOf(wallMs: number): { year: number; month: number; day: number } {
  const date = dateOf(wallMs);
  return { year: date.getUTCFullYear(), month: date.getUTCMonth() + 1, day: date.getUTCDate() };
}

/** Wall time of a day's begin. A month before 1 or beyond 12 is of the year before or after. */
export function startOfDay(year: number, month: number, day: number): number {
  const date = dateOf(0);
  return date.setUTCFullYear(year, month - 1, day);
}

export function daysIn(year: number, month: number): number {
  return dayOf(startOfDay(year, month + 1, 0)).day;
}
