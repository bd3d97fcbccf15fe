import type { PendingSeek } from '../mirror/decisions.ts';
import { CLASSES, DRAINS } from '../mirror/selection.ts';
import type { PendingSkip } from '../mirror/skip.ts';
import type { Resumed } from '../mirror/steering.ts';
import {
  type GapReason,
  type GapReport,
  MIRROR_STATES,
  type MirrorStatus,
  type PartitionStatus,
  type RejectionReport,
  type SampleStatus,
  type TopicStatus,
} from '../mirror/status.ts';
import { LINK_FORM } from './link-schema.ts';
import {
  AMOUNT,
  arrayOf,
  COUNT,
  FLAG,
  type Form,
  NUMBER,
  objectOf,
  oneOf,
  TEXT,
  TEXTS,
} from './schema-forms.ts';

const TOPIC_STATES = [
  'mirrored',
  'behind',
  'held',
  'sampled',
  'paused',
  'stopped',
] as const satisfies readonly TopicStatus['state'][];
const GAP_REASONS = [
  'retention',
  'corruption',
  'skipped',
  'sampled',
  'far-behind',
] as const satisfies readonly GapReason[];

const PARTITION: Form = objectOf<PartitionStatus>({
  partition: [COUNT, 'Its number.'],
  position: [COUNT, 'The next offset that is wanted.'],
  recordsAhead: [COUNT, 'Beyond it that were sent already, out of the log’s order.'],
  endOffset: [COUNT, 'One past the last durable record.'],
  lagRecords: [COUNT, 'That can still be sent.'],
  lagMs: [
    AMOUNT,
    'Age of the oldest that is not confirmed; absent: not measured yet.',
    'or absent',
  ],
  recordsSent: [COUNT, 'Since the agent started.'],
  recordsRejected: [COUNT, 'That the far side refused.'],
  recordsMissing: [COUNT, 'That the log no longer held, or will not hold then.'],
  recordsExpired: [COUNT, 'Left out: the time that their devices gave them was over.'],
  recordsSampled: [COUNT, 'Left out: only a sample went.'],
});

const SAMPLE: Form = objectOf<SampleStatus>({
  when: [oneOf(['metered', 'always']), 'When only a sample goes.'],
  keep: [TEXT, 'What is in it, as the configuration has it.'],
  rest: [oneOf(['later', 'ledger']), 'What becomes of the rest.'],
  now: [FLAG, 'Only a sample goes at present.'],
  full: [FLAG, 'Not even that: what is remembered of samples is at its bound.'],
});

const TOPIC: Form = objectOf<TopicStatus>({
  topic: [TEXT, 'Its name in the log.'],
  state: [oneOf(TOPIC_STATES), 'How it stands.'],
  sinceMs: [NUMBER, 'Since when, milliseconds since 1970.'],
  reason: [TEXT, 'Why it stopped.', 'or absent'],
  class: [oneOf(CLASSES), 'What goes first.'],
  drain: [oneOf(DRAINS), 'In which order a backlog goes.'],
  sample: [SAMPLE, 'Absent: all records go.', 'or absent'],
  lagRecords: [COUNT, 'That can still be sent.'],
  lagMs: [AMOUNT, 'Age of the oldest of these; absent: not measured yet.', 'or absent'],
  etaMs: [AMOUNT, 'Until they are sent; absent: none are being sent.', 'or absent'],
  heldUntilMs: [NUMBER, 'When what holds it back is to end.', 'or absent'],
  partitions: [arrayOf(PARTITION), 'Each of them.'],
});

const GAP: Form = objectOf<GapReport>({
  topic: [TEXT, 'Of the log.'],
  partition: [COUNT, 'Its number.'],
  fromOffset: [COUNT, 'The first that is missing.'],
  toOffset: [COUNT, 'One past the last.'],
  reason: [oneOf(GAP_REASONS), 'Why.'],
  atMs: [NUMBER, 'When it was met.'],
});

const REJECTION: Form = objectOf<RejectionReport>({
  reason: [TEXT, 'An example; others may differ in their numbers.'],
  records: [COUNT, 'For this kind of reason.'],
  topic: [TEXT, 'Of the last one.'],
  partition: [COUNT, 'Of the last one.'],
  offset: [COUNT, 'Of the last one.'],
  atMs: [NUMBER, 'When that was.'],
});

export const SEEK_FORM: Form = objectOf<PendingSeek>({
  topic: [TEXT, 'Of the log.'],
  partition: [COUNT, 'Its number.'],
  offset: [COUNT, 'Where it goes on.'],
});

export const SKIP_FORM: Form = objectOf<PendingSkip>({
  topic: [TEXT, 'Of the log.'],
  partition: [COUNT, 'Its number.'],
  fromOffset: [COUNT, 'The first that is left out.'],
  toOffset: [COUNT, 'One past the last.'],
});

export const RESUMED_FORM: Form = objectOf<Resumed>({
  pausedTopics: [TEXTS, 'Those that are paused all the same.'],
  isMirrorPaused: [FLAG, 'It was a topic that was resumed, and all of the mirror is paused.'],
});

const LAST_ERROR: Form = objectOf<NonNullable<MirrorStatus['lastError']>>({
  text: [TEXT, 'What was said.'],
  atMs: [NUMBER, 'When.'],
});

/** A way up. Times are milliseconds since 1970, counts since the agent started. */
export const MIRROR_FORM: Form = objectOf<MirrorStatus>({
  name: [TEXT, 'As the configuration has it.'],
  state: [oneOf(MIRROR_STATES), 'How its link stands: docs/link-trouble.md.'],
  sinceMs: [NUMBER, 'Since when.'],
  forMs: [AMOUNT, 'The same as a time that passed, whatever the clock did.'],
  downForMs: [AMOUNT, 'Without a session though one is wanted; absent: not so.', 'or absent'],
  unansweredMs: [AMOUNT, 'For how long the oldest batch has had no receipt; 0: there is none.'],
  slowness: [TEXT, 'What slows the far side down.', 'or absent'],
  reason: [TEXT, 'Why it halted, is refused, or backs off.', 'or absent'],
  lastError: [LAST_ERROR, 'Whatever came of it.', 'or absent'],
  nextTryMs: [NUMBER, 'When the next try is due, or what holds everything back ends.', 'or absent'],
  reconnects: [COUNT, 'Sessions begun after the first one.'],
  failures: [COUNT, 'Sessions that failed, or did not come about.'],
  recordsSent: [COUNT, 'That the far side has.'],
  bytesSent: [COUNT, 'Keys, values and headers of these.'],
  recordsRejected: [COUNT, 'That the far side refused; they are in _quarantine.'],
  recordsMissing: [COUNT, 'That the log no longer held, or will not hold then.'],
  recordsExpired: [COUNT, 'Left out: the time that their devices gave them was over.'],
  recordsSampled: [COUNT, 'Left out: only a sample of their topics went.'],
  lagRecords: [COUNT, 'That can still be sent.'],
  lagMs: [AMOUNT, 'The greatest of all partitions; absent: not measured yet.', 'or absent'],
  gaps: [arrayOf(GAP), 'The latest ones.'],
  rejections: [arrayOf(REJECTION), 'The latest kinds of reasons.'],
  pendingSeeks: [arrayOf(SEEK_FORM), 'What a person decided and no session has taken over yet.'],
  pendingSkips: [arrayOf(SKIP_FORM), 'Likewise.'],
  topics: [arrayOf(TOPIC), 'Those that it sends.'],
  link: [LINK_FORM, 'Absent: nothing is set about the link.', 'or absent'],
});
