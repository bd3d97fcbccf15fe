import { expect, test } from 'vitest';
import { inWorkFolder } from '../support/hunt/work-folder.ts';
import { rotCampaign } from '../support/rot/campaign.ts';

/** The hunt does twenty times as many, with seeds of the day. */
test('20 damaged data folders: each starts, tells nothing wrong, and names what is lost', async () => {
  await inWorkFolder('rot', async (folder) => {
    const result = await rotCampaign({ folder, seed: 20_261_125, cases: 20, casesAFolder: 10 });
    expect(result.failures).toEqual([]);
    expect(Object.keys(result.kinds).length).toBeGreaterThan(8);
  });
}, 180_000);

test('12 damaged tables: no process dies of them, and no more is lost than the blocks that were hit', async () => {
  await inWorkFolder('rot', async (folder) => {
    const tables = { folder, seed: 20_261_126, cases: 12, casesAFolder: 12, tables: true };
    const result = await rotCampaign(tables);
    expect(result.failures).toEqual([]);
    expect(result.aborts).toEqual([]);
  });
}, 180_000);
