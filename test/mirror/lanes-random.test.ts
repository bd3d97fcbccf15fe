import fc from 'fast-check';
import { expect, test } from 'vitest';
import { must } from '../../src/assert.ts';
import { sameCoverage, upTo } from '../../src/coverage.ts';
import { GatelogError } from '../../src/errors.ts';
import { Auditor } from '../../src/mirror/audit.ts';
import type { Mirror } from '../../src/mirror/mirror.ts';
import { CLASSES, DRAINS, type TopicPattern } from '../../src/mirror/selection.ts';
import type { Loss } from '../../src/loss.ts';
import { type Rig, rig } from './mirror-rig.ts';

/**
 * A mirror of three topics of any class and drain order to a far side that fails, while a person seeks,
 * skips, pauses and restarts, and the log loses records. The loss ledger and the auditor settle it: each
 * record arrived once, or the ledger says that it never will, or that a person had it sent again.
 */
const NAMES = ['a', 'b', 'c'] as const;
const BOUNDS = {
  aheadRanges: 4,
  seamRecords: 4,
  reseamRecords: 15,
  newestChunkRecords: 5,
  lanePasses: 3,
  backlogRecords: 10,
};
const OWNER = { gateway: 'gw', incarnation: 'abc' };

const topic = fc.constantFrom(...NAMES);
const classes = fc.constantFrom(...CLASSES);
const treatment = fc.oneof(
  { weight: 2, arbitrary: fc.record({ class: classes, drain: fc.constantFrom(...DRAINS) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      class: classes,
      drain: fc.constant('backlog-first' as const),
      sample: fc.record({
        when: fc.constant('always' as const),
        perMs: fc.constantFrom(50, 300),
        rest: fc.constantFrom('later' as const, 'ledger' as const),
      }),
    }),
  },
);
const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('append'), topic, count: fc.nat(25) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('wait'), ms: fc.nat(400) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('cut') }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('seek'), topic, part: fc.nat(100) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('skip'), topic, count: fc.nat(6) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('trim'), topic, by: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('rot'), topic, at: fc.nat(60) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('restart'),
      treatments: fc.array(treatment, THREE()),
    }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function THREE(): { minLength: number; maxLength: number } {
  return { minLength: NAMES.length, maxLength: NAMES.length };
}

class Run {
  readonly #rig: Rig;
  #mirror: Mirror;
  #faults = true;

  constructor(
    treatments: readonly Omit<Exclude<TopicPattern, string>, 'match'>[],
    chances: readonly number[],
  ) {
    const fates = ['fail-before', 'fail-after', 'zombie'] as const;
    this.#rig = rig(
      {
        fate: (send) => {
          const chance = chances[send % chances.length] ?? 0;
          return this.#faults && chance < fates.length ? (fates[chance] ?? 'ok') : 'ok';
        },
        reject: (_at, record) => (record.offset % 13 === 7 ? 'not this one' : undefined),
        latencyMs: (send) => 1 + (send % 7) * 10,
      },
      { topics: patterns(treatments), laneBounds: BOUNDS, batching: { maxRecords: 6 } },
    );
    for (const name of NAMES) this.#rig.log.topic(name);
    this.#mirror = this.#rig.mirror;
  }

  start(): Promise<void> {
    return this.#mirror.start();
  }

  async step(one: Step): Promise<void> {
    const { clock, log, upstream } = this.#rig;
    const streamOf = (name: string) => must(log.topic(name).streams[0], 'it has one');
    switch (one.kind) {
      case 'append':
        for (let at = 0; at < one.count; at++) {
          log.add(streamOf(one.topic), 'x', clock.nowMs(), at % 5 === 0 ? null : `k${at % 3}`);
        }
        return;
      case 'wait':
        await clock.advance(one.ms);
        return;
      case 'cut':
        upstream.breakSession(new GatelogError('UPSTREAM_UNREACHABLE', 'cut'));
        return;
      case 'seek': {
        const { startOffset, endOffset } = log.reader.range(streamOf(one.topic));
        const to = startOffset + Math.floor(((endOffset - startOffset) * one.part) / 100);
        await clock.settled(this.#mirror.seek({ topic: one.topic, to }));
        return;
      }
      case 'skip':
        await clock.settled(
          this.#mirror.skip({ topic: one.topic, count: one.count }).catch(() => undefined),
        );
        return;
      case 'trim': {
        const stream = streamOf(one.topic);
        const { startOffset, endOffset } = log.reader.range(stream);
        log.trim(stream, Math.min(endOffset, startOffset + one.by));
        return;
      }
      case 'rot':
        log.corrupt(streamOf(one.topic), one.at, one.at + 2);
        return;
      case 'restart':
        await clock.settled(this.#mirror.stop());
        this.#mirror = this.#rig.again({ topics: patterns(one.treatments) });
        await this.#mirror.start();
        return;
    }
  }

  /** Without samples, so that what they left for later comes. */
  async finish(): Promise<void> {
    const { clock } = this.#rig;
    this.#faults = false;
    await clock.settled(this.#mirror.stop());
    this.#mirror = this.#rig.again({ topics: [...NAMES, '*'] });
    await this.#mirror.start();
    await clock.until(() => {
      const { state, lagRecords, pendingSeeks } = this.#mirror.status();
      return state === 'live' && lagRecords === 0 && pendingSeeks.length === 0;
    });
    await clock.advance(10_000);
    await clock.settled(this.#mirror.stop());
  }

  /** What does not add up. */
  judge(): Verdict {
    const { log, upstream, positions } = this.#rig;
    const auditor = new Auditor(() => true);
    for (const loss of log.told) declare(auditor, loss);
    for (const [index, { at, record }] of upstream.delivered.entries()) {
      const { topic: name, partition } = at;
      if (name.startsWith('_')) continue;
      const place = { topic: name, partition, offset: index };
      auditor.feed({ ...OWNER, topic: name, partition, offset: record.offset }, null, place);
    }
    const unfinished: string[] = [];
    for (const name of NAMES) {
      const stream = must(log.topic(name).streams[0], 'it has one');
      const { endOffset } = log.reader.range(stream);
      auditor.expect({ ...OWNER, topic: name, partition: 0 }, { from: 0, to: endOffset });
      const [local, far] = [positions.coverage(stream), upstream.positions.get(stream)];
      for (const had of [local, far ?? upTo(0)])
        if (had === undefined || !sameCoverage(had, upTo(endOffset))) unfinished.push(name);
    }
    const { missing, repeats } = auditor.report();
    return { missing, repeats, unfinished };
  }
}

interface Verdict {
  readonly missing: number;
  readonly repeats: number;
  /** Topics that are not wholly behind the mirror. */
  readonly unfinished: readonly string[];
}

function patterns(
  treatments: readonly Omit<Exclude<TopicPattern, string>, 'match'>[],
): TopicPattern[] {
  return NAMES.map((match, at) => ({ match, ...must(treatments[at], 'one for each') }));
}

function declare(auditor: Auditor, loss: Loss): void {
  const { topic: name, partition, fromOffset, toOffset, reason, records } = loss;
  if (partition === undefined || fromOffset === undefined || toOffset === undefined) return;
  const source = { ...OWNER, topic: name, partition };
  const range = { from: fromOffset, to: toOffset };
  if (reason === 'rewound') auditor.declareResent(source, range);
  else auditor.declareLost(source, range, reason, records);
}

test('each record once, or in the ledger, whatever a person and the links do', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(treatment, THREE()),
      fc.array(fc.nat(9), { minLength: 5, maxLength: 40 }),
      fc.array(step, { maxLength: 40 }),
      async (treatments, chances, steps) => {
        const run = new Run(treatments, chances);
        await run.start();
        for (const one of steps) await run.step(one);
        await run.finish();
        expect(run.judge()).toEqual({ missing: 0, repeats: 0, unfinished: [] });
      },
    ),
    { numRuns: 150 },
  );
}, 120_000);
