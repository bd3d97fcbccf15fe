import { expect, test } from 'vitest';
import { huntAckedSet } from '../support/hunt/acked-set.ts';
import { inWorkFolder, seedOfRun } from '../support/hunt/work-folder.ts';

test('SIGKILL at 500 random moments: everything acknowledged is in the log, once, unaltered', async () => {
  const seed = seedOfRun();
  console.log(`acked-set: GATELOG_SEED=${seed} replays this run`);
  await inWorkFolder('acked-set', async (folder) => {
    const result = await huntAckedSet({ folder, seed, kills: 500 });
    console.log('acked-set:', result);
    expect(result.problems).toEqual([]);
    expect(result.acked).toBeGreaterThan(10_000);
  });
});
