import { expect, test } from 'vitest';
import { huntAckedSet } from '../support/hunt/acked-set.ts';
import { inWorkFolder, seedOfRun } from '../support/hunt/work-folder.ts';

test.each([
  ['SIGKILLs', false],
  ['power cuts', true],
])('100 %s: every QoS 2 message is in the log once', async (_, powerCut) => {
  const seed = seedOfRun();
  console.log(`qos2: GATELOG_SEED=${seed} replays this run`);
  await inWorkFolder('qos2', async (folder) => {
    const result = await huntAckedSet({ folder, seed, kills: 100, onlyQos2: true, powerCut });
    console.log('qos2:', result);
    expect(result.problems).toEqual([]);
    expect(result.resendCopies).toBe(0);
    expect(result.acked).toBeGreaterThan(5000);
  });
});
