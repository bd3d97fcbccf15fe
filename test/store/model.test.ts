import fc from 'fast-check';
import { expect, test } from 'vitest';
import { History, PARTITIONS } from '../support/log-history.ts';
import { inMemory } from '../support/store-kit.ts';

type Step = (history: History) => Promise<void>;

const partition = fc.nat(PARTITIONS - 1);
const several = fc.array(partition, { minLength: 1, maxLength: 30 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(several, fc.constantFrom(0, 3, 40, 400, 3000)).map(
      ([partitions, size]): Step =>
        (history) =>
          history.append(partitions, size),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(partition, fc.nat(10)).map(
      ([index, sequence]): Step =>
        (history) =>
          history.appendOnce(index, sequence),
    ),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 5000 })).map(
      ([records, bytes]): Step =>
        (history) =>
          history.read(records, bytes),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(partition, fc.nat(1000)).map(
      ([index, time]): Step =>
        (history) =>
          history.findTime(index, time),
    ),
  },
  { weight: 1, arbitrary: fc.constant<Step>((history) => history.reopen()) },
  { weight: 1, arbitrary: fc.constant<Step>((history) => history.retain()) },
);

test('any history of appends, repeats, reads, searches, reopenings and retention', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), fc.nat(1000), async (steps, seed) => {
      const place = await inMemory.make();
      const history = new History(place, await place.open({ segmentBytes: 3000 }), seed);
      for (const take of steps) await take(history);
      const { found, expected } = await history.end();
      expect(found).toEqual(expected);
    }),
    { numRuns: 200 },
  );
}, 120_000);
