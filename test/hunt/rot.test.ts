import { expect, test } from 'vitest';
import { inWorkFolder, seedOfRun } from '../support/hunt/work-folder.ts';
import { rotCampaign } from '../support/rot/campaign.ts';

test('600 damaged data folders: each starts, tells nothing wrong, and names what is lost', async () => {
  const seed = seedOfRun();
  console.log(`rot: GATELOG_SEED=${seed} replays this run`);
  await inWorkFolder('rot', async (folder) => {
    const cases = Number(process.env['GATELOG_CASES'] ?? 600);
    const result = await rotCampaign({ folder, seed, cases, casesAFolder: 20 });
    console.log('rot:', result.cases, 'cases,', result.aborts.length, 'aborts,', result.kinds);
    for (const failure of result.failures) console.log(JSON.stringify(failure));
    expect(result.failures).toEqual([]);
  });
});

test('600 damaged tables: no process dies of them, and no more is lost than the blocks that were hit', async () => {
  const seed = seedOfRun();
  console.log(`rot of tables: GATELOG_SEED=${seed} replays this run`);
  await inWorkFolder('rot', async (folder) => {
    const cases = Number(process.env['GATELOG_CASES'] ?? 600);
    const result = await rotCampaign({ folder, seed, cases, casesAFolder: 20, tables: true });
    console.log(
      'rot of tables:',
      result.cases,
      'cases,',
      result.aborts.length,
      'aborts,',
      result.kinds,
    );
    for (const failure of result.failures) console.log(JSON.stringify(failure));
    expect(result.failures).toEqual([]);
    expect(result.aborts).toEqual([]);
  });
});
