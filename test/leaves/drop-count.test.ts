import { beforeEach, expect, test } from 'vitest';
import { DropCount } from '../../src/drop-count.ts';
import { LIMITS } from '../../src/limits.ts';
import type { Loss } from '../../src/loss.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { SimClock } from '../support/sim-clock.ts';

let clock: SimClock;
let written: Loss[][];
let failing: boolean;
let drops: DropCount;

beforeEach(() => {
  clock = new SimClock();
  written = [];
  failing = false;
  const record = async (losses: readonly Loss[]): Promise<void> => {
    if (failing) throw new Error('the disk is full');
    written.push([...losses]);
  };
  drops = new DropCount({ record, clock, logger: silentLogger });
});

const counts = (): string[][] =>
  written.map((losses) =>
    losses.map(({ topic, records, bytes, detail }) => `${topic} ${records} ${bytes} ${detail}`),
  );

test('counts gather for a while, by topic and cause, and go to the ledger together', async () => {
  drops.add('a', 10, 'full');
  drops.add('a', 5, 'full');
  drops.add('b', 1, 'full');
  drops.add('a', 1, 'broken');
  await clock.advance(LIMITS.dropCountMs - 1);
  expect(written).toEqual([]);
  await clock.advance(1);
  expect(counts()).toEqual([['a 2 15 full', 'b 1 1 full', 'a 1 1 broken']]);
  expect(written[0]?.[0]).toMatchObject({
    reason: 'pressure',
    partition: undefined,
    mirror: undefined,
  });
  await clock.advance(10 * LIMITS.dropCountMs);
  expect(written).toHaveLength(1);
  expect(drops.records).toBe(4);
});

test('what the ledger does not take waits, and nothing is counted twice', async () => {
  failing = true;
  drops.add('a', 10, 'full');
  await clock.advance(3 * LIMITS.dropCountMs);
  drops.add('a', 1, 'full');
  failing = false;
  await clock.advance(LIMITS.dropCountMs);
  expect(counts()).toEqual([['a 2 11 full']]);
});

test('closing writes what is left', async () => {
  drops.add('a', 10, 'full');
  await drops.close();
  expect(counts()).toEqual([['a 1 10 full']]);
  await drops.close();
  expect(written).toHaveLength(1);
});
