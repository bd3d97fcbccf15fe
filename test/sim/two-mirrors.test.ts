import { expect, test } from 'vitest';
import { TwoMirrors, type TwoMirrorsOutcome } from './two-mirrors.ts';

/** More with GATELOG_SEEDS, one with GATELOG_SEED. */
const only = process.env['GATELOG_SEED'];
const count = Number(process.env['GATELOG_SEEDS'] ?? '2');
const seeds =
  only === undefined ? Array.from({ length: count }, (_, index) => index + 1) : [Number(only)];

test('two mirrors over one log: each far side has everything once, whatever becomes of the other', async () => {
  const outcomes: TwoMirrorsOutcome[] = [];
  for (const seed of seeds) {
    const outcome = await new TwoMirrors(seed).run().catch((error: unknown) => {
      throw new Error(`GATELOG_SEED=${seed} replays it`, { cause: error });
    });
    expect({ seed, problems: outcome.problems }).toEqual({ seed, problems: [] });
    outcomes.push(outcome);
  }
  const average = (of: (outcome: TwoMirrorsOutcome) => number): number =>
    outcomes.reduce((sum, outcome) => sum + of(outcome), 0) / outcomes.length;
  expect(average(({ records }) => records)).toBeGreaterThan(100);
  expect(average(({ connects }) => connects)).toBeGreaterThan(10);
  expect(only !== undefined || average(({ crashes }) => crashes) > 1).toBe(true);
}, 600_000);
