import { type ClockStatus, TRUST_STATES } from '../clock-status.ts';
import type { AccessFileStatus } from './access-file-status.ts';
import type { CertificateStatus } from './certificate-status.ts';
import { INGEST_FORM } from './ingest-schema.ts';
import { MIRROR_FORM } from './mirror-schema.ts';
import type { ReloadStatus } from './reload-status.ts';
import {
  AMOUNT,
  arrayOf,
  COUNT,
  type Form,
  NUMBER,
  objectOf,
  oneOf,
  orNull,
  TEXT,
  TEXTS,
  TIME,
} from './schema-forms.ts';
import type { AgentStatus, HttpStatus, MemoryStatus } from './status.ts';
import { STORE_FORM } from './store-schema.ts';
import { TOPIC_FORM } from './topic-schema.ts';
import { WEAR_FORM } from './wear-schema.ts';

const MEMORY: Form = objectOf<MemoryStatus>({
  rssBytes: [COUNT, 'Of the process, in RAM.'],
  heapUsedBytes: [COUNT, 'What V8’s heap holds.'],
  externalBytes: [COUNT, 'Buffers outside of it.'],
});

const CLOCK: Form = objectOf<ClockStatus>({
  state: [oneOf(TRUST_STATES), 'Whether it is believed.'],
  why: [orNull(TEXT), 'Why it is suspect.'],
  source: [orNull(TEXT), 'Who confirmed it last; null: nobody since the machine started.'],
  forMs: [AMOUNT, 'For how long the state holds.'],
  time: [TIME, 'The best known time, whatever the clock shows.'],
  aheadMs: [NUMBER, 'How far the clock is ahead of it.'],
  boot: [TEXT, 'The life of the kernel.'],
  jumps: [COUNT, 'Noticed since start.'],
  lastJumpMs: [orNull(NUMBER), 'The last one: positive is forward.'],
});

const HTTP: Form = objectOf<HttpStatus>({
  listeners: [TEXTS, 'Addresses that are listened on.'],
  trouble: [orNull(TEXT), 'Why one is not, which is tried again; null: all are.'],
});

const CERTIFICATE: Form = objectOf<CertificateStatus>({
  file: [TEXT, 'In PEM.'],
  listeners: [TEXTS, 'Addresses that use it.'],
  expiresAt: [TIME, 'When it is good no longer.'],
  expiresInMs: [NUMBER, 'Negative: it has expired.'],
  state: [oneOf(['good', 'expiring', 'expired']), 'expiring: less than 30 days to go.'],
  trouble: [orNull(TEXT), 'Why newer files are not used.'],
  troubleSince: [orNull(TIME), 'Since when.'],
});

const ACCESS_FILE: Form = objectOf<AccessFileStatus>({
  what: [oneOf(['users', 'rules', 'keys']), 'What it says.'],
  source: [TEXT, 'The file, or the URL.'],
  trouble: [orNull(TEXT), 'Why it can’t be used as it is; null: it is in use.'],
  since: [orNull(TIME), 'Since when.'],
});

const RELOAD: Form = objectOf<ReloadStatus>({
  at: [TIME, 'When it was read.'],
  refused: [orNull(TEXT), 'Why nothing of it was taken; null: it was.'],
  applied: [TEXTS, 'Options that count from then on.'],
  needsRestart: [TEXTS, 'Options that count from the next start on.'],
});

/** Everything the agent tells of itself. Durations are ms, sizes bytes; fields without a value that is known are null or absent. */
export const STATUS_SCHEMA: Form = objectOf<AgentStatus>({
  version: [TEXT, 'Of gatelog.'],
  gateway: [TEXT, 'Id of this gateway.'],
  gatewayAssumed: [{ type: 'boolean' }, 'Nobody chose that id: it was the host’s name.'],
  incarnation: [TEXT, 'Random id of the data folder.'],
  degraded: [orNull(TEXT), 'Why it serves without a log; null: it has one.'],
  degradedCode: [orNull(TEXT), 'The same for programs.'],
  data: [TEXT, 'The data folder.'],
  pid: [COUNT, 'The process.'],
  startedAt: [TIME, 'By this machine’s clock.'],
  uptimeMs: [COUNT, 'Since then, whatever the clock did.'],
  memory: [MEMORY, 'Of the process.'],
  clock: [orNull(CLOCK), 'Whether the machine’s clock is believed; null: there is no log.'],
  listeners: [TEXTS, 'Addresses for devices.'],
  http: [HTTP, 'The HTTP side.'],
  certificates: [arrayOf(CERTIFICATE), 'Of listeners with TLS.'],
  accessFiles: [arrayOf(ACCESS_FILE), 'Files of users and rules, and keys of tokens.'],
  ingest: [orNull(INGEST_FORM), 'What came from devices; null: nobody is listened to yet.'],
  store: [orNull(STORE_FORM), 'The log, the disk, what is lost; null: there is no log.'],
  wear: [orNull(WEAR_FORM), 'How much is written to the card or disk.'],
  topics: [arrayOf(TOPIC_FORM), 'Topics of the log.'],
  reload: [
    orNull(RELOAD),
    'What became of the configuration that was read again; null: it was not.',
  ],
  mirrors: [arrayOf(MIRROR_FORM), 'The way up: states, lag, what was sent.'],
});
