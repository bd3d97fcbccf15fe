import { GatelogError } from '../../errors.ts';
import type { MirrorStream } from '../upstream.ts';
import type { Cluster } from './cluster.ts';
import { CODE, codeName } from './codes.ts';
import { createTopic, whoOf } from './destinations.ts';
import type { KafkaUpstreamOptions } from './options.ts';

/**
 * The small topic whose partitions stand for our streams in the consumer group. Nothing is ever
 * written to it; brokers only demand that the partitions exist. Gateways share it, for each has a
 * group of its own.
 */
const PARTITIONS_AT_LEAST = 64;

export async function ensurePositionsTopic(
  cluster: Cluster,
  name: string,
  streams: readonly MirrorStream[],
  options: KafkaUpstreamOptions,
): Promise<void> {
  const needed = streams.reduce((most, { stream }) => Math.max(most, stream + 1), 1);
  let topic = (await cluster.topics([name])).get(name);
  if (topic === undefined || topic.code === CODE.unknownTopicOrPartition) {
    const partitions = roomFor(needed);
    const { create = false } = options;
    const failure = await createTopic(
      cluster,
      name,
      create === false ? false : { ...create, partitions },
      options.logger,
    );
    if (failure !== undefined) throw new GatelogError('UPSTREAM_TOPIC_MISSING', failure);
    topic = (await cluster.topics([name])).get(name);
  }
  if (topic?.code === CODE.topicAuthorizationFailed) {
    throw new GatelogError(
      'UPSTREAM_UNAUTHORIZED',
      `Kafka does not let ${whoOf(options)} use the positions topic '${name}': grant READ and DESCRIBE on it`,
    );
  }
  if (topic === undefined || topic.code !== CODE.none) {
    throw new GatelogError(
      'UPSTREAM_UNREACHABLE',
      `The positions topic '${name}' is not available: ${codeName(topic?.code ?? CODE.none)}`,
    );
  }
  if (topic.leaders.length >= needed) return;
  const mayGrow = (options.create ?? false) !== false;
  const code = mayGrow ? await cluster.grow(name, roomFor(needed)) : CODE.none;
  if (mayGrow && code === CODE.none) {
    options.logger.info({ topic: name, partitions: roomFor(needed) }, 'raised the partitions');
    return;
  }
  const why = mayGrow ? ` (it may not do so itself: ${codeName(code)})` : '';
  throw new GatelogError(
    'UPSTREAM_TOPIC_MISSING',
    `The positions topic '${name}' has ${topic.leaders.length} partitions and this gateway needs ${needed}: raise its number of partitions at Kafka${why}`,
  );
}

/** One partition for each stream that the gateway ever made; streams are numbered densely. */
function roomFor(needed: number): number {
  return Math.max(PARTITIONS_AT_LEAST, 2 ** Math.ceil(Math.log2(needed)));
}
