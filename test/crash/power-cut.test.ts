import { expect, test } from 'vitest';
import { inWorkFolder } from '../support/hunt/work-folder.ts';
import { runCampaigns } from './campaigns.ts';
import { ramFolder } from './ram-folder.ts';
import { prepareTools, runCampaign } from './store-campaign.ts';

/** 2,000 in `npm run test:hunt`. */
test('200 power cuts, under load, in rolls, retention and recovery: nothing promised is missing or altered', async () => {
  const totals = await runCampaigns(200);
  expect(totals.problems).toEqual([]);
  expect(totals.cuts).toBe(200);
  expect(totals.acknowledged).toBeGreaterThan(1000);
  // The cuts cut something, and everywhere: else the witness was not at work.
  expect(totals.bytesLost).toBeGreaterThan(10_000);
  expect(totals.undone).toBeGreaterThan(50);
  expect(totals.retired).toBeGreaterThan(100);
  // LevelDB's repair is for damage, not for what every cut leaves: it believes torn bytes.
  expect(totals.repaired).toBeLessThan(5);
  expect(totals.cutsWhileOpening).toBeGreaterThan(5);
  expect(totals.cutsInRoll + totals.cutsInRemoval).toBeGreaterThan(0);
}, 600_000);

test.each(['sync-off', 'folders'] as const)(
  'a store with a planted bug (%s) is caught',
  async (plant) => {
    await inWorkFolder(
      `planted-${plant}`,
      async (folder) => {
        const tools = await prepareTools(folder);
        const { problems, cuts } = await runCampaign({ folder, tools, seed: 1, cuts: 60, plant });
        expect(problems).not.toEqual([]);
        expect(cuts).toBeLessThan(60);
      },
      ramFolder(),
    );
  },
  300_000,
);
