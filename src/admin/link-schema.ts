import type {
  BudgetStatus,
  HoldStatus,
  LinkStatus,
  MeteredStatus,
  WindowStatus,
} from '../mirror/policy/link-status.ts';
import { HOLD_CAUSES } from '../mirror/policy/link-status.ts';
import { PERIOD_UNITS } from '../mirror/policy/period.ts';
import { CLASSES } from '../mirror/selection.ts';
import {
  AMOUNT,
  arrayOf,
  COUNT,
  FLAG,
  type Form,
  NUMBER,
  objectOf,
  oneOf,
  orNull,
  TEXT,
} from './schema-forms.ts';

const CLASS_LIST: Form = arrayOf(oneOf(CLASSES));

const BUDGET: Form = objectOf<BudgetStatus>({
  per: [oneOf(PERIOD_UNITS), 'How long a period is.'],
  bytes: [COUNT, 'What it allows.'],
  usedBytes: [COUNT, 'Of this period.'],
  over: [FLAG, 'Nothing but exempt classes is sent before the period ends.'],
  exempt: [CLASS_LIST, 'Classes that go all the same.'],
  startMs: [NUMBER, 'When the period began; absent: nobody knew the time yet.', 'or absent'],
  resetsMs: [NUMBER, 'When it ends.', 'or absent'],
});

const WINDOW: Form = objectOf<WindowStatus>({
  from: [TEXT, 'When it opens, as the configuration has it.'],
  forMs: [COUNT, 'How long it stays open.'],
  classes: [orNull(CLASS_LIST), 'What waits for it; null: everything.'],
  openUntilMs: [NUMBER, 'Absent: it is closed.', 'or absent'],
  opensMs: [NUMBER, 'When it opens next.', 'or absent'],
});

const METERED: Form = objectOf<MeteredStatus>({
  interface: [TEXT, 'Over which the way goes; absent: no way is known.', 'or absent'],
  metered: [FLAG, 'It costs.'],
  by: [oneOf(['name', 'NetworkManager']), 'Who says so.', 'or absent'],
});

const HOLD: Form = objectOf<HoldStatus>({
  cause: [oneOf(HOLD_CAUSES), 'For programs.'],
  classes: [CLASS_LIST, 'What is held back.'],
  reason: [TEXT, 'For people.'],
  sinceMs: [NUMBER, 'Since when.'],
  untilMs: [NUMBER, 'Until when; absent: nobody knows.', 'or absent'],
  sparesSamples: [FLAG, 'Of topics that are sampled the sample goes.', 'or absent'],
});

/** What a mirror's link costs, and what its policy holds back. Times are milliseconds since 1970. */
export const LINK_FORM: Form = objectOf<LinkStatus>({
  wireBytes: [COUNT, 'Both ways, with all headers up to IP, since the agent started.'],
  countedBy: [oneOf(['kernel', 'estimate']), 'Whose count that is.'],
  bitsPerSecond: [AMOUNT, 'Over the last seconds.'],
  capBitsPerSecond: [AMOUNT, 'The most that may be; absent: no cap.', 'or absent'],
  budgets: [arrayOf(BUDGET), 'Those that are set.'],
  windows: [arrayOf(WINDOW), 'Those that are set.'],
  metered: [METERED, 'Absent: the configuration does not ask.', 'or absent'],
  holds: [arrayOf(HOLD), 'What is held back at present.'],
});
