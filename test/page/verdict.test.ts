import { describe, expect, it } from 'vitest';
import type { AgentStatus } from '../../src/admin/status.ts';
import type { MirrorStatus } from '../../src/mirror/status.ts';
import { verdictOf, wallClockOf } from '../../src/page/verdict.ts';
import { DISK, LIVE_MIRROR, STORE, WELL } from '../support/agent-status.ts';

const NOW_MS = Date.parse('2026-11-27T00:00:00Z');

function withMirror(change: Partial<MirrorStatus>): AgentStatus {
  return { ...WELL, mirrors: [{ ...LIVE_MIRROR, ...change }] };
}

const CASES: readonly [
  name: string,
  status: AgentStatus,
  level: string,
  sentence: RegExp,
  point: RegExp,
][] = [
  ['everything sent', withMirror({}), 'good', /everything has arrived/u, /^$/u],
  ['nothing mirrored', WELL, 'good', /nothing is mirrored/u, /^$/u],
  ['on its way', withMirror({ lagRecords: 3 }), 'good', /3 records on the way/u, /^$/u],
  [
    'on its way into a link that swallows it',
    withMirror({ lagRecords: 3, unansweredMs: 2000 }),
    'good',
    /^Waiting for central: 3 records on the way; no answer for 2 s\.$/u,
    /^$/u,
  ],
  [
    'a backlog likewise',
    withMirror({ state: 'catching up', lagRecords: 30, unansweredMs: 9000 }),
    'good',
    /^Catching up with central: 30 records behind.*; no answer for 9 s\.$/u,
    /^$/u,
  ],
  [
    'held by policy',
    withMirror({ state: 'waiting for schedule', lagRecords: 1 }),
    'good',
    /1 record waits for central \(waiting for schedule\)/u,
    /^$/u,
  ],
  [
    'a link that is down',
    withMirror({ state: 'backing off', downForMs: 61_000, lagRecords: 12, reason: 'no route' }),
    'watch',
    /^central can not be reached for 1 min 1 s, 12 records behind\.$/u,
    /^no route\. Records wait here/u,
  ],
  [
    'refused',
    withMirror({ state: 'refused', reason: 'wrong login' }),
    'bad',
    /refused/u,
    /^wrong login\. Mend/u,
  ],
  [
    'halted',
    withMirror({ state: 'halted', reason: 'a copy' }),
    'bad',
    /halted/u,
    /^a copy\. Only a person/u,
  ],
  ['paused', withMirror({ state: 'paused' }), 'watch', /paused by a person/u, /Resume/u],
  [
    'no log',
    { ...WELL, degraded: 'the disk is gone', degradedCode: 'STORE_MISSING', store: null },
    'bad',
    /log is not open/u,
    /^the disk is gone\./u,
  ],
  [
    'a disk that refuses',
    { ...WELL, store: { ...STORE, disk: { ...DISK, step: 'refuse', refusal: 'no room' } } },
    'bad',
    /disk is full/u,
    /^no room\. Make room/u,
  ],
  [
    'a card that is nearly used up',
    { ...WELL, wear: { ratingYears: 0.25, windowMs: 3_600_000 } as AgentStatus['wear'] },
    'watch',
    /lasts 3 more months/u,
    /wear/u,
  ],
];

describe('the sentence at the top', () => {
  it.each(CASES)('%s', (_, status, level, sentence, point) => {
    const verdict = verdictOf(status, NOW_MS);
    expect(verdict.level).toBe(level);
    expect(verdict.sentence).toMatch(sentence);
    expect(verdict.points[0] ?? '').toMatch(point);
  });

  it('forgets losses for want of space after a day, also where the clock was wrong at the start', () => {
    const lastDroppedMs = NOW_MS - 25 * 3_600_000;
    const disk = { ...DISK, step: 'ok', lastDroppedMs, recordsDropped: 5 };
    const clock = { time: new Date(NOW_MS - 1000).toISOString(), aheadMs: 1000 };
    const status = {
      ...WELL,
      startedAt: '1970-01-01T00:00:00Z',
      store: { ...STORE, disk },
      clock: { ...WELL.clock, ...clock },
    } as AgentStatus;
    expect(wallClockOf(status)).toBe(NOW_MS);
    expect(verdictOf(status, wallClockOf(status)).points).toEqual([]);
    expect(verdictOf(status, wallClockOf({ ...status, clock: null })).points).toHaveLength(1);
  });

  it('is the worst that is known; the rest stands below', () => {
    const status = withMirror({ state: 'backing off', downForMs: 60_000 });
    const store = { ...STORE, trouble: 'the disk is gone' };
    const { sentence, points, level } = verdictOf({ ...status, store }, NOW_MS);
    expect([level, sentence]).toEqual(['bad', 'Nothing is acknowledged.']);
    expect(points).toHaveLength(2);
    expect(points[1]).toMatch(/^central can not be reached/u);
  });
});
