import { expect, test } from 'vitest';
import { huntAckedSet } from '../support/hunt/acked-set.ts';
import { inWorkFolder, seedOfRun } from '../support/hunt/work-folder.ts';

/** DECISIONS.md, "Numbers that devices give"; 100 kills and power cuts in `npm run test:hunt`. */
test('SIGKILL at 6 random moments: every numbered message is in the log once', async () => {
  const seed = seedOfRun();
  console.log(`device-numbers: GATELOG_SEED=${seed} replays this run`);
  await inWorkFolder('device-numbers', async (folder) => {
    const result = await huntAckedSet({ folder, seed, kills: 6, numbered: true });
    console.log('device-numbers:', result);
    expect(result.problems).toEqual([]);
    expect(result.resendCopies).toBe(0);
    expect(result.acked).toBeGreaterThan(500);
  });
}, 180_000);
