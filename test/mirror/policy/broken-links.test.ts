import { expect, test } from 'vitest';
import { must } from '../../../src/assert.ts';
import { GatelogError } from '../../../src/errors.ts';
import type { BudgetRule } from '../../../src/mirror/policy/budget.ts';
import { LONG_MS } from '../mirror-rig.ts';
import { policyRig } from './policy-rig.ts';

/** A link that breaks while its policy has a batch wait. */
const HOURLY: BudgetRule = { bytes: 100_000, per: 'hour', resets: 0, exempt: [] };

test('a session that breaks while a batch waits for receipts is ended, and another is begun', async () => {
  const rig = policyRig({ fate: () => 'silent' });
  const { clock, log, wired } = rig;
  const stream = must(log.topic('telemetry').streams[0], 'a topic has a partition');
  for (let offset = 0; offset < 200; offset++) log.add(stream, `${offset}`.padEnd(1000, '.'));
  const mirror = await rig.start({ budgets: [HOURLY] });
  // So much is under way that the budget does not reach for more, unless it turns out to be less.
  await clock.until(() => wired.written.length > 0);
  await clock.advance(1000);
  expect(mirror.status().state).toBe('catching up');
  wired.breakSession(new GatelogError('UPSTREAM_UNREACHABLE', 'the link broke'));
  wired.options = { ...wired.options, fate: () => 'ok' };
  await clock.advance(LONG_MS);
  expect(wired.connects.length).toBeGreaterThan(1);
  await clock.settled(mirror.stop());
});
