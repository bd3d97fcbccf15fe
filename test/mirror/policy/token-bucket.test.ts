import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { TokenBucket } from '../../../src/mirror/policy/token-bucket.ts';
import { SimClock } from '../../support/sim-clock.ts';

const KBIT64 = 64_000;

function taken(bucket: TokenBucket, clock: SimClock, sizes: readonly number[]) {
  const gone: { atMs: number; bytes: number }[] = [];
  for (const bytes of sizes) {
    bucket.take(bytes, () => gone.push({ atMs: clock.monotonicMs(), bytes }));
  }
  return gone;
}

describe('a bucket', () => {
  test('gives its burst at once, and then by its rate, in order', async () => {
    const clock = new SimClock();
    const bucket = new TokenBucket(clock, KBIT64);
    const gone = taken(bucket, clock, [1500, 1500, 1000, 400]);
    expect(gone).toHaveLength(2);
    await clock.advance(1000);
    expect(gone.map(({ bytes }) => bytes)).toEqual([1500, 1500, 1000, 400]);
    expect(gone[2]?.atMs).toBeCloseTo(125, 5);
    expect(gone[3]?.atMs).toBeCloseTo(175, 5);
  });

  test('one that is larger than the burst leaves a debt', async () => {
    const clock = new SimClock();
    const bucket = new TokenBucket(clock, KBIT64);
    const gone = taken(bucket, clock, [11_000, 1]);
    await clock.advance(900);
    expect(gone).toHaveLength(1);
    expect(bucket.debtMs).toBeCloseTo(100, 5);
    await clock.advance(101);
    expect(gone).toHaveLength(2);
  });

  test('what is charged afterwards is paid off first', async () => {
    const clock = new SimClock();
    const bucket = new TokenBucket(clock, KBIT64);
    bucket.charge(3000 + 8000);
    const gone = taken(bucket, clock, [800]);
    await clock.advance(1099);
    expect(gone).toHaveLength(0);
    await clock.advance(2);
    expect(gone).toHaveLength(1);
  });

  test('another rate counts at once, and without one nobody waits', async () => {
    const clock = new SimClock();
    const bucket = new TokenBucket(clock, KBIT64);
    const gone = taken(bucket, clock, [3000, 80_000, 8000]);
    await clock.advance(100);
    expect(gone).toHaveLength(1);
    bucket.setRate(800_000);
    await clock.advance(100);
    expect(gone).toHaveLength(2);
    bucket.setRate(undefined);
    expect(gone).toHaveLength(3);
    // A cap that comes later begins empty, and with no debt of the time before.
    bucket.charge(1_000_000);
    bucket.setRate(KBIT64);
    expect(bucket.debtMs).toBe(0);
  });

  test('taking again while one is given keeps the order', async () => {
    const clock = new SimClock();
    const bucket = new TokenBucket(clock, KBIT64);
    const order: number[] = [];
    bucket.charge(3000);
    bucket.take(10, () => {
      order.push(1);
      bucket.take(10, () => order.push(3));
    });
    bucket.take(3000, () => order.push(2));
    await clock.advance(10_000);
    expect(order).toEqual([1, 2, 3]);
  });
});

test('in any stretch of time no more is given than the burst and what the rate makes of it, and all is given', async () => {
  const step = fc.record({
    waitMs: fc.integer({ min: 0, max: 3000 }),
    sizes: fc.array(fc.integer({ min: 1, max: 3000 }), { maxLength: 6 }),
    charge: fc.integer({ min: 0, max: 2000 }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 8000, max: 2_000_000 }),
      fc.array(step, { minLength: 1, maxLength: 20 }),
      async (rate, steps) => {
        const clock = new SimClock();
        const bucket = new TokenBucket(clock, rate);
        const gone: { atMs: number; bytes: number }[] = [];
        let asked = 0;
        for (const { waitMs, sizes, charge } of steps) {
          bucket.charge(charge);
          gone.push({ atMs: clock.monotonicMs(), bytes: 0 });
          for (const bytes of sizes) {
            asked++;
            bucket.take(bytes, () => gone.push({ atMs: clock.monotonicMs(), bytes }));
          }
          await clock.advance(waitMs);
        }
        await clock.advance(10_000_000);
        const given = gone.filter(({ bytes }) => bytes > 0);
        expect(given).toHaveLength(asked);
        for (const [from, first] of given.entries()) {
          let sum = 0;
          for (const { atMs, bytes } of given.slice(from)) {
            sum += bytes;
            const most = bucket.burstBytes + ((atMs - first.atMs) * rate) / 8000;
            expect(sum).toBeLessThanOrEqual(most + 0.001);
          }
        }
      },
    ),
    { numRuns: 60 },
  );
});
