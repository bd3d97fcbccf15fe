import { expect, test } from 'vitest';
import { LINK_LIMITS } from '../../../src/link-limits.ts';
import { WireCost } from '../../../src/mirror/policy/wire-cost.ts';
import { seededRandom } from '../../../src/random.ts';

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

test.each([4000, 8000, 16_000, 25_000])(
  'under a cap of %i bytes a batch grows to what the cap lets through, though small ones are all it knows',
  (wireBytes) => {
    const cost = new WireCost();
    let wire = 0;
    let bytes = 0;
    cost.begin(wire);
    for (let batch = 0; batch < 100; batch++) {
      bytes = Math.max(cost.bytesFor(wireBytes), LINK_LIMITS.policyBatchBytesMin);
      wire += wireOf(bytes);
      cost.settled(bytes, wire, true);
    }
    expect(wireOf(bytes) / wireBytes).toBeCloseTo(1, 1);
  },
);

test('what a link at rest carries between small batches does not make large ones look cheap, nor very dear', () => {
  const random = seededRandom(1);
  const cost = new WireCost();
  let wire = 0;
  cost.begin(wire);
  for (let batch = 0; batch < 3000; batch++) {
    wire += wireOf(10_000) + random.next() * 10_000;
    cost.settled(10_000, wire, true);
  }
  expect(cost.of(500_000)).toBeGreaterThan(wireOf(500_000));
  expect(cost.of(500_000)).toBeLessThan(16_384 + LINK_LIMITS.batchCostRatio * 500_000);
});
