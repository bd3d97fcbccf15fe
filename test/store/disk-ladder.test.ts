import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DiskLadder, unitOf } from '../../src/store/disk-ladder.ts';
import { LADDER_STEPS, type LadderStep } from '../../src/store/log.ts';

const MIB = 1_048_576;
/** In units of room: below it the step begins, from here on it ends. */
const ENTER = [Infinity, 10, 5, 3, 1] as const;
const LEAVE = [Infinity, 12, 7, 4, 2] as const;
const levelOf = (step: LadderStep): number => LADDER_STEPS.indexOf(step);

test('a disk that fills and empties passes every step, down and up, each with hysteresis', () => {
  const ladder = new DiskLadder();
  const seen: string[] = [];
  const walk = (rooms: readonly number[]): void => {
    for (const room of rooms) {
      const change = ladder.observe(room, 1);
      if (change !== undefined) seen.push(`${room}: ${change.from} > ${change.to}`);
    }
  };
  walk([20, 10, 9.9, 11.9, 5, 4.9, 6.9, 3, 2.9, 3.9, 1, 0.9, -5, 1.9]);
  walk([2, 3.9, 4, 6.9, 7, 11.9, 12, 10]);
  expect(seen).toEqual([
    '9.9: ok > warn',
    '4.9: warn > drop-mirrored',
    '2.9: drop-mirrored > drop-unmirrored',
    '0.9: drop-unmirrored > refuse',
    '2: refuse > drop-unmirrored',
    '4: drop-unmirrored > drop-mirrored',
    '7: drop-mirrored > warn',
    '12: warn > ok',
  ]);
  expect(ladder.entered).toEqual({
    ok: 0,
    warn: 1,
    'drop-mirrored': 1,
    'drop-unmirrored': 1,
    refuse: 1,
  });
});

test('room that is gone at once leads to refuse at once, and the steps between count', () => {
  const ladder = new DiskLadder();
  expect(ladder.observe(-1, 1)).toEqual({ from: 'ok', to: 'refuse' });
  expect(ladder.reached('drop-mirrored')).toBe(true);
  expect(ladder.entered).toMatchObject({ warn: 1, 'drop-mirrored': 1, refuse: 1 });
  expect(ladder.observe(100, 1)).toEqual({ from: 'refuse', to: 'ok' });
  expect(ladder.reached('warn')).toBe(false);
});

describe('whatever the room does', () => {
  const rooms = fc.array(fc.double({ min: -3, max: 15, noNaN: true }), { maxLength: 60 });

  test('the step fits the room, and nothing changes between the two bounds of a step', () => {
    fc.assert(
      fc.property(rooms, fc.integer({ min: 1, max: 64 * MIB }), (list, unit) => {
        const ladder = new DiskLadder();
        for (const room of list) {
          const before = levelOf(ladder.step);
          const change = ladder.observe(room * unit, unit);
          const at = levelOf(ladder.step);
          expect(change === undefined).toBe(at === before);
          const measured = (room * unit) / unit;
          for (let worse = at + 1; worse < ENTER.length; worse++) {
            expect(measured).toBeGreaterThanOrEqual(ENTER[worse] ?? 0);
          }
          // Within its bounds; and it moved only over the bound of the step that it left or took.
          expect(at === 0 || measured < (LEAVE[at] ?? 0)).toBe(true);
          expect(at <= before || measured < (ENTER[at] ?? 0)).toBe(true);
          expect(at >= before || measured >= (LEAVE[before] ?? 0)).toBe(true);
        }
      }),
    );
  });

  test('the same room twice changes nothing the second time', () => {
    fc.assert(
      fc.property(rooms, (list) => {
        const ladder = new DiskLadder();
        for (const room of list) {
          ladder.observe(room, 1);
          expect(ladder.observe(room, 1)).toBeUndefined();
        }
      }),
    );
  });
});

test('a unit is a 128th of the disk, from 1 MiB to 64 MiB', () => {
  expect([MIB, 64 * MIB, 1024 * MIB, 32 * 1024 * MIB].map(unitOf)).toEqual([
    MIB,
    MIB,
    8 * MIB,
    64 * MIB,
  ]);
});
