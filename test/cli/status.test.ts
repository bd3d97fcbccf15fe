import { expect, test } from 'vitest';
import type { AgentStatus } from '../../src/admin/status.ts';
import { lagTime, statusLines } from '../../src/cli/status.ts';
import { LOSS_REASONS, type LossTotals } from '../../src/loss.ts';
import type { DiskStatus, StoreCounters } from '../../src/store/log.ts';
import { PLAIN_CONTEXT } from '../support/cli-context.ts';

const NO_LOSSES = Object.fromEntries(
  LOSS_REASONS.map((reason) => [reason, { records: 0, bytes: 0 }]),
) as LossTotals;

const DISK: DiskStatus = {
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

const STORE: StoreCounters = {
  trouble: null,
  recordsAppended: 1,
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

const STATUS: AgentStatus = {
  version: '0.1.0',
  gateway: 'gw-1',
  incarnation: 'abc',
  degraded: null,
  degradedCode: null,
  data: '/data',
  pid: 17,
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
  ingest: null,
  store: STORE,
  wear: null,
  topics: [],
  mirrors: [],
};

test('one of each is one, a millisecond is no wrong clock, a step of the disk is said in words', () => {
  expect(statusLines(PLAIN_CONTEXT, STATUS)).toEqual([
    'gateway   gw-1, gatelog 0.1.0, process 17',
    'data      /data, incarnation abc',
    'up        1m 1s, since 2026-11-26T01:00:00.000Z',
    'memory    1.0 MiB',
    'clock     unconfirmed (nobody says whether it is right), for 1m 1s',
    'listens   mqtt://127.0.0.1:1883',
    'log       1 record in 1 commit since start, 2.0 KiB in 1 segment',
    'check     last finished 1970-01-01T00:00:00.000Z, no damage found',
    'disk      drop-mirrored: what every mirror has is given up, and the rest if that is not enough, room for 4.7 MiB ' +
      'within a cap of 16.0 MiB, reserve 2.0 MiB of 2.0 MiB',
    'ledger    2 corruption (records; see gatelog gaps)',
    '',
    'TOPIC  PARTITIONS  RECORDS  SIZE  DURABILITY  RETENTION',
  ]);
});

test('without a log: why, at the top, and nothing of what nobody knows', () => {
  const degraded = { degraded: 'the disk is gone', degradedCode: 'STORE_MISSING' } as const;
  const lines = statusLines(PLAIN_CONTEXT, {
    ...STATUS,
    ...degraded,
    incarnation: '',
    store: null,
    clock: null,
  });
  expect(lines[0]).toBe('degraded  the disk is gone');
  expect(lines.slice(1).map((line) => line.slice(0, 10).trimEnd())).toEqual([
    '',
    '',
    'gateway',
    'data',
    'up',
    'memory',
    'listens',
  ]);
  expect(lines).toContain('data      /data');
});

test('records that went before every mirror had them, and when', () => {
  const disk = { ...DISK, step: 'ok', recordsDropped: 7, lastDroppedMs: 0 } as const;
  const lines = statusLines(PLAIN_CONTEXT, { ...STATUS, store: { ...STORE, disk } });
  expect(lines).toContain(
    '          7 records were given up since start before every mirror had them, ' +
      'the last 1970-01-01T00:00:00.000Z',
  );
});

test('a lag of nothing has no age', () => {
  expect(lagTime({ lagRecords: 0, lagMs: 0 })).toBe('-');
  expect(lagTime({ lagRecords: 3, lagMs: undefined })).toBe('?');
  expect(lagTime({ lagRecords: 3, lagMs: 61_000 })).toBe('1m 1s');
});
