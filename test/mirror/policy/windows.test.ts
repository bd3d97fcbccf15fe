import { describe, expect, test } from 'vitest';
import { zoneOf } from '../../../src/calendar.ts';
import { Windows } from '../../../src/mirror/policy/windows.ts';

const berlin = zoneOf('Europe/Berlin');
const at = (text: string): number => Date.parse(text);
const HOUR = 3_600_000;
const MINUTE = 60_000;

/** The stretches in which bulk may be sent, looked at every minute. */
function openings(windows: Windows, fromMs: number, toMs: number): string[] {
  const found: string[] = [];
  let since: number | undefined;
  for (let now = fromMs; now <= toMs; now += MINUTE) {
    windows.look(now);
    const isOpen = windows.of('bulk')?.isOpen === true;
    if (isOpen) since ??= now;
    else if (since !== undefined) {
      found.push(`${new Date(since).toISOString()} ${(now - since) / HOUR}h`);
      since = undefined;
    }
  }
  return found;
}

describe('a window', () => {
  const nightly = () =>
    new Windows([{ from: '0 2 * * *', forMs: 3 * HOUR, classes: ['bulk'] }], berlin);

  test('is open from its moment on for its time, each day of a week', () => {
    const found = openings(nightly(), at('2026-06-01T12:00:00Z'), at('2026-06-08T12:00:00Z'));
    expect(found).toEqual([2, 3, 4, 5, 6, 7, 8].map((day) => `2026-06-0${day}T00:00:00.000Z 3h`));
  });

  test('binds the classes that it names', () => {
    const windows = nightly();
    windows.look(at('2026-06-01T12:00:00Z'));
    expect(windows.of('alarm')).toBeUndefined();
    expect(windows.of('bulk')).toEqual({ isOpen: false, untilMs: at('2026-06-02T00:00:00Z') });
    windows.look(at('2026-06-02T01:00:00Z'));
    expect(windows.of('bulk')).toEqual({ isOpen: true, untilMs: at('2026-06-02T03:00:00Z') });
  });

  test('the nights on which the clock is shifted have their window, once', () => {
    expect(openings(nightly(), at('2026-03-28T12:00:00Z'), at('2026-03-29T12:00:00Z'))).toEqual([
      '2026-03-29T01:00:00.000Z 3h', // 03:00 in summer time: there was no 02:00
    ]);
    expect(openings(nightly(), at('2026-10-24T12:00:00Z'), at('2026-10-25T12:00:00Z'))).toEqual([
      '2026-10-25T00:00:00.000Z 3h',
    ]);
  });

  test('without a time that is known none is open', () => {
    const windows = nightly();
    windows.look(at('2026-06-02T01:00:00Z'));
    windows.look(undefined);
    expect(windows.of('bulk')).toEqual({ isOpen: false, untilMs: undefined });
    windows.look(at('2026-06-02T01:00:30Z'));
    expect(windows.of('bulk')?.isOpen).toBe(true);
  });

  test('follows a clock that goes back or ahead', () => {
    const windows = nightly();
    windows.look(at('2026-06-02T01:00:00Z'));
    windows.look(at('2026-06-01T23:00:00Z'));
    expect(windows.of('bulk')).toEqual({ isOpen: false, untilMs: at('2026-06-02T00:00:00Z') });
    windows.look(at('2026-07-02T02:00:00Z'));
    expect(windows.of('bulk')).toEqual({ isOpen: true, untilMs: at('2026-07-02T03:00:00Z') });
  });

  test('one that opens again before it closes stays open; of two any one will do', () => {
    const overlapping = new Windows(
      [{ from: '0 * * * *', forMs: 2 * HOUR, classes: undefined }],
      berlin,
    );
    expect(openings(overlapping, at('2026-06-01T12:00:00Z'), at('2026-06-02T12:00:00Z'))).toEqual(
      [],
    );
    expect(overlapping.of('alarm')?.isOpen).toBe(true);
    const two = new Windows(
      [
        { from: '0 2 * * *', forMs: HOUR, classes: ['bulk'] },
        { from: '0 12 * * 6,0', forMs: 2 * HOUR, classes: undefined },
      ],
      berlin,
    );
    const found = openings(two, at('2026-06-06T00:30:00Z'), at('2026-06-08T00:30:00Z'));
    expect(found).toEqual([
      '2026-06-06T00:30:00.000Z 0.5h',
      '2026-06-06T10:00:00.000Z 2h',
      '2026-06-07T00:00:00.000Z 1h',
      '2026-06-07T10:00:00.000Z 2h',
    ]);
  });
});
