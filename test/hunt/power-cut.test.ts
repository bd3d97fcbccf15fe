import { expect, test } from 'vitest';
import { huntAckedSet } from '../support/hunt/acked-set.ts';
import { inWorkFolder, seedOfRun } from '../support/hunt/work-folder.ts';

test('100 power cuts at random moments: everything acknowledged is in the log', async () => {
  const seed = seedOfRun();
  console.log(`power-cut: GATELOG_SEED=${seed} replays this run`);
  await inWorkFolder('power-cut', async (folder) => {
    const result = await huntAckedSet({ folder, seed, kills: 100, powerCut: true });
    console.log('power-cut:', result);
    expect(result.problems).toEqual([]);
    expect(result.acked).toBeGreaterThan(10_000);
    expect(result.shown).toBeGreaterThan(1000);
    // The cuts cut something: else the witness was not at work.
    expect(result.bytesCut).toBeGreaterThan(0);
  });
});
