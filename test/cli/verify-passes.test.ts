import { describe, expect, test } from 'vitest';
import { readCentre } from '../../src/cli/verify-passes.ts';
import { LIMITS } from '../../src/limits.ts';
import { type AuditReport, Auditor, type UnreadRange } from '../../src/mirror/audit.ts';
import { SimClock } from '../support/sim-clock.ts';

const source = { gateway: 'gw', incarnation: 'abc', topic: 't', partition: 0 };
const UNREAD: UnreadRange = { topic: 'c', partition: 1, from: 4, to: 5, reason: 'undecided' };

interface Pass {
  readonly offsets: readonly number[];
  readonly unread?: readonly UnreadRange[];
}

interface Case {
  readonly isStill?: boolean;
  /** The gateway's word. */
  readonly position?: number;
}

/** What the report says of these passes (the last one over and over), and how many it took. */
async function read(
  passes: readonly Pass[],
  { isStill = false, position }: Case = {},
): Promise<{ readonly report: AuditReport; readonly count: number; readonly tookMs: number }> {
  const auditor = new Auditor();
  if (position !== undefined) {
    auditor.expect(source, { from: 0, to: position });
    auditor.judgeBelow(source, position);
  }
  const clock = new SimClock();
  let count = 0;
  const centre = {
    isStill,
    unread: [] as readonly UnreadRange[],
    pass: async (): Promise<void> => {
      const { offsets, unread = [] } = passes[count] ?? { offsets: [] };
      for (const offset of offsets) {
        auditor.feed({ ...source, offset }, null, { topic: 'c', partition: count, offset });
      }
      centre.unread = unread;
      count++;
    },
  };
  const done = readCentre(centre, auditor, clock, new AbortController().signal);
  await clock.settled(done);
  return { report: auditor.report(), count, tookMs: clock.monotonicMs() };
}

describe('reading a centre that goes on', () => {
  test('takes one pass where nothing is missing', async () => {
    const { report, count } = await read([{ offsets: [0, 1, 2] }]);
    expect(report.clean).toBe(true);
    expect(count).toBe(1);
  });

  test('a record that was under way is there when it looks again; what is newer does not count', async () => {
    const { report, count } = await read([{ offsets: [0, 2] }, { offsets: [1, 5] }]);
    expect(report).toMatchObject({ clean: true, records: 4, missing: 0 });
    expect(count).toBe(2);
  });

  test('one that comes later yet is waited for a while', async () => {
    const none = { offsets: [] };
    const { report, count } = await read([{ offsets: [0, 2] }, none, none, { offsets: [1] }]);
    expect(report.clean).toBe(true);
    expect(count).toBe(4);
  });

  test('a gap that stays is one', async () => {
    const { report, tookMs } = await read([{ offsets: [0, 2] }, { offsets: [5, 7] }]);
    expect(report).toMatchObject({ clean: false, missing: 1 });
    expect(tookMs).toBeGreaterThanOrEqual(LIMITS.auditSettleMs);
    expect(tookMs).toBeLessThan(2 * LIMITS.auditSettleMs);
  });

  test('where nothing can come any more, or the gateway has said, it is one at once', async () => {
    const still = await read([{ offsets: [0, 2] }, { offsets: [1] }], { isStill: true });
    expect(still).toMatchObject({ count: 1, report: { missing: 1 } });
    const told = await read([{ offsets: [0, 2, 9] }, { offsets: [1] }], { position: 3 });
    expect(told).toMatchObject({ count: 1, report: { missing: 1 } });
  });

  test('what could not be read is no gap to wait for', async () => {
    const { report, count } = await read([{ offsets: [0, 2], unread: [UNREAD] }]);
    expect(report).toMatchObject({ clean: false, unread: [UNREAD] });
    expect(count).toBe(1);
  });

  test('unread in a later pass, it matters as long as there is a gap', async () => {
    const unread = [UNREAD];
    const holed = await read([{ offsets: [0, 2] }, { offsets: [5], unread }]);
    expect(holed).toMatchObject({ count: 2, report: { missing: 1, unread } });
    const whole = await read([{ offsets: [0, 2] }, { offsets: [1], unread }]);
    expect(whole).toMatchObject({ count: 2, report: { clean: true, unread: [] } });
  });
});
