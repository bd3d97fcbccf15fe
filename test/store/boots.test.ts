import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { TrustState } from '../../src/clock-status.ts';
import { LIMITS } from '../../src/limits.ts';
import { Boots, unpackBoots, type ClockStamp } from '../../src/store/boots.ts';
import {
  isGiven,
  packClock,
  readClock,
  type CommitClock,
  type GivenTimes,
} from '../../src/store/commit-clock.ts';
import { packed } from '../../src/store/pack.ts';
import { unpackedList } from '../../src/store/unpack.ts';

const START = Date.UTC(2026, 4, 1);
const DAY = 86_400_000;

/** What a machine lived through, as it truly was: boots, how long off before each, what its clock showed. */
const life = fc.array(
  fc.record({
    offMs: fc.nat(30 * DAY),
    upMs: fc.integer({ min: 100, max: 10 * DAY }),
    /** The wall clock's fault; -1e12: it is in 1994 or so. */
    wrongMs: fc.oneof(
      fc.constant(0),
      fc.constant(-1_500_000_000_000),
      fc.integer({ min: -2e11, max: 2e11 }),
    ),
    commits: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 5 }),
    learns: fc.boolean(),
  }),
  { minLength: 1, maxLength: 8 },
);

interface Lived {
  readonly stamp: ClockStamp;
  readonly trueMs: number;
  readonly learned: boolean;
}

function live(boots: Boots, lives: typeof life extends fc.Arbitrary<infer T> ? T : never): Lived[] {
  const lived: Lived[] = [];
  let trueMs = START;
  for (const [index, { offMs, upMs, wrongMs, commits, learns }] of lives.entries()) {
    trueMs += offMs;
    const { boot } = boots.begin(`boot ${index}`, 0);
    for (const share of commits.toSorted((left, right) => left - right)) {
      const monoMs = Math.floor(share * upMs);
      const wallMs = trueMs + monoMs + wrongMs;
      const trust: TrustState = wallMs < LIMITS.clockEarliestMs ? 'suspect' : 'unconfirmed';
      const stamp = { boot: boot.number, monoMs, wallMs, trust };
      boots.note(stamp);
      lived.push({ stamp, trueMs: trueMs + monoMs, learned: learns });
    }
    if (learns) boot.knownMs = trueMs;
    trueMs += upMs;
  }
  return lived;
}

test('an age is never more than it truly is, is exact between known boots, and grows', () => {
  fc.assert(
    fc.property(life, (lives) => {
      const boots = new Boots();
      const lived = live(boots, lives);
      for (const [at, now] of lived.entries()) {
        let previous = Infinity;
        for (const { stamp, trueMs, learned } of lived.slice(0, at + 1)) {
          const age = boots.ageMs(stamp, now.stamp);
          expect(age).toBeLessThanOrEqual(now.trueMs - trueMs);
          expect(age).toBeLessThanOrEqual(previous);
          const isExact = learned && now.learned;
          expect(age).toBeGreaterThanOrEqual(isExact ? now.trueMs - trueMs : 0);
          previous = age;
        }
      }
    }),
  );
});

test('times of boots that learned theirs are true; what they became has a bound that only grows', () => {
  fc.assert(
    fc.property(life, (lives) => {
      const boots = new Boots();
      let bound = -1;
      for (const { stamp, trueMs, learned } of live(boots, lives)) {
        const correction = boots.correction(stamp);
        const bestMs = stamp.wallMs + (correction?.deltaMs ?? 0);
        const trust = correction?.trust;
        const wrongMs = learned ? Math.abs(bestMs - trueMs) : 0;
        expect(wrongMs).toBeLessThan(LIMITS.clockToleranceMs);
        expect(trust === 'estimated').toBe(!learned && stamp.trust === 'suspect');
        const latest = boots.latestMs(stamp);
        expect(latest).toBeGreaterThanOrEqual(bound);
        // What was moved back stays below what it was first noted with.
        const movedAhead = (correction?.deltaMs ?? 0) > 0;
        expect(latest).toBeGreaterThanOrEqual(movedAhead ? bestMs : -1);
        bound = latest;
      }
    }),
  );
});

test('boots come back from their packed form, the newest of two words counting', () => {
  const boots = new Boots();
  boots.begin('a', 5);
  boots.begin('b', 7);
  boots.begin('b', 3); // A monotonic clock that ran back: another life.
  const { last } = boots;
  expect(last?.number).toBe(3);
  const again = new Boots();
  again.restore(boots.packed());
  expect(again.packed()).toEqual(boots.packed());
  again.note({ boot: 3, monoMs: 50, wallMs: 0, trust: 'suspect' });
  again.restore(boots.packed(1));
  expect(again.last).toMatchObject({ number: 3, id: 'b', firstMs: 3, lastMs: 50, doubtMs: 50 });
  expect(again.begin('b', 60).isNew).toBe(false);
  expect(again.begin('b', 49).isNew).toBe(true);
});

test('a commit of a boot that nothing tells of takes its number, and has its own time only', () => {
  const boots = new Boots();
  const stamp = { boot: 7, monoMs: 100, wallMs: 20_000, trust: 'suspect' } as const;
  expect(boots.correction(stamp)).toEqual({ trust: 'estimated', deltaMs: 0 });
  boots.note(stamp);
  expect(boots.begin('c', 0).boot.number).toBe(8);
});

test('only so many boots are kept, and what is older than they are has the age of the oldest', () => {
  const boots = new Boots();
  for (let index = 0; index < LIMITS.clockBoots + 10; index++) {
    const { boot } = boots.begin(`boot ${index}`, 0);
    boots.note({ boot: boot.number, monoMs: 10, wallMs: START, trust: 'trusted' });
  }
  expect(boots.packed()).toHaveLength(LIMITS.clockBoots);
  const last = {
    boot: boots.last?.number ?? 0,
    monoMs: 10,
    wallMs: START,
    trust: 'trusted',
  } as const;
  expect(boots.ageMs({ ...last, boot: 1 }, last)).toBe(10 * LIMITS.clockBoots);
});

const roundTrip = (clock: CommitClock, minTime: number, count: number): CommitClock | undefined => {
  const head = packed([packClock(clock, minTime)]);
  return readClock(unpackedList(head)?.[0] ?? null, minTime, count);
};
const plain = (given: GivenTimes | undefined): unknown =>
  given instanceof Uint8Array ? [...given] : given;

test('the clocks of a commit take few bytes and come back', () => {
  const clock = fc.record({
    stamp: fc.record({
      boot: fc.nat(100_000),
      monoMs: fc.nat(1e12),
      wallMs: fc.nat(4e12),
      trust: fc.constantFrom<TrustState>('trusted', 'unconfirmed', 'suspect'),
    }),
    given: fc.oneof(
      fc.constantFrom('none' as const, 'all' as const),
      fc.uint8Array({ minLength: 5, maxLength: 5 }),
    ),
  });
  fc.assert(
    fc.property(clock, fc.integer({ min: -1e12, max: 4e12 }), (value, minTime) => {
      const read = roundTrip(value, minTime, 40);
      expect(read?.stamp).toEqual(value.stamp);
      expect(plain(read?.given)).toEqual(plain(value.given));
    }),
  );
  const stamp = { boot: 5, monoMs: 30 * DAY, wallMs: START + 3, trust: 'trusted' } as const;
  expect(packClock({ stamp, given: 'none' }, START)).toHaveLength(7);
  expect(isGiven(new Uint8Array([0b101]), 2)).toBe(true);
  expect(isGiven(new Uint8Array([0b101]), 1)).toBe(false);
});

test('bytes that are no clocks are none', () => {
  const bits = new Uint8Array([1]);
  for (const malformed of [
    new Uint8Array([3, 0, 0]), // No such trust.
    new Uint8Array([12, 0, 0]), // No such kind.
    new Uint8Array([0, 0]),
    new Uint8Array([0, 0, 0, 0]),
    new Uint8Array([0x80]),
    new Uint8Array([8, 0, 0]), // Some are given, and which is not said.
    [new Uint8Array([8, 0, 0]), new Uint8Array(2)],
    [new Uint8Array([0, 0, 0]), bits],
    'text',
    7,
    [],
  ]) {
    expect(readClock(malformed, 0, 1)).toBeUndefined();
  }
  expect(readClock([new Uint8Array([8, 0, 0]), bits], 0, 1)?.given).toBe(bits);
  const boot = [1, 'id', 2, 3, null, 5, -1, 7, 2, 3, 7, 2, 3];
  expect(unpackBoots([boot])).toEqual([boot]);
  for (const [at, wrong] of [
    [0, -1],
    [1, 7],
    [2, 'x'],
    [3, 0.5],
    [4, 'x'],
    [5, 0.5],
    [6, null],
    [7, 0.5],
    [8, null],
    [9, 'x'],
    [12, 0.5],
  ] as const) {
    expect(unpackBoots([boot.with(at, wrong)])).toBeUndefined();
  }
  // As older versions wrote it.
  expect(unpackBoots([boot.slice(0, 7)])).toEqual([[...boot.slice(0, 7), null]]);
  expect(unpackBoots([boot.slice(0, 8)])).toEqual([boot.slice(0, 8)]);
  expect(unpackBoots([boot.slice(0, 10)])).toEqual([boot.slice(0, 10)]);
  expect(unpackBoots([boot.slice(0, 12)])).toBeUndefined();
  const many = Array.from({ length: 3 * LIMITS.clockReturns }, () => 1);
  expect(unpackBoots([[...boot.slice(0, 10), ...many]])).toHaveLength(1);
  expect(unpackBoots([[...boot, ...many]])).toBeUndefined();
  expect(unpackBoots([7])).toBeUndefined();
  expect(unpackBoots(null)).toBeUndefined();
});
