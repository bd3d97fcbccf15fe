import { join } from 'node:path';
import { SHARED_CLUSTER, startKafkaCluster } from '../support/kafka/cluster.ts';

/**
 * One Kafka for all files of a run: the workers inherit the environment, and `startKafkaCluster`
 * finds it there. Set from outside (`npm run kafka` prints it) a running cluster is used instead.
 */
export default async function setup(): Promise<() => Promise<void>> {
  if (process.env[SHARED_CLUSTER] !== undefined) return async () => {};
  const cluster = await startKafkaCluster();
  process.env[SHARED_CLUSTER] = join(cluster.state.folder, 'cluster.json');
  return async () => {
    delete process.env[SHARED_CLUSTER];
    await cluster.close();
  };
}
