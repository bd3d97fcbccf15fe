import { expect, test } from 'vitest';
import { inWorkFolder } from '../support/hunt/work-folder.ts';
import { rotCampaign } from '../support/rot/campaign.ts';

/** The hunt does ten times as many, with seeds of the day. */
test('60 damaged data folders: each starts, tells nothing wrong, and names what is lost', async () => {
  await inWorkFolder('rot', async (folder) => {
    const result = await rotCampaign({ folder, seed: 20_261_125, cases: 60, casesAFolder: 20 });
    expect(result.failures).toEqual([]);
    expect(Object.keys(result.kinds).length).toBeGreaterThan(12);
  });
}, 180_000);
