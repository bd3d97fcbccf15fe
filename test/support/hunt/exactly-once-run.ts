import { startKafkaCluster } from '../kafka/cluster.ts';
import { type ExactlyOnceResult, huntExactlyOnce } from './exactly-once.ts';
import { ProxiedLinks } from './proxied-links.ts';
import { inWorkFolder, seedOfRun } from './work-folder.ts';

/**
 * Runs an exactly-once hunt of `faults` faults. With a cluster of its own: it kills brokers, and
 * what a killed broker leaves behind must not trouble the tests after it.
 */
export async function huntWithCluster(faults: number): Promise<ExactlyOnceResult> {
  const seed = seedOfRun();
  console.log(`exactly-once: ${faults} faults; GATELOG_SEED=${seed} replays this run`);
  const cluster = await startKafkaCluster();
  try {
    const links = await ProxiedLinks.start(cluster);
    try {
      const result = await inWorkFolder('exactly-once', (folder) =>
        huntExactlyOnce({ folder, seed, faults, cluster, links }),
      );
      console.log(`exactly-once: faults by kind\n${result.table}\nexactly-once:`, result);
      return result;
    } finally {
      await links.close();
    }
  } finally {
    await cluster.close();
  }
}
