import { type LatencyCounts } from '../latency-counts.ts';
import { LOSS_REASONS, type LossCount } from '../loss.ts';
import {
  type DiskStatus,
  LADDER_STEPS,
  type ScrubStatus,
  type StoreCounters,
} from '../store/log.ts';
import {
  AMOUNT,
  arrayOf,
  COUNT,
  type Form,
  NUMBER,
  objectOf,
  oneOf,
  orNull,
  recordOf,
  TEXT,
  TEXTS,
} from './schema-forms.ts';

const LATENCY: Form = objectOf<LatencyCounts>({
  counts: [arrayOf(COUNT), 'By the bounds of the histogram in /metrics, each without those below.'],
  totalMs: [AMOUNT, 'Of all together.'],
});

const SCRUB: Form = objectOf<ScrubStatus>({
  state: [oneOf(['off', 'idle', 'running']), 'off: it has no schedule.'],
  lastFinishedMs: [NUMBER, 'When the last whole pass ended; absent: never.', 'or absent'],
  bytesChecked: [COUNT, 'Since the agent started.'],
  findings: [COUNT, 'Damaged places, of the pass under way or the last whole one.'],
});

const DISK: Form = objectOf<DiskStatus>({
  step: [oneOf(LADDER_STEPS), 'How full it is, and what is done about it.'],
  entered: [recordOf(LADDER_STEPS, COUNT), 'How often each step was come to.'],
  freeBytes: [orNull(COUNT), 'Of the disk.'],
  totalBytes: [orNull(COUNT), 'Of the disk.'],
  folderBytes: [orNull(COUNT), 'Everything in the data folder; measured only where it is capped.'],
  maxBytes: [orNull(COUNT), 'The cap; null: none.'],
  roomBytes: [orNull(NUMBER), 'What the log may still take.'],
  reserveBytes: [COUNT, 'What of the reserve is there.'],
  reserveTargetBytes: [COUNT, 'What it is to be.'],
  segmentsDropped: [COUNT, 'Given up for space.'],
  recordsDropped: [COUNT, 'In them, that no mirror had.'],
  lastDroppedMs: [orNull(NUMBER), 'When such records were last given up; null: not since start.'],
  refused: [COUNT, 'Appends for which there was no space.'],
  refusal: [orNull(TEXT), 'Why nothing is stored at present; null: it is.'],
  refusedTopics: [TEXTS, 'To which nothing is appended at present.'],
});

const LOSS: Form = objectOf<LossCount>({
  records: [COUNT, 'That will never be delivered.'],
  bytes: [COUNT, 'As far as they are known.'],
});

/** The log. Counts since the agent started, but for losses, which count since the data folder was made. */
export const STORE_FORM: Form = objectOf<StoreCounters>({
  trouble: [orNull(TEXT), 'Why the disk takes no record at present; null: it does.'],
  recordsAppended: [COUNT, 'To all topics.'],
  bytesAppended: [COUNT, 'Keys, values and headers of these.'],
  commits: [COUNT, 'Writes, each of everything that waited.'],
  commitLatency: [LATENCY, 'What writing and syncing one took.'],
  appendLatency: [LATENCY, 'The longest that anything in one waited for it to be done.'],
  syncs: [COUNT, 'For commits.'],
  stateSyncs: [COUNT, 'For positions, sessions, journals.'],
  recordsDropped: [COUNT, 'By force, before a mirror had them.'],
  bytesDropped: [COUNT, 'Of these.'],
  segments: [COUNT, 'Parts of the log.'],
  diskBytes: [COUNT, 'What they take.'],
  scrub: [SCRUB, 'The check of everything that is stored.'],
  disk: [DISK, 'Where the log is.'],
  losses: [recordOf(LOSS_REASONS, LOSS), 'Everything in the loss ledger, by reason.'],
});
