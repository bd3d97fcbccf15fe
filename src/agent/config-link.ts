import { z } from 'zod';
import { isZone } from '../calendar.ts';
import { isCronExpression } from '../cron.ts';
import { LINK_LIMITS } from '../link-limits.ts';
import type { BudgetRule } from '../mirror/policy/budget.ts';
import type { MeteredAction, MeteredRule } from '../mirror/policy/metered.ts';
import { PERIOD_UNITS, type PeriodUnit } from '../mirror/policy/period.ts';
import type { LinkRules } from '../mirror/policy/policy-options.ts';
import type { WindowRule } from '../mirror/policy/windows.ts';
import { CLASSES } from '../mirror/selection.ts';
import { parseRate } from '../units.ts';
import { isCron } from './config-forms.ts';
import { duration, flag, integer, leaf, oneOf, section, size, text } from './config-leaves.ts';

/** The part of the schema that says what a mirror's link may cost. */

const RATE_EXPECTED = 'a rate from 16kbit/s to 100Gbit/s, such as 512kbit/s';

function rateOf(value: unknown): number | undefined {
  const rate = typeof value === 'string' ? parseRate(value) : undefined;
  if (rate === undefined) return undefined;
  return rate >= LINK_LIMITS.rateBitsMin && rate <= LINK_LIMITS.rateBitsMax ? rate : undefined;
}

const classes = z.array(oneOf(CLASSES));

/** Of `resets`: its range and its default. */
const RESETS: Readonly<Record<PeriodUnit, { min: number; max: number; usual: number }>> = {
  hour: { min: 0, max: 59, usual: 0 },
  day: { min: 0, max: 23, usual: 0 },
  month: { min: 1, max: 31, usual: 1 },
};

const budgetSection: z.ZodType<BudgetRule> = section({
  bytes: size(
    { min: LINK_LIMITS.budgetBytesMin, max: 1024 ** 5 },
    'from 100kB to 1024TiB, such as 500MB',
  ),
  per: oneOf(PERIOD_UNITS),
  resets: integer({ min: 0, max: 59 }).optional(),
  exempt: classes.default([]),
}).transform(({ bytes, per, resets, exempt }, context): BudgetRule => {
  const { min, max, usual } = RESETS[per];
  if (resets !== undefined && (resets < min || resets > max)) {
    context.issues.push({
      code: 'custom',
      message: `a whole number from ${min} to ${max} with per: ${per}`,
      path: ['resets'],
      input: undefined,
      params: { found: String(resets) },
    });
  }
  return { bytes, per, resets: resets ?? usual, exempt };
});

const windowSection: z.ZodType<WindowRule> = section({
  from: text(
    'a cron expression of five fields, such as "0 2 * * *"',
    (value) => isCron(value) && isCronExpression(value),
  ),
  for: duration(
    { min: LINK_LIMITS.windowMsMin, max: LINK_LIMITS.windowMsMax },
    'from 1m to 7d, such as 3h',
  ),
  classes: classes.min(1, 'at least one class').optional(),
}).transform((window) => ({ from: window.from, forMs: window.for, classes: window.classes }));

function actionOf(value: unknown): MeteredAction | undefined {
  if (value === 'pause' || value === 'alarms-only' || value === 'sample') return value;
  if (typeof value !== 'object' || value === null || !('cap' in value)) return undefined;
  const cap = Object.keys(value).length === 1 ? rateOf(value.cap) : undefined;
  return cap === undefined ? undefined : { capBitsPerSecond: cap };
}

const meteredSection: z.ZodType<MeteredRule> = section({
  interfaces: z
    .array(text('the name of an interface, such as wwan0 or "ppp*"', isInterface))
    .max(LINK_LIMITS.meteredPatterns, `at most ${LINK_LIMITS.meteredPatterns}`)
    .default([]),
  networkManager: flag().default(true),
  // oxlint-disable-next-line unicorn/no-thenable -- an option's name, read once and not awaited
  then: leaf('pause, alarms-only, sample or {cap: RATE}', actionOf).default('alarms-only'),
}).transform((metered) => ({
  interfaces: metered.interfaces,
  networkManager: metered.networkManager,
  action: metered.then,
}));

function isInterface(value: string): boolean {
  return /^[^\s/]{1,15}$/u.test(value);
}

export const linkSection: z.ZodType<LinkRules> = section({
  rate: leaf(RATE_EXPECTED, rateOf).optional(),
  budget: z
    .array(budgetSection)
    .max(LINK_LIMITS.budgetsMax, `at most ${LINK_LIMITS.budgetsMax}`)
    .default([]),
  windows: z
    .array(windowSection)
    .max(LINK_LIMITS.windowsMax, `at most ${LINK_LIMITS.windowsMax}`)
    .default([]),
  metered: meteredSection.optional(),
  zone: text('a time zone, such as Europe/Berlin', isZone).optional(),
}).transform(({ rate, budget, windows, metered, zone }) => ({
  bitsPerSecond: rate,
  budgets: budget,
  windows,
  metered,
  zone,
}));
