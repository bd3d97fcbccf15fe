import type { AgentStatus } from '../../src/admin/status.ts';
import { LOSS_REASONS, type LossTotals } from '../../src/loss.ts';
import type { MirrorStatus } from '../../src/mirror/status.ts';
import type { DiskStatus, StoreCounters } from '../../src/store/log.ts';

export const NO_LOSSES: LossTotals = Object.fromEntries(
  LOSS_REASONS.map((reason) => [reason, { records: 0, bytes: 0 }]),
) as LossTotals;

export const DISK: DiskStatus = {
  step: 'drop-mirrored',
  entered: { ok: 0, warn: 1, 'drop-mirrored': 1, 'drop-unmirrored': 0, refuse: 0 },
  freeBytes: 1e9,
  totalBytes: 1e10,
  folderBytes: 12_000_000,
  maxBytes: 16_777_216,
  roomBytes: 4_928_307,
  reserveBytes: 2_097_152,
  reserveTargetBytes: 2_097_152,
  segmentsDropped: 0,
  recordsDropped: 0,
  lastDroppedMs: null,
  refused: 0,
  refusal: null,
  refusedTopics: [],
};

export const STORE: StoreCounters = {
  trouble: null,
  recordsAppended: 1,
  commitLatency: { counts: [], totalMs: 0 },
  appendLatency: { counts: [], totalMs: 0 },
  bytesAppended: 100,
  commits: 1,
  syncs: 1,
  stateSyncs: 0,
  recordsDropped: 0,
  bytesDropped: 0,
  segments: 1,
  diskBytes: 2048,
  disk: DISK,
  scrub: { state: 'idle', lastFinishedMs: 0, bytesChecked: 0, findings: 0 },
  losses: { ...NO_LOSSES, corruption: { records: 2, bytes: 10 } },
};

/** Of an agent with a disk that fills and two records lost. */
export const STATUS: AgentStatus = {
  version: '0.1.0',
  gateway: 'gw-1',
  gatewayAssumed: false,
  incarnation: 'abc',
  degraded: null,
  degradedCode: null,
  data: '/data',
  pid: 17,
  reload: null,
  http: { listeners: [], trouble: null },
  startedAt: '2026-11-26T01:00:00.000Z',
  uptimeMs: 61_000,
  memory: { rssBytes: 1_048_576, heapUsedBytes: 0, externalBytes: 0 },
  clock: {
    state: 'unconfirmed',
    why: null,
    source: null,
    forMs: 61_000,
    time: '2026-11-26T01:01:01.001Z',
    aheadMs: -1,
    boot: 'b',
    jumps: 0,
    lastJumpMs: null,
  },
  listeners: ['mqtt://127.0.0.1:1883'],
  certificates: [],
  accessFiles: [],
  ingest: null,
  store: STORE,
  wear: null,
  topics: [],
  mirrors: [],
};

/** Of one to which nothing ever happened. */
export const WELL: AgentStatus = {
  ...STATUS,
  store: { ...STORE, losses: NO_LOSSES, disk: { ...DISK, step: 'ok' } },
};

/** A mirror that has sent everything. */
export const LIVE_MIRROR: MirrorStatus = {
  name: 'central',
  state: 'live',
  sinceMs: 0,
  forMs: 60_000,
  downForMs: undefined,
  unansweredMs: 0,
  slowness: undefined,
  reason: undefined,
  lastError: undefined,
  nextTryMs: undefined,
  reconnects: 0,
  failures: 0,
  recordsSent: 0,
  bytesSent: 0,
  recordsRejected: 0,
  recordsMissing: 0,
  recordsExpired: 0,
  recordsSampled: 0,
  lagRecords: 0,
  lagMs: 0,
  gaps: [],
  rejections: [],
  pendingSeeks: [],
  pendingSkips: [],
  topics: [],
};
