import { HTTP_LIMITS } from '../http-limits.ts';
import {
  type MirrorStatus,
  MIRROR_STATES,
  type TopicStatus as MirroredTopic,
} from '../mirror/status.ts';
import type { BudgetStatus } from '../mirror/policy/link-status.ts';
import {
  bounded,
  labelled,
  type MetricFamily,
  type MetricSource,
  OTHERS,
  seconds,
  states,
} from './metrics-family.ts';

/** The way up. Counters count since the agent started. */
export const MIRROR_METRICS: readonly MetricFamily[] = [
  states(
    'gatelog_mirror_state',
    '1 for the state of a mirror; what they mean: docs/link-trouble.md.',
    MIRROR_STATES,
    mirrors,
    ({ name, state }) => [{ mirror: name }, state],
  ),
  mirror('gauge', 'state_seconds', 'For how long it is in that state.', (m) => seconds(m.forMs)),
  mirror(
    'gauge',
    'down_seconds',
    'For how long there has been no session though one is wanted; 0: there is one, or none is.',
    (m) => seconds(m.downForMs ?? 0),
  ),
  mirror('gauge', 'lag_records', 'Records that can still be sent.', (m) => m.lagRecords),
  mirror('gauge', 'lag_seconds', 'Age of the oldest of these.', (m) => seconds(m.lagMs)),
  mirror('counter', 'sent_records_total', 'Records that the far side has.', (m) => m.recordsSent),
  mirror(
    'counter',
    'sent_bytes_total',
    'Bytes of their keys, values and headers.',
    (m) => m.bytesSent,
  ),
  mirror(
    'counter',
    'rejected_records_total',
    'Records that the far side refused; they are in _quarantine.',
    (m) => m.recordsRejected,
  ),
  mirror(
    'gauge',
    'missing_records',
    'Records that the log no longer held when their turn came, or will not hold then.',
    (m) => m.recordsMissing,
  ),
  mirror(
    'counter',
    'expired_records_total',
    'Records left out because the time that their devices gave them was over.',
    (m) => m.recordsExpired,
  ),
  mirror(
    'counter',
    'sampled_records_total',
    'Records left out because only a sample of their topics went.',
    (m) => m.recordsSampled,
  ),
  mirror('counter', 'reconnects_total', 'Sessions begun after the first one.', (m) => m.reconnects),
  mirror(
    'counter',
    'failures_total',
    'Sessions that failed, or did not come about.',
    (m) => m.failures,
  ),
  mirror(
    'gauge',
    'last_error_timestamp_seconds',
    'When the last of these was, in seconds since 1970.',
    (m) => seconds(m.lastError?.atMs),
  ),
  mirror(
    'counter',
    'wire_bytes_total',
    'Bytes on the wire, both ways, with all headers up to IP; where something is set about the link.',
    (m) => m.link?.wireBytes,
  ),
  budget('bytes', 'What the link may take in a period.', ({ bytes }) => bytes),
  budget('used_bytes', 'What it took in this one.', ({ usedBytes }) => usedBytes),
  topic(
    'lag_records',
    'Records of a topic that can still be sent.',
    ({ lagRecords }) => lagRecords,
  ),
  topic('lag_seconds', 'Age of the oldest of these.', ({ lagMs }) => seconds(lagMs)),
  topic(
    'stopped',
    '1: a failure of its own keeps the topic back, and the others go on.',
    ({ state }) => state === 'stopped',
  ),
  topic('paused', '1: a person paused it.', ({ state }) => state === 'paused'),
];

function mirrors({ status }: MetricSource): readonly MirrorStatus[] {
  return status.mirrors.slice(0, HTTP_LIMITS.metricMirrors);
}

type Figure = number | boolean | undefined;

function mirror(
  type: 'counter' | 'gauge',
  name: string,
  help: string,
  read: (mirror: MirrorStatus) => Figure,
): MetricFamily {
  return labelled(type, `gatelog_mirror_${name}`, help, mirrors, (one) => [
    { mirror: one.name },
    read(one),
  ]);
}

/** Two may have periods of one length, and begin them at other hours. */
function budget(name: string, help: string, read: (budget: BudgetStatus) => Figure): MetricFamily {
  const things = (source: MetricSource): readonly NumberedBudget[] =>
    mirrors(source).flatMap(({ name: of, link }) =>
      (link?.budgets ?? []).map((each, at) => ({ of, at, each })),
    );
  return labelled('gauge', `gatelog_mirror_budget_${name}`, help, things, ({ of, at, each }) => [
    { mirror: of, budget: at, per: each.per },
    read(each),
  ]);
}

interface NumberedBudget {
  readonly of: string;
  readonly at: number;
  readonly each: BudgetStatus;
}

interface NamedTopic extends MirroredTopic {
  readonly mirror: string;
  readonly name: string;
}

function topic(name: string, help: string, read: (topic: MirroredTopic) => Figure): MetricFamily {
  const things = (source: MetricSource): readonly NamedTopic[] =>
    mirrors(source).flatMap((one) => bounded(namedTopics(one), together));
  return labelled('gauge', `gatelog_mirror_topic_${name}`, help, things, (one) => [
    { mirror: one.mirror, topic: one.name },
    read(one),
  ]);
}

function namedTopics({ name, topics }: MirrorStatus): readonly NamedTopic[] {
  return topics.map((one) => ({ ...one, mirror: name, name: one.topic }));
}

/** The worst of each. */
function together(topics: readonly NamedTopic[]): NamedTopic {
  const [first] = topics as [NamedTopic];
  const known = topics.map(({ lagMs }) => lagMs).filter((lagMs) => lagMs !== undefined);
  return {
    ...first,
    name: OTHERS,
    state: topics.find(({ state }) => state === 'stopped')?.state ?? first.state,
    lagRecords: topics.reduce((sum, { lagRecords }) => sum + lagRecords, 0),
    lagMs: known.length === 0 ? undefined : Math.max(...known),
  };
}
