import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatAudit } from '../../src/mirror/audit-text.ts';
import { Auditor, type AuditPlace } from '../../src/mirror/audit.ts';
import { OffsetSet } from '../../src/mirror/offset-set.ts';

const source = { gateway: 'gw', incarnation: 'abc', topic: 't', partition: 0 };

function at(offset: number, partition = 0, topic = 'central'): AuditPlace {
  return { topic, partition, offset };
}

/** Feeds source offsets in the order in which one central partition holds them. */
function read(auditor: Auditor, offsets: readonly number[], partition = 0): void {
  for (const [index, offset] of offsets.entries()) {
    auditor.feed({ ...source, offset }, null, at(index, partition));
  }
}

test('a loss of some of a range explains as many, the others are missing', () => {
  const auditor = new Auditor();
  auditor.declareLost(source, { from: 0, to: 10 }, 'rejected', 2);
  for (const offset of [0, 2, 4, 5, 6, 8, 9, 10])
    auditor.feed({ ...source, offset }, null, at(offset));
  expect(auditor.report()).toMatchObject({ clean: false, missing: 1, declaredLost: 2 });
  auditor.declareLost(source, { from: 7, to: 8 }, 'corruption');
  expect(auditor.report()).toMatchObject({ clean: true, missing: 0, declaredLost: 3 });
});

test('declarations explain in any order, the wide and the narrow', () => {
  const auditor = new Auditor();
  auditor.declareLost(source, { from: 20, to: 30 }, 'retention');
  auditor.declareLost(source, { from: 0, to: 100 }, 'rejected', 2);
  auditor.declareLost(source, { from: 5, to: 6 }, 'corruption');
  const gone = new Set([3, 5, 20, 25, 40, 50]);
  for (let offset = 0; offset < 60; offset++) {
    if (!gone.has(offset)) auditor.feed({ ...source, offset }, null, at(offset));
  }
  expect(auditor.report()).toMatchObject({ missing: 1, declaredLost: 5 });
  const gaps = auditor.report().sources[0]?.gaps.map(({ from, declared }) => [from, declared]);
  expect(gaps).toEqual([
    [3, 'rejected'],
    [5, 'corruption'],
    [20, 'retention'],
    [25, 'retention'],
    [40, 'rejected'],
    [50, undefined],
  ]);
});

test('a declaration alone makes no source', () => {
  const auditor = new Auditor();
  auditor.declareLost({ ...source, topic: 'other' }, { from: 0, to: 10 }, 'retention');
  expect(auditor.report()).toMatchObject({ clean: true, sources: [] });
});

test('where a mirror sends new records first, older ones behind them are no disorder', () => {
  const auditor = new Auditor((topic) => topic === 't');
  read(auditor, [0, 1, 7, 8, 2, 3]);
  for (const [index, offset] of [1, 0].entries())
    auditor.feed({ ...source, topic: 'other', offset }, null, at(index, 0, 'elsewhere'));
  const report = auditor.report();
  expect(report).toMatchObject({ clean: false, disorder: 1, reordered: 2, missing: 3 });
  expect(report.sources.map(({ topic, reordered }) => [topic, reordered])).toEqual([
    ['other', 0],
    ['t', 2],
  ]);
  const alone = new Auditor(() => true);
  read(alone, [2, 3, 0, 1]);
  expect(alone.report()).toMatchObject({ clean: true, disorder: 0, reordered: 2 });
  expect(formatAudit(alone.report())).toContain(
    'clean: 4 records, each once and in order, but for 2 that their mirror sends later than newer ones',
  );
});

test('what a person had sent again is no repeat', () => {
  const auditor = new Auditor();
  auditor.declareResent(source, { from: 2, to: 4 });
  for (const [index, offset] of [0, 1, 2, 3, 2, 3, 4, 1].entries()) {
    auditor.feed({ ...source, offset }, null, { topic: 'c', partition: 0, offset: index });
  }
  const report = auditor.report();
  expect(report).toMatchObject({ clean: false, repeats: 1, declaredRepeats: 2, disorder: 0 });
  expect(formatAudit(report)).toContain('(2 sent again by a person’s seek)');
});

describe('the auditor', () => {
  test('records each once and in order are clean', () => {
    const auditor = new Auditor();
    read(auditor, [0, 1, 2, 3]);
    expect(auditor.report()).toMatchObject({ clean: true, records: 4, missing: 0, foreign: 0 });
    expect(formatAudit(auditor.report())).toContain('clean: 4 records, each once and in order');
  });

  test('holes are gaps; what the gateway declared lost is told apart', () => {
    const auditor = new Auditor();
    read(auditor, [0, 1, 4, 5, 9, 12]);
    auditor.declareLost(source, { from: 2, to: 3 }, 'retention');
    auditor.declareLost(source, { from: 10, to: 20 }, 'retention');
    const [one] = auditor.report().sources;
    expect(one).toMatchObject({
      records: 6,
      firstOffset: 0,
      lastOffset: 12,
      missing: 4,
      declaredLost: 3,
    });
    expect(one?.gaps).toEqual([
      { from: 2, to: 3, declared: 'retention' },
      { from: 3, to: 4, declared: undefined },
      { from: 6, to: 9, declared: undefined },
      { from: 10, to: 12, declared: 'retention' },
    ]);
    const text = formatAudit(auditor.report());
    expect(text).toContain(
      'NOT clean: 6 records, 4 missing, 0 repeated, 0 out of order (3 declared lost',
    );
    expect(text).toContain('gw/abc/t/0: missing 6 to 8');
    expect(text).toContain('gw/abc/t/0: missing 3\n');
    expect(text).toContain('gw/abc/t/0: 10 to 11 declared lost: retention');
  });

  test('a missing head and tail show once the log says what there is', () => {
    const auditor = new Auditor();
    read(auditor, [2, 3]);
    expect(auditor.report().clean).toBe(true);
    auditor.expect(source, { from: 0, to: 6 });
    auditor.expect({ ...source, partition: 1 }, { from: 0, to: 3 });
    const { sources, missing } = auditor.report();
    expect(missing).toBe(7);
    expect(sources[0]?.gaps.map(({ from, to }) => [from, to])).toEqual([
      [0, 2],
      [4, 6],
    ]);
    expect(sources[1]).toMatchObject({
      partition: 1,
      records: 0,
      missing: 3,
      firstOffset: undefined,
    });
    expect(formatAudit(auditor.report())).toContain('gw/abc/t/1: missing 0 to 2');
  });

  test('what is missing before the start of the log is told apart', () => {
    const auditor = new Auditor();
    read(auditor, [0, 1, 8, 9]);
    auditor.expect(source, { from: 6, to: 10 });
    const report = auditor.report();
    expect(report.missing).toBe(6);
    expect(report.sources[0]?.expected).toEqual({ from: 6, to: 10 });
    const text = formatAudit(report);
    expect(text).toContain("missing 2 to 5 (before the start of the gateway's log)\n");
    expect(text).toContain('missing 6 to 7\n');
  });

  test('where a gateway began to send is not always known: then no head is missing', () => {
    const auditor = new Auditor();
    read(auditor, [5, 6, 8]);
    auditor.expect(source, { from: undefined, to: 10 });
    auditor.expect({ ...source, partition: 1 }, { from: undefined, to: 10 });
    expect(auditor.report().sources.flatMap(({ gaps }) => gaps)).toMatchObject([
      { from: 7, to: 8 },
      { from: 9, to: 10 },
    ]);
  });

  test('beside a gateway that is sending, gaps count below its position only', () => {
    const auditor = new Auditor();
    auditor.expect(source, { from: 0, to: 4 });
    auditor.judgeBelow(source, 4);
    read(auditor, [0, 1, 2, 3, 5, 9]);
    expect(auditor.hasDoubtfulGap).toBe(false);
    auditor.judgeUpToHere();
    expect(auditor.report()).toMatchObject({ clean: true, records: 6, missing: 0 });
    read(auditor, [9, 7]);
    expect(auditor.report()).toMatchObject({ clean: false, missing: 0, repeats: 1, disorder: 1 });

    const holed = new Auditor();
    holed.expect(source, { from: 0, to: 4 });
    holed.judgeBelow(source, 4);
    read(holed, [0, 2, 7]);
    expect(holed.report().sources[0]?.gaps).toMatchObject([
      { from: 1, to: 2 },
      { from: 3, to: 4 },
    ]);
  });

  test('without a position gaps count up to what was there when it was asked', () => {
    const auditor = new Auditor();
    read(auditor, [0, 1, 4]);
    expect(auditor.hasDoubtfulGap).toBe(true);
    auditor.judgeUpToHere();
    read(auditor, [2, 7, 9], 1);
    auditor.feed({ ...source, partition: 5, offset: 0 }, null, at(0, 1));
    auditor.feed({ ...source, partition: 5, offset: 3 }, null, at(1, 1));
    expect(auditor.hasDoubtfulGap).toBe(true);
    expect(auditor.report().sources.flatMap(({ gaps }) => gaps)).toMatchObject([
      { from: 3, to: 4 },
    ]);
    read(auditor, [3], 2);
    expect(auditor.hasDoubtfulGap).toBe(false);
    expect(auditor.report()).toMatchObject({ clean: true, missing: 0 });
  });

  test('what could not be read is not clean, and is said', () => {
    const auditor = new Auditor();
    read(auditor, [0, 1]);
    const unread = { topic: 'central', partition: 3, from: 7, to: 10, reason: 'the disk is gone' };
    auditor.leaveUnread(unread);
    const report = auditor.report();
    expect(report).toMatchObject({ clean: false, missing: 0, unread: [unread] });
    const text = formatAudit(report);
    expect(text).toContain(
      'NOT clean: 2 records, 0 missing, 0 repeated, 0 out of order, 1 partition not read to the end\n',
    );
    expect(text).toContain('central/3: not read from 7 to 9: the disk is gone\n');
  });

  test('a record read twice is a repeat, also far apart and in another partition', () => {
    const auditor = new Auditor();
    read(auditor, [0, 1, 2, 1, 2, 3]);
    read(auditor, [3], 7);
    const report = auditor.report();
    expect(report).toMatchObject({ clean: false, records: 4, repeats: 3, disorder: 0 });
    expect(report.sources[0]?.repeatSamples).toEqual([
      { offset: 1, at: at(3) },
      { offset: 2, at: at(4) },
      { offset: 3, at: at(0, 7) },
    ]);
    expect(formatAudit(report)).toContain('gw/abc/t/0: repeat of 3 at central/7@0');
  });

  test('a first arrival after a later record is disorder, per central partition', () => {
    const auditor = new Auditor();
    read(auditor, [0, 2, 1, 3]);
    const report = auditor.report();
    expect(report).toMatchObject({ clean: false, disorder: 1, missing: 0, repeats: 0 });
    expect(report.sources[0]?.disorderSamples).toEqual([
      { kind: 'order', offset: 1, after: 2, at: at(2) },
    ]);
    expect(formatAudit(report)).toContain('1 came after 2 at central/0@2');

    const apart = new Auditor();
    read(apart, [0, 2, 4], 0);
    read(apart, [1, 3, 5], 1);
    expect(apart.report().clean).toBe(true);
  });

  test('a key in two central partitions is disorder; other gateways and topics do not mix in', () => {
    const auditor = new Auditor();
    auditor.feed({ ...source, offset: 0 }, 'k', at(0, 0));
    auditor.feed({ ...source, offset: 1 }, 'k', at(0, 1));
    auditor.feed({ ...source, gateway: 'other', offset: 0 }, 'k', at(1, 2));
    auditor.feed({ ...source, topic: 'u', offset: 0 }, 'k', at(1, 3));
    auditor.feed({ ...source, offset: 2 }, 'k', at(0, 4, 'copy'));
    const report = auditor.report();
    expect(report.disorder).toBe(1);
    expect(report.sources.flatMap(({ disorderSamples }) => disorderSamples)).toEqual([
      { kind: 'key', offset: 1, key: 'k', partitions: [0, 1], at: at(0, 1) },
    ]);
    expect(formatAudit(report)).toContain('the key of 1 is in partitions 0 and 1 of central');
  });

  test("records without identity are other writers' and no fault", () => {
    const auditor = new Auditor();
    auditor.feed(undefined, 'k', at(4));
    read(auditor, [0]);
    expect(auditor.report()).toMatchObject({ clean: true, foreign: 1, foreignSamples: [at(4)] });
    expect(formatAudit(auditor.report())).toContain('1 record carries no identity');
  });

  test('the report is plain JSON', () => {
    const auditor = new Auditor();
    read(auditor, [0, 2, 2, 1, 7]);
    const report = auditor.report();
    const back: unknown = JSON.parse(JSON.stringify(report));
    expect(back).toMatchObject({ records: 4, missing: 4, repeats: 1, disorder: 1 });
  });

  test('agrees with a naive auditor that remembers everything', () => {
    const events = fc.array(
      fc.record({
        partition: fc.nat({ max: 1 }),
        offset: fc.oneof(fc.nat({ max: 30 }), fc.nat({ max: 20_000 })),
        central: fc.nat({ max: 2 }),
      }),
      { maxLength: 200 },
    );
    fc.assert(
      fc.property(events, (list) => {
        const auditor = new Auditor();
        const naive = new NaiveAuditor();
        for (const [index, { partition, offset, central }] of list.entries()) {
          auditor.feed({ ...source, partition, offset }, null, at(index, central));
          naive.feed(partition, offset, central);
        }
        const { sources } = auditor.report();
        expect(
          sources.map(({ partition, records, missing, repeats, disorder }) => {
            return { partition, records, missing, repeats, disorder };
          }),
        ).toEqual(naive.report());
      }),
    );
  });
});

class NaiveAuditor {
  readonly #reads: { partition: number; offset: number; central: number }[] = [];

  feed(partition: number, offset: number, central: number): void {
    this.#reads.push({ partition, offset, central });
  }

  report(): unknown[] {
    const partitions = [...new Set(this.#reads.map(({ partition }) => partition))].toSorted(
      (one, other) => one - other,
    );
    return partitions.map((partition) => {
      const reads = this.#reads.filter((one) => one.partition === partition);
      const firsts = reads.filter(
        (one, index) => reads.findIndex(({ offset }) => offset === one.offset) === index,
      );
      const offsets = firsts.map(({ offset }) => offset);
      const disorder = firsts.filter((one, index) =>
        firsts
          .slice(0, index)
          .some(({ offset, central }) => central === one.central && offset > one.offset),
      );
      const span = Math.max(...offsets) - Math.min(...offsets) + 1;
      return {
        partition,
        records: firsts.length,
        missing: span - firsts.length,
        repeats: reads.length - firsts.length,
        disorder: disorder.length,
      };
    });
  }
}

describe('a set of offsets', () => {
  test('agrees with a plain set, in any order', () => {
    const offsets = fc.array(
      fc.oneof(
        fc.nat({ max: 20_000 }).map((offset) => [offset, offset + 1] as const),
        fc.tuple(fc.nat({ max: 5 }), fc.nat({ max: 3 })).map(([from, length]) => {
          return [from * 4096, (from + length) * 4096] as const;
        }),
      ),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(offsets, (ranges) => {
        const set = new OffsetSet();
        const plain = new Set<number>();
        const wrong: number[] = [];
        for (const [from, to] of ranges) {
          for (let offset = from; offset < to; offset++) {
            if (set.add(offset) === plain.has(offset)) wrong.push(offset);
            plain.add(offset);
          }
        }
        expect(wrong).toEqual([]);
        expect(set.size).toBe(plain.size);
        const missing: number[] = [];
        for (const { from, to } of set.missing(100, 30_000)) {
          for (let offset = from; offset < to; offset++) missing.push(offset);
        }
        const expected = Array.from({ length: 29_900 }, (_, index) => index + 100);
        expect(missing).toEqual(expected.filter((offset) => !plain.has(offset)));
      }),
      { numRuns: 40 },
    );
  });

  test('ranges missing are as long as they can be', () => {
    const set = new OffsetSet();
    for (const offset of [0, 1, 10_000, 20_000]) set.add(offset);
    expect([...set.missing(0, 20_002)]).toEqual([
      { from: 2, to: 10_000 },
      { from: 10_001, to: 20_000 },
      { from: 20_001, to: 20_002 },
    ]);
  });

  test('a million offsets in order, or in eight interleaved passes, stay cheap', () => {
    const set = new OffsetSet();
    for (let pass = 0; pass < 8; pass++) {
      for (let offset = pass; offset < 1_000_000; offset += 8) set.add(offset);
    }
    expect(set.size).toBe(1_000_000);
    expect([...set.missing(0, 1_000_000)]).toEqual([]);
    expect(set.add(123_456)).toBe(false);
  });
});
