import { expect, test } from 'vitest';
import { LINK_LIMITS } from '../../../src/link-limits.ts';
import { WireCost } from '../../../src/mirror/policy/wire-cost.ts';

/** A far side that compresses to a fifth and costs 1500 bytes a batch. */
const wireOf = (bytes: number): number => 1500 + bytes / 5;

function learnt(sizes: readonly number[], inFlight: number): WireCost {
  const cost = new WireCost();
  let wire = 0;
  cost.begin(wire);
  for (const [index, bytes] of sizes.entries()) {
    // What is under way is on the wire before its receipt comes.
    const ahead = sizes.slice(index + 1, index + 1 + inFlight);
    wire += wireOf(bytes);
    const seen = wire + ahead.reduce((sum, one) => sum + wireOf(one), 0);
    cost.settled(bytes, seen, ahead.length === 0);
  }
  return cost;
}

test('large batches teach what bytes cost, small ones what a batch does', () => {
  const cost = learnt(
    Array.from({ length: 400 }, (_, index) => (index % 2 === 0 ? 200_000 : 500)),
    0,
  );
  expect(cost.of(100_000) / wireOf(100_000)).toBeCloseTo(1, 1);
  expect(cost.of(100) / wireOf(100)).toBeCloseTo(1, 1);
  expect(cost.bytesFor(cost.of(50_000))).toBe(50_000);
});

test('batches that go side by side are not taken for each other', () => {
  const cost = learnt(
    Array.from({ length: 400 }, (_, index) => (index % 2 === 0 ? 200_000 : 500)),
    1,
  );
  expect(cost.of(200_000)).toBeGreaterThan(wireOf(200_000) * 0.9);
  expect(cost.of(200_000)).toBeLessThan(wireOf(200_000) * 2.5);
});

test('a dearer stretch counts at once, a cheaper one little by little', () => {
  const cost = learnt([200_000], 0);
  const before = cost.of(100_000);
  expect(before).toBeLessThan(LINK_LIMITS.batchCostBytes + LINK_LIMITS.batchCostRatio * 100_000);
  cost.settled(100_000, 1_000_000, true);
  expect(cost.of(100_000)).toBeGreaterThan(900_000);
});
