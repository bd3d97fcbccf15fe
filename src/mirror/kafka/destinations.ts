import { must } from '../../assert.ts';
import { GatelogError } from '../../errors.ts';
import type { StreamId } from '../../record.ts';
import type { Logger } from '../../telemetry.ts';
import type { MirrorStream } from '../upstream.ts';
import type { CentralTopic, Cluster } from './cluster.ts';
import { CODE, codeName } from './codes.ts';
import { distinct } from './address.ts';
import { centralTopicName } from './layout.ts';
import type { Address } from './address.ts';
import type { CreateTopics, KafkaUpstreamOptions } from './options.ts';
import { identityBytes, type Way } from './plan.ts';
import { TopicTrouble } from './topic-trouble.ts';

/** What is asked of a cluster here. */
type TopicKeeper = Pick<Cluster, 'topics' | 'create'>;

/** Where every stream goes in this session, and which broker leads each central partition. */
export interface Destinations {
  readonly ways: ReadonlyMap<StreamId, Way>;
  /** By the stream's local topic and partition. */
  wayOf(topic: string, partition: number): Way;
  leaderOf(topic: string, partition: number): Address;
  readonly leaders: readonly Address[];
}

/** The central topics of these streams, each once. */
export function centralNames(
  streams: readonly MirrorStream[],
  options: KafkaUpstreamOptions,
): string[] {
  return [...new Set(streams.map(({ topic }) => centralNameOf(topic, options)))];
}

function centralNameOf(topic: string, options: KafkaUpstreamOptions): string {
  return centralTopicName(options.topicTemplate ?? '{topic}', topic, options.gateway);
}

/** Finds, or creates where that is allowed, the central topic of every stream. */
export async function findDestinations(
  cluster: TopicKeeper,
  streams: readonly MirrorStream[],
  options: KafkaUpstreamOptions,
): Promise<Destinations> {
  const localOf = new Map<string, string>();
  const nameOf = new Map<string, string>();
  for (const { topic } of streams) {
    const name = centralNameOf(topic, options);
    nameOf.set(topic, name);
    if (!localOf.has(name)) localOf.set(name, topic);
  }
  const names = [...localOf.keys()];
  let topics = names.length === 0 ? new Map<string, CentralTopic>() : await cluster.topics(names);
  let created = false;
  const troubles: TopicTrouble[] = [];
  for (const name of names) {
    const local = must(localOf.get(name), 'every central name came from a local topic');
    try {
      created = (await ensureTopic(cluster, topics.get(name), name, local, options)) || created;
    } catch (error) {
      if (!(error instanceof TopicTrouble)) throw error;
      troubles.push(error);
    }
  }
  const [trouble, ...others] = troubles;
  if (trouble !== undefined) throw trouble.with(others);
  if (created) topics = await cluster.topics(names);
  const { tombstones = false } = options;
  const ways = new Map<StreamId, Way>();
  for (const { stream, topic, partition } of streams) {
    const centralTopic = must(nameOf.get(topic), 'every stream has a central topic');
    const centralPartitions = partitionsOf(topics.get(centralTopic), centralTopic);
    const { gateway, incarnation } = options;
    const identity = identityBytes({ gateway, incarnation, topic, partition });
    const place = { stream, topic, partition, centralTopic, centralPartitions, identity };
    ways.set(stream, { ...place, tombstones });
  }
  return {
    ways,
    wayOf: (topic, partition) =>
      must(
        [...ways.values()].find((way) => way.topic === topic && way.partition === partition),
        'only streams that were connected are sent',
      ),
    leaders: distinct(
      [...topics.values()].flatMap(({ leaders }) => leaders.filter((one) => one !== undefined)),
    ),
    leaderOf: (topic, partition) =>
      must(topics.get(topic)?.leaders[partition], 'a leader was there for every partition'),
  };
}

function partitionsOf(topic: CentralTopic | undefined, name: string): number {
  const leaders = topic?.leaders ?? [];
  const missing = leaders.findIndex((leader) => leader === undefined);
  if (topic === undefined || topic.code !== CODE.none || leaders.length === 0 || missing >= 0) {
    const what = missing >= 0 ? `partition ${missing} of topic` : 'topic';
    throw new GatelogError(
      'UPSTREAM_UNREACHABLE',
      `Kafka has no leader for ${what} '${name}' at the moment`,
    );
  }
  return leaders.length;
}

/** True when the topic had to be created. */
async function ensureTopic(
  cluster: TopicKeeper,
  found: CentralTopic | undefined,
  name: string,
  local: string,
  options: KafkaUpstreamOptions,
): Promise<boolean> {
  const code = found?.code ?? CODE.unknownTopicOrPartition;
  if (code === CODE.topicAuthorizationFailed) throw notAuthorized(local, name, options);
  if (code === CODE.invalidTopic) {
    throw new TopicTrouble(
      'UPSTREAM_REJECTED',
      local,
      `Kafka does not allow the topic name '${name}'`,
    );
  }
  if (code !== CODE.unknownTopicOrPartition) return false;
  const failure = await createTopic(cluster, name, options.create ?? false, options.logger);
  if (failure === undefined) return true;
  throw new TopicTrouble('UPSTREAM_TOPIC_MISSING', local, failure);
}

/** Creates a topic; undefined when it is there now, else why not. */
export async function createTopic(
  cluster: TopicKeeper,
  name: string,
  create: CreateTopics,
  logger: Logger,
): Promise<string | undefined> {
  if (create === false) {
    return `Topic '${name}' does not exist at Kafka and may not be created: create it there, or allow it with kafka.create`;
  }
  const { code, message } = await cluster.create(name, create.partitions, create.replicationFactor);
  if (code === CODE.none) {
    logger.info({ event: 'kafka.topic', topic: name, ...create }, `made topic ${name} at Kafka`);
    return undefined;
  }
  return `Topic '${name}' does not exist at Kafka and could not be created: ${codeName(code)} ${message}`;
}

export function notAuthorized(
  local: string,
  name: string,
  options: KafkaUpstreamOptions,
): TopicTrouble {
  return new TopicTrouble(
    'UPSTREAM_UNAUTHORIZED',
    local,
    `Kafka does not let ${whoOf(options)} write to topic '${name}': grant WRITE and DESCRIBE on it`,
  );
}

export function whoOf({ sasl }: Pick<KafkaUpstreamOptions, 'sasl'>): string {
  return sasl !== undefined && 'username' in sasl ? `user '${sasl.username}'` : 'this gateway';
}
