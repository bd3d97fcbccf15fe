import { expect, test } from 'vitest';
import { huntAckedSet } from '../support/hunt/acked-set.ts';
import { inWorkFolder, seedOfRun } from '../support/hunt/work-folder.ts';

/** Invariants 1, 2, 3 and 10 on the real agent; 500 kills in `npm run test:hunt`. */
test('SIGKILL at 50 random moments: everything acknowledged is in the log, once, unaltered', async () => {
  const seed = seedOfRun();
  console.log(`acked-set: GATELOG_SEED=${seed} replays this run`);
  await inWorkFolder('acked-set', async (folder) => {
    const result = await huntAckedSet({ folder, seed, kills: 50 });
    console.log('acked-set:', result);
    expect(result.problems).toEqual([]);
    expect(result.acked).toBeGreaterThan(1000);
    expect(result.shown).toBeGreaterThan(1000);
  });
}, 300_000);
