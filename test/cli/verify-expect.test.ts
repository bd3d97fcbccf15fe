import { expect, test } from 'vitest';
import { type Expectation, tellAuditor } from '../../src/cli/verify-expect.ts';
import { formatAudit } from '../../src/mirror/audit-text.ts';
import { Auditor } from '../../src/mirror/audit.ts';

const source = { gateway: 'gw', incarnation: 'abc', topic: 't', partition: 0 };

/** Position 50; 0 to 59 and 70 to 99 arrived. */
function audited(isRunning: boolean): Auditor {
  const expected: Expectation = {
    gateway: 'gw',
    incarnation: 'abc',
    isRunning,
    waiting: 0,
    topics: ['t'],
    mirrors: ['central'],
    ranges: [{ topic: 't', partition: 0, from: 0, to: 50 }],
    gaps: [],
    quarantined: [],
  };
  const auditor = new Auditor();
  tellAuditor(auditor, expected);
  for (let offset = 0; offset < 100; offset++) {
    if (offset >= 60 && offset < 70) continue;
    auditor.feed({ ...source, offset }, null, { topic: 'c', partition: 0, offset });
  }
  auditor.judgeUpToHere();
  return auditor;
}

test('beside a running agent what stands above its position may be under way', () => {
  expect(audited(true).report()).toMatchObject({ clean: true, records: 90 });
});

test('of a gateway that is stopped all that arrived is judged: nothing is under way', () => {
  expect(audited(false).report()).toMatchObject({ clean: false, missing: 10 });
});

test('what was not met may stand where it could not be read', () => {
  const auditor = audited(false);
  auditor.leaveUnread({ topic: 'c', partition: 1, from: 4, to: 9, reason: 'held back' });
  const text = formatAudit(auditor.report());
  expect(text).toContain('90 records, 10 missing or not read, 0 repeated');
  expect(text).toContain('gw/abc/t/0: missing or not read 60 to 69\n');
});
