import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { inWorkFolder, seedOfRun } from '../support/hunt/work-folder.ts';
import { ramFolder } from './ram-folder.ts';
import { type CampaignResult, prepareTools, runCampaign } from './store-campaign.ts';

/** Side by side, each on a folder of its own; variants of the store follow each other by seed. */
const LANES = 3;
/** A log grows with its campaign, and every reading of it takes longer. */
const CUTS_MAX = 100;

export interface Totals {
  readonly cuts: number;
  readonly cutsWhileOpening: number;
  readonly cutsInRoll: number;
  readonly cutsInRemoval: number;
  readonly bytesLost: number;
  readonly undone: number;
  readonly acknowledged: number;
  readonly retired: number;
  readonly repaired: number;
  readonly problems: readonly string[];
}

/** `cuts` power cuts in all. A failing run prints its seed and keeps its folder. */
export async function runCampaigns(cuts: number): Promise<Totals> {
  const seed = seedOfRun();
  console.log(`power-cut: GATELOG_SEED=${seed} replays this run`);
  return inWorkFolder(
    'power-cut',
    async (folder) => {
      const tools = await prepareTools(folder);
      const count = Math.max(LANES, Math.ceil(cuts / CUTS_MAX));
      const plans = Array.from({ length: count }, (_, index) => ({
        folder: join(folder, `campaign-${index}`),
        seed: seed + index,
        cuts: Math.floor((cuts + index) / count),
      }));
      const results: CampaignResult[] = [];
      const work = async (): Promise<void> => {
        for (let plan = plans.shift(); plan !== undefined; plan = plans.shift()) {
          const result = await runCampaign({ ...plan, tools });
          results.push(result);
          if (result.problems.length > 0) return; // Its folder stays; what is under way ends.
          rmSync(plan.folder, { recursive: true });
        }
      };
      await Promise.all(Array.from({ length: LANES }, work));
      for (const result of results) console.log('power-cut:', result);
      const totals = totalOf(results);
      if (totals.problems.length > 0) throw new Error(totals.problems.join('\n'));
      return totals;
    },
    ramFolder(),
  );
}

function totalOf(results: readonly CampaignResult[]): Totals {
  const sum = (of: (result: CampaignResult) => number): number =>
    results.reduce((total, result) => total + of(result), 0);
  return {
    cuts: sum(({ cuts }) => cuts),
    cutsWhileOpening: sum(({ cutsWhileOpening }) => cutsWhileOpening),
    cutsInRoll: sum(({ cutsInRoll }) => cutsInRoll),
    cutsInRemoval: sum(({ cutsInRemoval }) => cutsInRemoval),
    bytesLost: sum(({ bytesLost }) => bytesLost),
    undone: sum(({ undone }) => undone),
    acknowledged: sum(({ acknowledged }) => acknowledged),
    retired: sum(({ retired }) => retired),
    repaired: sum(({ repaired }) => repaired),
    problems: results.flatMap(({ seed, variant, problems }) =>
      problems.map((problem) => `${problem} (seed ${seed}, ${variant})`),
    ),
  };
}
