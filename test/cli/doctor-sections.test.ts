import { describe, expect, test } from 'vitest';
import type { AgentStatus } from '../../src/admin/status.ts';
import type { DoctorFacts } from '../../src/cli/doctor-facts.ts';
import { SECTIONS } from '../../src/cli/doctor-sections.ts';
import { LOSS_REASONS, type GapJson, type LossTotals } from '../../src/loss.ts';
import type { StateLook } from '../../src/store/look.ts';

/** What `gatelog doctor` makes of what it found, where that is not plain. */
const totals = (corruption: number): LossTotals =>
  Object.fromEntries(
    LOSS_REASONS.map((reason) => [
      reason,
      { records: reason === 'corruption' ? corruption : 0, bytes: 0 },
    ]),
  ) as LossTotals;

const STATE: StateLook = {
  trouble: undefined,
  identity: undefined,
  cleanlyClosed: true,
  missing: [],
  damaged: [],
  losses: totals(0),
  corruption: [],
};

const FACTS: DoctorFacts = {
  data: '/data',
  look: {
    segments: [{ first: 1, bytes: 1024 }],
    strange: [],
    stateBytes: 1024,
    aside: [],
    deaths: {},
    disk: { freeBytes: 2 ** 40, totalBytes: 2 ** 41 },
  },
  agent: undefined,
  state: STATE,
  losses: totals(0),
  corruption: [],
};

function linesOf(title: string, facts: Partial<DoctorFacts>): readonly string[] {
  const sections = SECTIONS.map((section) => section({ ...FACTS, ...facts }));
  return sections.find((section) => section.title === title)?.lines ?? [];
}

const NO_RECORD: GapJson = {
  incarnation: '0123456789abcdef',
  topic: '*',
  partition: null,
  firstOffset: null,
  lastOffset: null,
  records: 0,
  bytes: null,
  reason: 'corruption',
  detail: 'the state database was damaged',
  mirror: null,
  from: '2026-01-01T00:00:00.000Z',
  to: '2026-01-01T00:00:00.000Z',
};

test.each<readonly [string, Partial<DoctorFacts>, string]>([
  ['nothing', {}, 'nothing was lost'],
  ['damage without a record', { corruption: [NO_RECORD] }, 'no record is known to be lost'],
  ['a ledger that is gone', { losses: undefined }, 'unknown'],
  ['an empty one in a damaged database', { state: { ...STATE, trouble: 'x' } }, 'unknown'],
  [
    'what is left in a damaged database',
    { state: { ...STATE, damaged: [{ what: 'state', troubles: ['x'] }] }, losses: totals(3) },
    '3 corruption, or more',
  ],
])('losses: %s', (_, facts, text) => {
  expect(linesOf('losses', facts)[0]).toBe(text);
});

test('a stopped folder: what was looked at and what was not', () => {
  expect(linesOf('log', {}).at(-1)).toMatch(/records themselves are read by the agent's check/u);
});

const findingsOf = (title: string, facts: Partial<DoctorFacts>): readonly string[] =>
  SECTIONS.map((section) => section({ ...FACTS, ...facts })).find(
    (section) => section.title === title,
  )?.findings ?? [];

test('records that are lost and those of an end that may have held nothing are told apart', () => {
  const lost = { ...NO_RECORD, topic: 't', partition: 0, records: 5, bytes: 500 };
  const left = { ...lost, records: 65_536, bytes: null };
  expect(findingsOf('losses', { corruption: [lost, left, NO_RECORD] })).toEqual([
    'the disk lost 5 records; its end was lost, and up to 65536 records with it: gatelog gaps --reason corruption lists it',
  ]);
  expect(findingsOf('losses', { corruption: [NO_RECORD] })).toEqual([
    'something was damaged: gatelog gaps --reason corruption lists it',
  ]);
});

describe('a running agent', () => {
  const agent = (changes: Partial<AgentStatus>): AgentStatus =>
    ({
      degraded: null,
      pid: 1,
      startedAt: 'now',
      store: null,
      wear: null,
      clock: null,
      mirrors: [],
      certificates: [],
      accessFiles: [],
      ...changes,
    }) as AgentStatus;
  const store = (changes: object): AgentStatus['store'] =>
    ({ trouble: null, scrub: { state: 'idle' }, ...changes }) as unknown as AgentStatus['store'];

  test('that acknowledges nothing is a finding', () => {
    const facts = { agent: agent({ store: store({ trouble: 'the disk is read-only' }) }) };
    expect(findingsOf('agent', facts)).toEqual(['nothing is acknowledged: the disk is read-only']);
    expect(findingsOf('agent', { agent: agent({ store: store({}) }) })).toEqual([]);
  });

  test('that can not use a file of who may come in is one, too', () => {
    const file = {
      what: 'users',
      source: '/users',
      trouble: '/users:2: bad',
      since: 'then',
    } as const;
    expect(findingsOf('agent', { agent: agent({ accessFiles: [file] }) })).toEqual([
      'users: the users from before are in use, since then: /users:2: bad; mend it, it is looked at every minute, and at once on SIGHUP',
    ]);
  });

  test('that is looking through its log does not know all losses yet', () => {
    const checking = agent({ store: store({ scrub: { state: 'running' } }) });
    expect(linesOf('losses', { agent: checking, corruption: [NO_RECORD] })[0]).toBe(
      'no record is known to be lost; the check of the log is under way',
    );
  });

  test('whose mirror only a person can mend', () => {
    const mirror = { name: 'central', state: 'halted', reason: 'a clone runs' };
    const mirrors = [mirror, { ...mirror, name: 'other', state: 'backing off' }];
    const facts = { agent: agent({ mirrors: mirrors as unknown as AgentStatus['mirrors'] }) };
    expect(findingsOf('mirrors', facts)).toEqual(['central is halted: a clone runs']);
    expect(linesOf('mirrors', facts)).toEqual(['central: halted', 'other: backing off']);
  });

  test('whose clock is not believed', () => {
    const clock = { state: 'suspect', why: 'it lies before 2026', source: null, time: 'then' };
    const facts = { agent: agent({ clock: clock as AgentStatus['clock'] }) };
    expect(findingsOf('clock', facts)).toEqual([
      expect.stringMatching(
        /^the clock is not believed: it lies before 2026; see to network time/u,
      ),
    ]);
  });

  test('says how long the card lasts', () => {
    const wear = {
      windowMs: 3_600_000,
      device: { volume: 'mmcblk0p2', disk: 'mmcblk0' },
      deviceUnknown: null,
      processBytesPerDay: 1e9,
      volumeBytesPerDay: 4e9,
      diskBytesPerDay: 4e9,
      payloadBytesPerDay: 1e8,
      processAmplification: 10,
      diskAmplification: 40,
      commitsPerSecond: 1,
      syncsPerSecond: 1,
      lingerMs: 50,
      budgetBytes: null,
      budgetLevel: null,
      ratingBytes: 1e12,
      ratingYears: 0.685,
    };
    const lines = linesOf('wear', { agent: agent({ wear }) });
    expect(lines[1]).toBe('at this rate the card’s rated 1.0 TB lasts 250d 4h');
    expect(linesOf('wear', {})).toEqual(['measured while the agent runs with its log']);
  });
});
