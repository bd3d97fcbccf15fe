import { expect, test } from 'vitest';
import { huntAckedSet } from '../support/hunt/acked-set.ts';
import { huntWithCluster } from '../support/hunt/exactly-once-run.ts';
import { inWorkFolder, seedOfRun } from '../support/hunt/work-folder.ts';

test.each([
  ['SIGKILLs', false],
  ['power cuts', true],
])('100 %s: every message that its device numbered is in the log once', async (_, powerCut) => {
  const seed = seedOfRun();
  console.log(`device-numbers: GATELOG_SEED=${seed} replays this run`);
  await inWorkFolder('device-numbers', async (folder) => {
    const result = await huntAckedSet({ folder, seed, kills: 100, numbered: true, powerCut });
    console.log('device-numbers:', result);
    expect(result.problems).toEqual([]);
    expect(result.resendCopies).toBe(0);
    expect(result.acked).toBeGreaterThan(5000);
  });
});

test('100 kills, power cuts and faults of links: what devices sent is in Kafka, each message once', async () => {
  const result = await huntWithCluster(100, { fromDevice: true });
  expect(result.problems).toEqual([]);
  expect(result.faults).toBe(100);
  expect(result.resendCopies).toBe(0);
  expect(result.acked).toBe(result.sent);
  expect(result.logRecords).toBe(result.sent);
  for (const { records } of result.mirrors) expect(records).toBe(result.sent);
  expect(result.sent).toBeGreaterThan(5000);
});
