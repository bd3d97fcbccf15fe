import { expect, test } from 'vitest';
import { runCampaigns } from '../crash/campaigns.ts';
import { cutWhileThinning } from '../crash/thinning-campaign.ts';
import { huntAckedSet } from '../support/hunt/acked-set.ts';
import { huntWithCluster } from '../support/hunt/exactly-once-run.ts';
import { inWorkFolder, seedOfRun } from '../support/hunt/work-folder.ts';

test('1,900 power cuts of a store: nothing promised is missing or altered', async () => {
  const totals = await runCampaigns(1900);
  expect(totals.problems).toEqual([]);
  expect(totals.cuts).toBe(1900);
  expect(totals.acknowledged).toBeGreaterThan(10_000);
  expect(totals.cutsWhileOpening).toBeGreaterThan(100);
  expect(totals.cutsInRoll).toBeGreaterThan(20);
  expect(totals.repaired).toBeLessThan(20);
  expect(totals.cutsInRemoval).toBeGreaterThan(0);
});

test('150 power cuts while segments are thinned: each is whole, or holds all that was to stay', async () => {
  const { undone, thin } = await cutWhileThinning(150);
  expect(undone).toBeGreaterThan(50);
  expect(thin).toBeGreaterThan(50);
});

test('100 power cuts of the agent under load: everything acknowledged is in the log', async () => {
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

test('60 power cuts of a gateway that mirrors: every record of the log is in Kafka once, in order', async () => {
  const result = await huntWithCluster(60, { powerCuts: true });
  expect(result.problems).toEqual([]);
  expect(result.faults).toBe(60);
  for (const { records } of result.mirrors) expect(records).toBe(result.logRecords);
  expect(result.acked).toBeGreaterThan(1000);
});
