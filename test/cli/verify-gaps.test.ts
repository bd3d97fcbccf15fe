import { describe, expect, test } from 'vitest';
import { Arrivals, type ArrivalsOptions, tellGap } from '../../src/cli/verify-gaps.ts';
import { LIMITS } from '../../src/limits.ts';
import { type GapJson, parseGap } from '../../src/loss.ts';
import { Auditor } from '../../src/mirror/audit.ts';

const INCARNATION = 'abc';
const source = { gateway: 'gw', incarnation: INCARNATION, topic: 't', partition: 0 };

function gap(over: Partial<GapJson> = {}): GapJson {
  const time = '2026-11-26T08:00:00.000Z';
  return {
    incarnation: INCARNATION,
    topic: 't',
    partition: 0,
    firstOffset: 2,
    lastOffset: 4,
    records: 3,
    bytes: null,
    reason: 'retention',
    detail: 'the cap',
    mirror: null,
    from: time,
    to: time,
    ...over,
  };
}

interface Case extends Partial<ArrivalsOptions> {
  readonly gaps: readonly unknown[];
  /** Whose record the entry is; null: the centre's own. */
  readonly sender?: string | null;
  readonly key?: string | null;
  readonly offsets?: readonly number[];
}

/** 0, 1, 5, 6 arrived, and these entries of `_gaps` before them. */
function arrived({ gaps, sender = 'gw', key = 't/0', offsets = [0, 1, 5, 6], ...rest }: Case): {
  readonly auditor: Auditor;
  readonly arrivals: Arrivals;
} {
  const auditor = new Auditor();
  const isAudited = (topic: string): boolean => topic === 't';
  const options = { auditor, isAudited, mirror: undefined, own: undefined, ...rest };
  const arrivals = new Arrivals(options);
  for (const told of options.own?.gaps ?? []) tellGap(auditor, 'gw', told);
  for (const [offset, one] of gaps.entries()) {
    const identity =
      sender === null
        ? undefined
        : { gateway: sender, incarnation: INCARNATION, topic: '_gaps', partition: 0, offset };
    const value = typeof one === 'string' ? one : Buffer.from(JSON.stringify(one));
    arrivals.take({ identity, key, value, at: { topic: '_gaps', partition: 0, offset } });
  }
  for (const [index, offset] of offsets.entries()) {
    const at = { topic: 't', partition: 0, offset: index };
    arrivals.take({ identity: { ...source, offset }, key: null, value: null, at });
  }
  return { auditor, arrivals };
}

describe('what the central _gaps says', () => {
  test('is declared; the records of _gaps are not judged where only they are read for it', () => {
    const report = arrived({ gaps: [gap()] }).auditor.report();
    expect(report).toMatchObject({ clean: true, records: 4, missing: 0, declaredLost: 3 });
    expect(report.sources).toHaveLength(1);
  });

  test('explains no more than it says', () => {
    const report = arrived({ gaps: [gap({ lastOffset: 3, records: 2 })] }).auditor.report();
    expect(report).toMatchObject({ clean: false, missing: 1, declaredLost: 2 });
  });

  test.each([
    ['of another gateway', { gaps: [gap()], sender: 'other' }],
    ['of the centre itself, without an identity', { gaps: [gap()], sender: null }],
    ['of another incarnation', { gaps: [gap({ incarnation: 'before' })] }],
    ['that counts more than its range', { gaps: [gap({ records: 4 })] }],
    ['with a reason that is none', { gaps: [gap({ reason: 'fun' as 'retention' })] }],
    ['without a time', { gaps: [gap({ from: 'then' })] }],
    ['that ends before it begins', { gaps: [gap({ lastOffset: 0, records: -1 })] }],
    ['with half a range', { gaps: [gap({ firstOffset: null })] }],
    ['with a text for a number', { gaps: [{ ...gap(), lastOffset: '4' }] }],
    ['under another key', { gaps: [gap()], key: 't/1' }],
    ['that is no entry', { gaps: [null, 7, [], '', '{', JSON.stringify(gap()).slice(1)] }],
    ['that is too long', { gaps: [{ ...gap(), more: 'x'.repeat(LIMITS.gapRecordBytes) }] }],
  ] satisfies [string, Case][])('one %s is left out', (_, one) => {
    const report = arrived(one).auditor.report();
    expect(report).toMatchObject({ clean: false, missing: 3, declaredLost: 0 });
  });

  test('what both ledgers say counts once, and so does what was sent twice', () => {
    const some = gap({ firstOffset: 0, lastOffset: 9, records: 2, reason: 'rejected' });
    const own = { gateway: 'gw', gaps: [some] };
    const grown = { ...some, lastOffset: 12, records: 3 };
    for (const one of [{ gaps: [some], own }, { gaps: [grown], own }, { gaps: [some, some] }]) {
      const report = arrived(one).auditor.report();
      expect(report).toMatchObject({ clean: false, missing: 1, declaredLost: 2 });
    }
  });

  test('what the own ledger let go of long ago still counts', () => {
    const own = { gateway: 'gw', gaps: [gap({ firstOffset: 8, lastOffset: 9, records: 2 })] };
    expect(arrived({ gaps: [gap()], own }).auditor.report().clean).toBe(true);
  });

  test('what a person had sent again is no repeat', () => {
    const resent = gap({ reason: 'rewound', firstOffset: 1, lastOffset: 1, records: 1 });
    const offsets = [0, 1, 1, 2];
    const report = arrived({ gaps: [resent], offsets }).auditor.report();
    expect(report).toMatchObject({ clean: true, repeats: 0, declaredRepeats: 1 });
  });

  test('a loss of one mirror explains nothing at another, nor where nobody said which this is', () => {
    const gaps = [gap({ mirror: 'up' })];
    expect(arrived({ gaps, mirror: 'up' }).auditor.report().clean).toBe(true);
    expect(arrived({ gaps, mirror: 'down' }).auditor.report().missing).toBe(3);
    const { auditor, arrivals } = arrived({ gaps });
    expect(auditor.report().missing).toBe(3);
    expect(arrivals.mirrors).toEqual(['up']);
  });

  test('is remembered up to a bound', () => {
    const gaps = Array.from({ length: LIMITS.auditDeclared }, (_, index) =>
      gap({ firstOffset: index + 9, lastOffset: index + 9, records: 1 }),
    );
    const { auditor, arrivals } = arrived({ gaps: [...gaps, gap()] });
    expect(arrivals.leftOut).toBe(1);
    expect(auditor.report().missing).toBe(3);
  });
});

test('an entry reads back as it was written', () => {
  expect(parseGap(JSON.stringify(gap()))).toEqual(gap());
  const counted = gap({ partition: null, firstOffset: null, lastOffset: null, reason: 'pressure' });
  expect(parseGap(Buffer.from(JSON.stringify(counted)))).toEqual(counted);
});
