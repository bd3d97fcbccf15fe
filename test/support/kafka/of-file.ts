import { afterAll, beforeAll } from 'vitest';
import { openCluster, type KafkaCluster } from './cluster.ts';

/** A first start of three nodes on a slow machine. */
const START_MS = 420_000;

/** The Kafka cluster of one file's tests: there before the first, given back after the last. */
export class KafkaOfFile {
  #cluster: KafkaCluster | undefined;

  static open(): KafkaOfFile {
    const kafka = new KafkaOfFile();
    beforeAll(async () => {
      kafka.#cluster = await openCluster();
    }, START_MS);
    afterAll(() => kafka.#cluster?.close());
    return kafka;
  }

  get cluster(): KafkaCluster {
    if (this.#cluster === undefined) throw new Error('the cluster is there while tests run');
    return this.#cluster;
  }
}
