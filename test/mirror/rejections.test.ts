import { describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/limits.ts';
import type { Refused } from '../../src/mirror/pump.ts';
import { groupRefused } from '../../src/mirror/rejections.ts';
import { streamId } from '../../src/record.ts';

function refused(stream: number, offset: number, reason: string): Refused {
  const bytes = new Uint8Array(1);
  const record = { offset, timestampMs: 0, key: bytes, value: bytes, headers: bytes };
  return { stream: streamId(stream), record, reason };
}

describe('refused records in groups', () => {
  test('reasons that differ in their numbers are one kind, with a range for each partition', () => {
    const groups = groupRefused([
      refused(1, 7, 'offset 7 is too old'),
      refused(1, 4, 'offset 4 is too old'),
      refused(2, 9, 'offset 9 is too old'),
      refused(1, 5, 'too large'),
    ]);
    expect(groups).toMatchObject([
      { kind: 'offset # is too old', reason: 'offset 7 is too old', records: 3 },
      { kind: 'too large', reason: 'too large', records: 1 },
    ]);
    expect([...(groups[0]?.ranges ?? [])]).toEqual([
      [1, { fromOffset: 4, toOffset: 8, records: 2, bytes: 6 }],
      [2, { fromOffset: 9, toOffset: 10, records: 1, bytes: 3 }],
    ]);
  });

  test('there are not many groups, whatever a far side says', () => {
    const names = Array.from({ length: 100 }, (_, index) => 'x'.repeat(index + 1));
    const groups = groupRefused(names.map((name, index) => refused(0, index, name)));
    expect(groups).toHaveLength(LIMITS.rejectionKinds);
    expect(groups.reduce((sum, { records }) => sum + records, 0)).toBe(100);
  });
});
