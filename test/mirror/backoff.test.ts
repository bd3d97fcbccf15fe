import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { backoffCeilingMs, backoffMs } from '../../src/mirror/backoff.ts';
import { seededRandom } from '../../src/random.ts';

const limits = fc
  .tuple(fc.integer({ min: 1, max: 10_000 }), fc.integer({ min: 1, max: 100_000 }))
  .map(([firstMs, more]) => ({ firstMs, maxMs: firstMs + more }));
const attempts = fc.integer({ min: 0, max: 100_000 });

describe('backoff', () => {
  test('doubles from the first wait up to the cap', () => {
    const ceilings = [0, 1, 2, 3, 4, 5, 6, 7, 8, 1000].map((attempt) =>
      backoffCeilingMs(attempt, { firstMs: 250, maxMs: 30_000 }),
    );
    expect(ceilings).toEqual([250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
  });

  test('any wait is within its ceiling, and ceilings never fall nor pass the cap', () => {
    fc.assert(
      fc.property(limits, attempts, fc.integer(), (bounds, attempt, seed) => {
        const ceiling = backoffCeilingMs(attempt, bounds);
        const wait = backoffMs(attempt, bounds, seededRandom(seed));
        expect(wait).toBeGreaterThanOrEqual(0);
        expect(wait).toBeLessThan(ceiling);
        expect(ceiling).toBeLessThanOrEqual(bounds.maxMs);
        expect(ceiling).toBeGreaterThanOrEqual(backoffCeilingMs(Math.max(0, attempt - 1), bounds));
      }),
    );
  });

  test('jitter is full: waits spread over the whole of the ceiling', () => {
    const random = seededRandom(7);
    const waits = Array.from({ length: 1000 }, () =>
      backoffMs(3, { firstMs: 100, maxMs: 10_000 }, random),
    );
    const quarters = [0, 1, 2, 3].map(
      (quarter) => waits.filter((wait) => Math.floor(wait / 200) === quarter).length,
    );
    for (const count of quarters) expect(count).toBeGreaterThan(200);
  });

  test('attempts count from 0', () => {
    expect(() => backoffMs(-1, { firstMs: 1, maxMs: 2 }, seededRandom(1))).toThrow('count from 0');
  });
});
