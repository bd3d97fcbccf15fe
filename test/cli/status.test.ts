import { expect, test } from 'vitest';
import type { IngestStatus } from '../../src/admin/status.ts';
import { lagTime, statusLines } from '../../src/cli/status.ts';
import { DISK, STATUS, STORE } from '../support/agent-status.ts';
import { PLAIN_CONTEXT } from '../support/cli-context.ts';

const INGEST: IngestStatus = {
  received: 1,
  receivedBytes: 1,
  appended: { fsync: 1, os: 0, none: 0 },
  unrouted: 0,
  returned: 0,
  failed: 0,
  notRetained: 0,
  dropped: 0,
  connections: 1,
  connectionsTotal: 1,
  loginsRefused: 0,
  notKept: 0,
  sessions: 0,
  queuedBytes: 0,
  heldBytes: 0,
  connectionsRefused: 0,
  refused: 0,
  violations: 0,
  dedup: null,
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

test('files and certificates that a person should see to have their lines', () => {
  const rules = { what: 'rules', source: '/r', trouble: '/r:1:1: bad', since: 'T' } as const;
  const certificate = {
    file: '/c.pem',
    listeners: [],
    expiresAt: 'T',
    expiresInMs: -1000,
    state: 'expired',
    trouble: null,
    troubleSince: null,
  } as const;
  const told = { certificates: [certificate], accessFiles: [rules] };
  const lines = statusLines(PLAIN_CONTEXT, { ...STATUS, ...told });
  expect(lines.filter((line) => /^(?:tls|rules) /u.test(line))).toEqual([
    expect.stringContaining('/c.pem expired 1s ago'),
    expect.stringContaining('the rules from before are in use, since T: /r:1:1: bad'),
  ]);
});

test('what was a repeat of numbered messages, and who was forgotten for others', () => {
  const known = { remembered: 1, atMost: 16_384, forgotten: 0 };
  const counts = { ...known, repeats: 1, gaps: 0, late: 0, unreadable: 0 };
  const linesOf = (dedup: IngestStatus['dedup']): readonly string[] =>
    statusLines(PLAIN_CONTEXT, { ...STATUS, ingest: { ...INGEST, dedup } });
  expect(linesOf(null).filter((line) => line.startsWith('dedup'))).toEqual([]);
  expect(linesOf(counts)).toContain(
    'dedup     1 producer of at most 16384 remembered, 1 repeat not stored again',
  );
  const all = {
    ...counts,
    remembered: 16_384,
    forgotten: 3,
    repeats: 17,
    gaps: 1,
    late: 5,
    unreadable: 2,
  };
  expect(linesOf(all)).toContain(
    'dedup     16384 producers of at most 16384 remembered, 3 forgotten for others, ' +
      '17 repeats not stored again, 1 gap, 5 messages late, 2 without a readable number',
  );
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
