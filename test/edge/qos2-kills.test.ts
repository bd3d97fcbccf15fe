import { expect, test } from 'vitest';
import { huntAckedSet } from '../support/hunt/acked-set.ts';
import { inWorkFolder, seedOfRun } from '../support/hunt/work-folder.ts';

/** DECISIONS.md, "QoS 2 is taken in the commit of its record"; 100 kills in `npm run test:hunt`. */
test('SIGKILL at 20 random moments: every QoS 2 message is in the log once', async () => {
  const seed = seedOfRun();
  console.log(`qos2-kills: GATELOG_SEED=${seed} replays this run`);
  await inWorkFolder('qos2-kills', async (folder) => {
    const result = await huntAckedSet({ folder, seed, kills: 20, onlyQos2: true });
    console.log('qos2-kills:', result);
    expect(result.problems).toEqual([]);
    expect(result.resendCopies).toBe(0);
    expect(result.acked).toBeGreaterThan(1000);
  });
}, 300_000);
