import { expect, test } from 'vitest';
import { zoneOf } from '../../../src/calendar.ts';
import { BudgetBook } from '../../../src/mirror/policy/budget-book.ts';
import type { BudgetRule } from '../../../src/mirror/policy/budget.ts';
import { LinkPolicy } from '../../../src/mirror/policy/link-policy.ts';
import { silentLogger } from '../../../src/telemetry.ts';
import { SimClock } from '../../support/sim-clock.ts';
import { memorySpace } from './memory-space.ts';
import { NO_RULES } from './policy-rig.ts';

/** A mirror that a reload replaces is built while the one before still sends. */
test('a policy begins with what the one before used until its end', async () => {
  const hourly: BudgetRule = { per: 'hour', resets: 0, bytes: 1_000_000, exempt: [] };
  const clock = new SimClock();
  const space = memorySpace();
  const rules = [hourly];
  const before = await BudgetBook.load({
    space,
    rules,
    zone: zoneOf('UTC'),
    logger: silentLogger,
  });
  before.look(clock.nowMs());
  const fresh = await LinkPolicy.load({
    name: 'central',
    rules: { ...NO_RULES, budgets: rules },
    samples: false,
    space,
    clock,
    isClockSound: () => true,
    logger: silentLogger,
    askKernel: () => Promise.resolve(undefined),
  });
  before.charge(400_000);
  await before.close();
  await fresh.start(() => {});
  expect(fresh.status().budgets.map(({ usedBytes }) => usedBytes)).toEqual([400_000]);
  await clock.settled(fresh.stop());
});
