import { describe, expect, test } from 'vitest';
import { dayOf, daysIn, isZone, startOfDay, zoneOf } from '../../src/calendar.ts';
import { CronMoments } from '../../src/cron.ts';

const HOUR = 3_600_000;
const berlin = zoneOf('Europe/Berlin');
const at = (text: string): number => Date.parse(text);
const shown = (text: string): number => Date.parse(`${text}Z`);

describe('a zone', () => {
  test.each([
    ['2026-01-15T12:00:00Z', '2026-01-15T13:00:00'],
    ['2026-07-15T12:00:00Z', '2026-07-15T14:00:00'],
    ['2026-07-15T12:00:00.250Z', '2026-07-15T14:00:00.250'],
  ])('%s shows %s', (instant, wall) => {
    expect(berlin.wallMs(at(instant))).toBe(shown(wall));
    expect(berlin.instantMs(shown(wall))).toBe(at(instant));
  });

  test('a time that never comes is as much later as the clock is set ahead', () => {
    expect(berlin.instantMs(shown('2026-03-29T02:30:00'))).toBe(at('2026-03-29T01:30:00Z'));
  });

  test('of a time that comes twice the first counts', () => {
    expect(berlin.instantMs(shown('2026-10-25T02:30:00'))).toBe(at('2026-10-25T00:30:00Z'));
  });

  test('the zone of the process is that of TZ', () => {
    const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
    const named = zoneOf(timeZone);
    for (let instant = at('2026-01-01T00:00:00Z'); instant < at('2027-01-01T00:00:00Z');) {
      expect(zoneOf().wallMs(instant)).toBe(named.wallMs(instant));
      instant += 36 * HOUR;
    }
  });

  test('names', () => {
    expect(isZone('Asia/Kathmandu')).toBe(true);
    expect(isZone('Mars/Olympus')).toBe(false);
  });
});

test('days and months', () => {
  expect(daysIn(2028, 2)).toBe(29);
  expect(daysIn(2026, 12)).toBe(31);
  expect(dayOf(startOfDay(2026, 0, 1))).toEqual({ year: 2025, month: 12, day: 1 });
  expect(dayOf(startOfDay(2026, 14, 1))).toEqual({ year: 2027, month: 2, day: 1 });
});

describe('cron moments', () => {
  const nightly = new CronMoments('30 2 * * *', berlin);

  test('the next and the last one', () => {
    const now = at('2026-06-10T12:00:00Z');
    expect(nightly.next(now)).toBe(at('2026-06-11T00:30:00Z'));
    expect(nightly.last(now, 24 * HOUR)).toBe(at('2026-06-10T00:30:00Z'));
    expect(nightly.last(now, 11 * HOUR)).toBeUndefined();
    expect(nightly.last(at('2026-06-10T00:30:00Z'), HOUR)).toBe(at('2026-06-10T00:30:00Z'));
    expect(nightly.next(at('2026-06-10T00:30:00Z'))).toBe(at('2026-06-11T00:30:00Z'));
  });

  test('the clock is set ahead over one: it comes as soon as it can, once', () => {
    const skipped = at('2026-03-29T01:30:00Z'); // 03:30 in summer time
    expect(nightly.next(at('2026-03-28T23:00:00Z'))).toBe(skipped);
    expect(nightly.next(skipped)).toBe(at('2026-03-30T00:30:00Z'));
    expect(nightly.last(at('2026-03-29T02:00:00Z'), 24 * HOUR)).toBe(skipped);
    expect(nightly.last(at('2026-03-29T01:10:00Z'), 30 * HOUR)).toBe(at('2026-03-28T01:30:00Z'));
  });

  test('the clock is set back over one: it comes once', () => {
    const first = at('2026-10-25T00:30:00Z');
    expect(nightly.next(at('2026-10-24T23:00:00Z'))).toBe(first);
    expect(nightly.next(first)).toBe(at('2026-10-26T01:30:00Z'));
    // The clock shows 02:10 for the second time.
    expect(nightly.last(at('2026-10-25T01:10:00Z'), 24 * HOUR)).toBe(first);
  });

  test('every minute, and what seldom comes', () => {
    const everyMinute = new CronMoments('* * * * *', berlin);
    const now = at('2026-10-25T00:59:30Z');
    expect(everyMinute.last(now, HOUR)).toBe(at('2026-10-25T00:59:00Z'));
    expect(new CronMoments('0 0 29 2 *', berlin).next(now)).toBe(at('2028-02-28T23:00:00Z'));
  });

  test('what is none is refused in words', () => {
    expect(() => new CronMoments('61 * * * *')).toThrow(/is no cron expression/u);
  });
});
