import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { type KafkaCluster, startKafkaCluster } from '../kafka/cluster.ts';
import { openKafkaLink } from '../kafka/link.ts';
import {
  type ExactlyOnceOptions,
  type ExactlyOnceResult,
  huntExactlyOnce,
} from './exactly-once.ts';
import { inWorkFolder, seedOfRun } from './work-folder.ts';

/** The cluster's own folder goes with it. */
function keepServerLogs(cluster: KafkaCluster, folder: string): void {
  for (const node of cluster.nodes) {
    copyFileSync(join(node.folder, 'server.log'), join(folder, `kafka-${node.id}.log`));
  }
}

type HuntKind = 'powerCuts' | 'extended' | 'fromDevice';

/** Runs an exactly-once hunt of `faults` faults; afterwards the cluster is whole again. */
export async function huntWithCluster(
  faults: number,
  {
    powerCuts = false,
    extended = false,
    fromDevice = false,
  }: Partial<Pick<ExactlyOnceOptions, HuntKind>> = {},
): Promise<ExactlyOnceResult> {
  const seed = seedOfRun();
  console.log(`exactly-once: ${faults} faults; GATELOG_SEED=${seed} replays this run`);
  const cluster = await startKafkaCluster();
  try {
    const link = await openKafkaLink(cluster);
    try {
      return await inWorkFolder('exactly-once', async (folder) => {
        try {
          const how = { seed, faults, powerCuts, extended, fromDevice };
          const found = await huntExactlyOnce({ folder, ...how, cluster, link });
          console.log(`exactly-once: faults by kind\n${found.table}\nexactly-once:`, found);
          if (found.problems.length > 0) throw new Error(found.problems.join('\n'));
          return found;
        } catch (error) {
          console.error(error);
          keepServerLogs(cluster, folder);
          throw error;
        } finally {
          // Others may use the same cluster after us.
          await link.setMode('open');
          await cluster.restore();
        }
      });
    } finally {
      await link.close();
    }
  } finally {
    await cluster.close();
  }
}
