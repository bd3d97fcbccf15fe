import { expect, test } from 'vitest';
import { holdLine, linkLines, sampleLines } from '../../src/cli/link-lines.ts';
import type { LinkStatus } from '../../src/mirror/policy/link-status.ts';
import type { SampleStatus, TopicStatus } from '../../src/mirror/status.ts';

const at = (text: string): number => Date.parse(text);

const BUSY: LinkStatus = {
  wireBytes: 1_234_567,
  countedBy: 'kernel',
  bitsPerSecond: 61_250,
  capBitsPerSecond: 64_000,
  budgets: [
    {
      per: 'month',
      bytes: 500_000_000,
      usedBytes: 499_900_000,
      over: true,
      exempt: ['alarm'],
      startMs: at('2026-07-01T00:00:00Z'),
      resetsMs: at('2026-08-01T00:00:00Z'),
    },
  ],
  windows: [
    {
      from: '0 2 * * *',
      forMs: 10_800_000,
      classes: ['bulk'],
      openUntilMs: undefined,
      opensMs: at('2026-07-21T02:00:00Z'),
    },
  ],
  metered: { interface: 'wwan0', metered: true, by: 'name' },
  holds: [
    {
      cause: 'over budget',
      classes: ['high', 'normal', 'bulk'],
      reason: 'the budget of this month is used up',
      sinceMs: at('2026-07-20T12:00:00Z'),
      untilMs: at('2026-08-01T00:00:00Z'),
    },
  ],
};

test('what a link costs and what it holds back', () => {
  expect(BUSY.holds.map(holdLine)).toEqual([
    'high, normal, bulk held back since 2026-07-20T12:00:00.000Z: the budget of this month is used up',
  ]);
  expect(linkLines(BUSY)).toEqual([
    'link: 61.3 kbit/s of at most 64 kbit/s, 1.2 MB on the wire since start, counted by the kernel',
    'budget of the month: 499.9 MB of 500.0 MB (99 %) until 2026-08-01T00:00:00.000Z, used up, alarm exempt',
    'window "0 2 * * *", 3h for bulk: opens 2026-07-21T02:00:00.000Z',
    'way: wwan0, metered (by its name)',
  ]);
});

test('a link of which nothing is set has no lines, and one that knows little says so', () => {
  expect(linkLines(undefined)).toEqual([]);
  const [budget] = BUSY.budgets;
  const [window] = BUSY.windows;
  expect(
    linkLines({
      wireBytes: 0,
      countedBy: 'estimate',
      bitsPerSecond: 0,
      capBitsPerSecond: undefined,
      budgets:
        budget === undefined ? [] : [{ ...budget, over: false, exempt: [], resetsMs: undefined }],
      windows: window === undefined ? [] : [{ ...window, classes: null, opensMs: undefined }],
      metered: { interface: undefined, metered: false, by: undefined },
      holds: [],
    }),
  ).toEqual([
    'link: 0 bit/s, 0 B on the wire since start, reckoned',
    'budget of the month: 499.9 MB of 500.0 MB (99 %) until the time is known',
    'window "0 2 * * *", 3h: nobody knows when it opens',
    'way: no way to the far side is known, not metered',
  ]);
});

test('of which topics a sample goes', () => {
  const sample: SampleStatus = {
    when: 'metered',
    keep: 'last per key per 1m',
    rest: 'later',
    now: true,
    full: false,
  };
  const partitions = [{ recordsSampled: 3 }, { recordsSampled: 4 }];
  const topic = { topic: 't', sample, lagRecords: 9, partitions } as unknown as TopicStatus;
  const changed = (more: Partial<SampleStatus>): TopicStatus => {
    return { ...topic, sample: { ...sample, ...more } };
  };
  const topics = [
    topic,
    changed({ rest: 'ledger' }),
    changed({ full: true }),
    changed({ now: false }),
    { ...topic, sample: undefined },
  ];
  expect(sampleLines({ topics })).toEqual([
    't: of its records the last per key per 1m goes; 9 wait',
    't: of its records the last per key per 1m goes; 7 left out since start, as the ledger says',
    't: nothing goes, for as much went as is remembered; 9 wait',
    't: all goes; while the link is metered, the last per key per 1m',
  ]);
});
