import { describe, expect, test } from 'vitest';
import { type Outcome, Simulation } from './simulation.ts';

/**
 * The whole pipeline in simulated time: appends → the real store on a disk that crashes → the real
 * mirror → a far side that fails in every way it can. One seed decides everything: what is
 * appended, when, and every fault; the same seed gives the same run.
 *
 * What may happen (the fault model):
 * - the process dies at any moment (in a commit, in a send, while starting) and starts again; of
 *   what the disk had not synced, any suffix of each database is gone; what was synced stays;
 * - a write fails, and has arrived or not; it is stopped in good order and started;
 * - the far side refuses connections, breaks sessions, fails before it acts, acts and loses the
 *   answer, acts late or after the session is over, never answers, answers after 20 s, is fenced
 *   by a clone; it refuses single records for good;
 * - a person pauses and resumes; topics appear while the mirror runs;
 * - with classes: a link with a cap, a budget, windows, metered now and then, whose clock is not
 *   trusted now and then.
 * Outside of it: synced data that vanishes or rots, clocks that jump, retention, and a disk that says
 * it is full: believed at the third time, it has the oldest records given up.
 *
 * What must hold at the end, when faults have ceased and the mirror says it is live:
 * - every acknowledged record is in the log as it was acknowledged;
 * - every record of the log is at the far side or in quarantine, never both; but of sampled topics, where
 *   as many as the loss ledger says are in neither;
 * - each once and in order per key (but of topics that go live or newest first, or are sampled), by the auditor that
 *   `gatelog verify` uses (where positions are
 *   ours alone: at least once, first arrivals in order).
 *
 * GATELOG_SEED=n runs that seed alone; GATELOG_SEEDS=n runs n of them, from 1.
 */
const only = process.env['GATELOG_SEED'];
const count = Number(process.env['GATELOG_SEEDS'] ?? 100);
const seeds =
  only === undefined ? Array.from({ length: count }, (_, at) => at + 1) : [Number(only)];

/** Of the runs with classes and other orders than the log's. */
const fewer = seeds.slice(0, Math.ceil(seeds.length / 5));

async function run(seed: number, exactlyOnce: boolean, mixed = false): Promise<Outcome> {
  try {
    return await new Simulation({ seed, exactlyOnce, mixed }).run();
  } catch (error) {
    throw new Error(`seed ${seed} failed; replay: ${replay(seed)}`, { cause: error });
  }
}

function replay(seed: number): string {
  return `GATELOG_SEED=${seed} npx vitest run --project unit test/sim`;
}

interface Verdict {
  readonly replay: string;
  readonly lost: readonly string[];
  readonly misplaced: readonly string[];
  readonly altered: readonly string[];
  readonly missing: number;
  readonly disorder: number;
  readonly repeats: number;
}

function verdict(seed: number, outcome: Outcome, exactlyOnce: boolean): Verdict {
  const { lost, misplaced, altered, audit } = outcome;
  const { missing, disorder } = audit;
  const repeats = exactlyOnce ? audit.repeats : 0;
  return { replay: replay(seed), lost, misplaced, altered, missing, disorder, repeats };
}

const CLEAN = { lost: [], misplaced: [], altered: [], missing: 0, disorder: 0, repeats: 0 };

async function runAll(exactlyOnce: boolean, mixed = false): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const seed of mixed ? fewer : seeds) {
    const outcome = await run(seed, exactlyOnce, mixed);
    expect(verdict(seed, outcome, exactlyOnce)).toEqual({ replay: replay(seed), ...CLEAN });
    outcomes.push(outcome);
  }
  return outcomes;
}

const LONG = { timeout: 600_000 };

describe('the whole pipeline', () => {
  test('positions at the far side: every record exactly once, in order', LONG, async () => {
    const outcomes = await runAll(true);
    expect(outcomes.length).toBe(seeds.length);
  });

  test('positions of our own: at least once, first arrivals in order', LONG, async () => {
    const outcomes = await runAll(false);
    expect(outcomes.length).toBe(seeds.length);
  });

  test.for([true, false])(
    'classes, orders and links that change with every start (far positions: %s)',
    LONG,
    async (exactlyOnce) => {
      const outcomes = await runAll(exactlyOnce, true);
      const reordered = outcomes.reduce((sum, { audit }) => sum + audit.reordered, 0);
      const held = outcomes.reduce((sum, outcome) => sum + outcome.held, 0);
      const sampled = outcomes.reduce((sum, outcome) => sum + outcome.sampled, 0);
      const struck = Math.min(reordered, held, sampled);
      expect(only !== undefined || struck > fewer.length).toBe(true);
    },
  );

  test('the faults do strike: runs that meet none would prove nothing', LONG, async () => {
    const outcomes: Outcome[] = [];
    for (let seed = 1; seed <= 20; seed++) outcomes.push(await run(seed, true));
    const average = (of: (outcome: Outcome) => number): number =>
      outcomes.reduce((sum, outcome) => sum + of(outcome), 0) / outcomes.length;
    expect(average(({ acknowledged }) => acknowledged)).toBeGreaterThan(50);
    expect(average(({ connects }) => connects)).toBeGreaterThan(4);
    expect(average(({ crashes }) => crashes)).toBeGreaterThan(1);
    expect(average(({ restarts }) => restarts)).toBeGreaterThan(1);
    expect(average(({ quarantined }) => quarantined)).toBeGreaterThan(1);
  });

  test('the same seed gives the same run', async () => {
    const seed = seeds[0] ?? 1;
    const [one, other] = [await run(seed, true), await run(seed, true)];
    expect(other).toEqual(one);
  });
});
