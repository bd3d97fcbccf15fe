import { isoTime } from '../../time.ts';
import { formatDiskSize } from '../../units.ts';
import { CLASSES, type TopicClass } from '../selection.ts';
import type { Budget } from './budget.ts';
import type { HoldStatus } from './link-status.ts';
import type { MeteredRule, Way } from './metered.ts';
import type { Windows } from './windows.ts';

/** A hold without its begin. */
export type Hold = Omit<HoldStatus, 'sinceMs'>;

/** What the budgets, windows and the metered link hold back, class by class. */
export function holdsOf(
  budgets: readonly Budget[],
  windows: Windows,
  metered: { readonly rule: MeteredRule; readonly way: Way } | undefined,
  isClockSound: boolean,
): Hold[] {
  return [
    ...budgets.flatMap((budget) => budgetHold(budget)),
    ...windowHolds(windows, isClockSound),
    ...(metered === undefined ? [] : meteredHold(metered.rule, metered.way)),
  ];
}

function budgetHold(budget: Budget): Hold[] {
  const { rule, isOver, usedBytes, period, isOverdrawn } = budget;
  const classes = CLASSES.filter((one) => !rule.exempt.includes(one));
  if (!isOver || classes.length === 0) return [];
  const untilMs = period?.endMs;
  const what = isOverdrawn ? ', with what a record took that was too large for it' : '';
  const used = `${formatDiskSize(usedBytes)} of ${formatDiskSize(rule.bytes)}${what}`;
  const next = untilMs === undefined ? 'when the time is known' : `at ${isoTime(untilMs)}`;
  const reason = `the budget of this ${rule.per} is used up (${used}); the next one begins ${next}`;
  return [{ cause: 'over budget', classes, reason, untilMs }];
}

/** One for all classes that wait for the same moment. */
function windowHolds(windows: Windows, isClockSound: boolean): Hold[] {
  const waiting = new Map<number | undefined, TopicClass[]>();
  for (const topicClass of CLASSES) {
    const opening = windows.of(topicClass);
    if (opening === undefined || opening.isOpen) continue;
    const others = waiting.get(opening.untilMs) ?? [];
    waiting.set(opening.untilMs, [...others, topicClass]);
  }
  return [...waiting].map(([untilMs, classes]) => {
    const opens = untilMs === undefined ? 'never opens' : `opens at ${isoTime(untilMs)}`;
    const reason = isClockSound
      ? `the next window ${opens}`
      : 'the clock is not trusted, so no window is known to be open';
    return { cause: 'waiting for schedule', classes, reason, untilMs };
  });
}

function meteredHold({ action }: MeteredRule, { isMetered, device, by }: Way): Hold[] {
  if (!isMetered || typeof action === 'object') return [];
  const classes = action === 'pause' ? [...CLASSES] : CLASSES.filter((one) => one !== 'alarm');
  const why = by === 'name' ? 'by its name' : 'as NetworkManager says';
  const way = `the way to the far side, ${device ?? 'unknown'}, is metered (${why})`;
  const reason = action === 'sample' ? `${way}; what is sampled goes` : way;
  return [
    { cause: 'metered', classes, reason, untilMs: undefined, sparesSamples: action === 'sample' },
  ];
}
