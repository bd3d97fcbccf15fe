import { DAY_MS } from '../units.ts';
import { type DiskStatus, LADDER_STEPS } from '../store/log.ts';
import {
  bounded,
  histogram,
  labelled,
  type MetricFamily,
  type MetricSource,
  seconds,
  single,
  states,
} from './metrics-family.ts';
import type { TopicStatus } from './status.ts';
import type { WearStatus } from './wear-status.ts';

const DAY_SECONDS = DAY_MS / 1000;
const YEAR_SECONDS = 365.25 * DAY_SECONDS;

/** The log, its topics, the disk, and what is lost. Counters without another word count since start. */
export const STORE_METRICS: readonly MetricFamily[] = [
  single(
    'counter',
    'gatelog_log_records_total',
    'Records appended to the log.',
    ({ status }) => status.store?.recordsAppended,
  ),
  single(
    'counter',
    'gatelog_log_bytes_total',
    'Bytes of their keys, values and headers.',
    ({ status }) => status.store?.bytesAppended,
  ),
  single(
    'counter',
    'gatelog_log_commits_total',
    'Commits: each is one write for all records that wait.',
    ({ status }) => status.store?.commits,
  ),
  labelled(
    'counter',
    'gatelog_syncs_total',
    'Times the disk was asked to make something durable: for the log, and for what stands beside it.',
    ({ status: { store } }) =>
      store === null ? [] : Object.entries({ log: store.syncs, state: store.stateSyncs }),
    ([of, count]) => [{ of }, count],
  ),
  histogram(
    'gatelog_commit_duration_seconds',
    'Writing and syncing one commit.',
    ({ status }) => status.store?.commitLatency,
  ),
  histogram(
    'gatelog_append_wait_seconds',
    'The longest that anything in a commit waited until it was durable: once a commit.',
    ({ status }) => status.store?.appendLatency,
  ),
  single(
    'gauge',
    'gatelog_store_trouble',
    '1: the disk takes no record at present, and none is acknowledged.',
    ({ status: { store } }) => (store === null ? undefined : store.trouble !== null),
  ),
  single(
    'gauge',
    'gatelog_log_segments',
    'Segments of the log.',
    ({ status }) => status.store?.segments,
  ),
  single(
    'gauge',
    'gatelog_log_size_bytes',
    'Bytes that the log takes on the disk.',
    ({ status }) => status.store?.diskBytes,
  ),
  topic('gatelog_topic_records', 'Records of a topic that can be read.', ({ records }) => records),
  topic('gatelog_topic_size_bytes', 'Bytes of a topic on the disk.', ({ bytes }) => bytes),
  topic(
    'gatelog_topic_end_offset',
    'One past the last durable record, the sum over the partitions: all that ever came.',
    ({ partitions }) => partitions.reduce((sum, { endOffset }) => sum + endOffset, 0),
  ),
  topic(
    'gatelog_topic_start_offset',
    'First offset that can still be read, the sum over the partitions.',
    ({ partitions }) => partitions.reduce((sum, { startOffset }) => sum + startOffset, 0),
  ),
  losses('gatelog_lost_records_total', 'Records', 'records'),
  losses('gatelog_lost_bytes_total', 'Bytes', 'bytes'),
  single(
    'gauge',
    'gatelog_scrub_findings',
    'Damaged places that the check of everything stored met in its last pass, or the one under way.',
    ({ status }) => status.store?.scrub.findings,
  ),
  single(
    'gauge',
    'gatelog_scrub_last_finished_timestamp_seconds',
    'When the last whole pass ended, in seconds since 1970.',
    ({ status }) => seconds(status.store?.scrub.lastFinishedMs),
  ),
  states(
    'gatelog_disk_step',
    '1 for the step of the ladder that a disk climbs as it fills.',
    LADDER_STEPS,
    ({ status: { store } }) => (store === null ? [] : [store.disk]),
    ({ step }) => [{}, step],
  ),
  disk('gauge', 'gatelog_disk_free_bytes', 'Free on the disk.', (d) => d.freeBytes),
  disk('gauge', 'gatelog_disk_size_bytes', 'Size of the disk.', (d) => d.totalBytes),
  disk(
    'gauge',
    'gatelog_disk_room_bytes',
    'What the log may still take: free beyond the reserve, or below store.maxBytes.',
    (d) => d.roomBytes,
  ),
  disk(
    'gauge',
    'gatelog_disk_reserve_bytes',
    'What of the reserve is there.',
    (d) => d.reserveBytes,
  ),
  disk(
    'counter',
    'gatelog_disk_dropped_segments_total',
    'Segments given up for space.',
    (d) => d.segmentsDropped,
  ),
  disk(
    'counter',
    'gatelog_disk_dropped_records_total',
    'Records in them that no mirror had; they stand in the loss ledger.',
    (d) => d.recordsDropped,
  ),
  disk(
    'counter',
    'gatelog_disk_refused_appends_total',
    'Appends that were refused for want of space.',
    (d) => d.refused,
  ),
  labelled(
    'gauge',
    'gatelog_wear_bytes_per_second',
    'Written over the last day: payload appended, by this process, to the volume and to the whole disk.',
    ({ status: { wear } }) => (wear === null ? [] : Object.entries(writtenOf(wear))),
    ([by, perDay]) => [{ by }, perDay === null ? null : perDay / DAY_SECONDS],
  ),
  single(
    'gauge',
    'gatelog_wear_rating_lasts_seconds',
    'How long what the disk is rated for (store.wear.rating) lasts at this rate.',
    ({ status: { wear } }) => {
      const years = wear?.ratingYears ?? null;
      return years === null ? null : years * YEAR_SECONDS;
    },
  ),
  single(
    'gauge',
    'gatelog_wear_budget_left_ratio',
    'From 1, all of the day’s allowance of writes (store.wear.budget) is left, to 0.',
    ({ status }) => status.wear?.budgetLevel,
  ),
  single(
    'gauge',
    'gatelog_commit_linger_seconds',
    'How long a commit waits for company at present.',
    ({ status }) => seconds(status.wear?.lingerMs),
  ),
];

function topic(name: string, help: string, read: (topic: TopicStatus) => number): MetricFamily {
  const things = ({ status }: MetricSource): readonly TopicStatus[] =>
    bounded(status.topics, together);
  return labelled('gauge', name, help, things, (one) => [{ topic: one.name }, read(one)]);
}

function together(topics: readonly TopicStatus[]): TopicStatus {
  const [first] = topics as [TopicStatus];
  return {
    ...first,
    bytes: topics.reduce((sum, { bytes }) => sum + bytes, 0),
    records: topics.reduce((sum, { records }) => sum + records, 0),
    partitions: topics.flatMap(({ partitions }) => partitions),
  };
}

function losses(name: string, what: string, field: 'records' | 'bytes'): MetricFamily {
  return labelled(
    'counter',
    name,
    `${what} in the loss ledger since the data folder was made: what will never be delivered, by reason.`,
    ({ status }) => Object.entries(status.store?.losses ?? {}),
    ([reason, count]) => [{ reason }, count[field]],
  );
}

function disk(
  type: 'counter' | 'gauge',
  name: string,
  help: string,
  read: (disk: DiskStatus) => number | null,
): MetricFamily {
  return single(type, name, help, ({ status: { store } }) =>
    store === null ? null : read(store.disk),
  );
}

function writtenOf(wear: WearStatus): Readonly<Record<string, number | null>> {
  return {
    payload: wear.payloadBytesPerDay,
    process: wear.processBytesPerDay,
    volume: wear.volumeBytesPerDay,
    disk: wear.diskBytesPerDay,
  };
}
