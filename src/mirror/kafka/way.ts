import { createTopicsV5, metadataV9 } from '@platformatic/kafka';
import { GatelogError, messageOf } from '../../errors.ts';
import type { Clock } from '../../time.ts';
import { counted } from '../../words.ts';
import { hasFailed, reach, type WayStep } from '../way.ts';
import { type Address, addressName, isSameAddress, parseAddress } from './address.ts';
import { Cluster, type CoordinatorOf, insist } from './cluster.ts';
import { CODE, codeName } from './codes.ts';
import { whoOf } from './destinations.ts';
import { Links } from './links.ts';
import { lackingVersions } from './needed-versions.ts';
import {
  type CreateTopics,
  type Delivery,
  KAFKA_DEFAULTS,
  type KafkaConnection,
  tlsOptions,
} from './options.ts';

/** What is looked at: a mirror's way to its cluster. Nothing is made or changed there. */
export interface KafkaWayOptions extends KafkaConnection {
  readonly delivery: Delivery;
  /** Central topics, by name. */
  readonly topics: readonly string[];
  readonly positionsTopic: string;
  readonly create: CreateTopics;
  readonly transactionalId: string;
  readonly group: string;
  readonly clusterId: string | undefined;
  readonly clock: Clock;
}

type Metadata = Awaited<ReturnType<typeof metadataV9.api.async>>;
type TopicMetadata = Metadata['topics'][number];

export async function* kafkaWay(options: KafkaWayOptions): AsyncGenerator<WayStep, void, void> {
  const reachable: Address[] = [];
  const ways = await Promise.all(
    options.brokers.map(parseAddress).map(async (address) => {
      const steps = await reachBroker(address, options);
      if (!hasFailed(steps)) reachable.push(address);
      return steps;
    }),
  );
  const [first] = reachable;
  for (const step of ways.flat()) {
    // One broker that answers is enough to begin with.
    const isBearable = first !== undefined && step.state === 'failed';
    yield isBearable ? { ...step, state: 'doubtful' } : step;
  }
  if (first === undefined) return;
  const spoken = await speaks(first, options);
  yield spoken;
  if (spoken.state === 'failed') return;
  const links = new Links(options, () => {});
  const ended = new AbortController();
  try {
    yield* inCluster(links, reachable, options, ended.signal);
  } catch (error) {
    yield stepOfError(error);
  } finally {
    ended.abort();
    links.close();
  }
}

function reachBroker({ host, port }: Address, options: KafkaWayOptions): Promise<WayStep[]> {
  const { tls, clock, connectTimeoutMs: timeoutMs = KAFKA_DEFAULTS.connectTimeoutMs } = options;
  return reach({
    host,
    port,
    where: `Kafka at ${addressName({ host, port })}`,
    protocol: 'Kafka',
    tls: tls === undefined ? undefined : tlsOptions(tls),
    timeoutMs,
    clock,
  });
}

/** Brokers tell their versions to whoever has not logged in yet, too (KIP-152). */
async function speaks(broker: Address, options: KafkaWayOptions): Promise<WayStep> {
  const name = 'Kafka';
  const links = new Links({ ...options, sasl: undefined }, () => {});
  try {
    const versions = await links.versions(broker);
    const lacking =
      options.delivery === 'exactly-once'
        ? lackingVersions(versions, addressName(broker))
        : undefined;
    if (lacking !== undefined) return { name, state: 'failed', text: lacking };
    const text = `${addressName(broker)} speaks it, with all that ${options.delivery} delivery needs`;
    return { name, state: 'good', text };
  } catch (error) {
    return { name, state: 'failed', text: messageOf(error) };
  } finally {
    links.close();
  }
}

async function* inCluster(
  links: Links,
  brokers: readonly Address[],
  options: KafkaWayOptions,
  signal: AbortSignal,
): AsyncGenerator<WayStep, void, void> {
  const { delivery, clock, positionsTopic, sasl } = options;
  const isExact = delivery === 'exactly-once';
  const names = [...new Set([...options.topics, ...(isExact ? [positionsTopic] : [])])];
  const cluster = await Cluster.open({ links, brokers, topics: names, clock, signal });
  if (sasl !== undefined) {
    const text = `as ${whoOf({ sasl })} with ${sasl.mechanism}`;
    yield { name: 'login', state: 'good', text };
  }
  // The library sends the two flags the other way round than the protocol has them (KIP-430).
  const found = await links.call(cluster.seed, metadataV9.api, names, false, true, true);
  yield clusterStep(cluster, found, options);
  yield* advertised(found, options);
  for (const topic of found.topics) yield await topicStep(cluster, links, topic, options, signal);
  if (!isExact) return;
  yield await coordinatorStep(cluster, 'transaction', options.transactionalId, options);
  yield await coordinatorStep(cluster, 'group', options.group, options);
}

function clusterStep(cluster: Cluster, found: Metadata, options: KafkaWayOptions): WayStep {
  const name = 'cluster';
  const addresses = found.brokers.map(addressName).join(', ');
  const text = `${cluster.id}, ${counted(found.brokers.length, 'broker')}: ${addresses}`;
  const { clusterId } = options;
  if (clusterId === undefined || clusterId === cluster.id) return { name, state: 'good', text };
  const why = `the cluster reached is '${cluster.id}', and clusterId says '${clusterId}': check brokers, or set clusterId to move there on purpose`;
  return { name, state: 'failed', text: why };
}

/** Clients are sent on to the addresses that the brokers advertise: those must be reachable, too. */
async function* advertised(
  { brokers }: Metadata,
  options: KafkaWayOptions,
): AsyncGenerator<WayStep, void, void> {
  const configured = options.brokers.map(parseAddress);
  const others = brokers.filter((each) => !configured.some((one) => isSameAddress(one, each)));
  for (const steps of await Promise.all(others.map((each) => reachBroker(each, options)))) {
    for (const step of steps.filter(({ state }) => state !== 'good')) {
      const advice =
        'it is what the cluster advertises: unless that broker is down, set advertised.listeners of the brokers to addresses that this gateway can resolve and reach';
      yield { ...step, name: 'cluster', text: `${step.text}; ${advice}` };
    }
  }
}

/** Bits of Kafka's authorized operations (AclOperation). */
const OPERATION = { read: 3, write: 4 } as const;
/** The broker does not say. */
const UNTOLD = -2_147_483_648;

async function topicStep(
  cluster: Cluster,
  links: Links,
  { name: topic, errorCode, partitions, topicAuthorizedOperations: allowed }: TopicMetadata,
  options: KafkaWayOptions,
  signal: AbortSignal,
): Promise<WayStep> {
  const name = 'topic';
  const isPositions = topic === options.positionsTopic;
  const need = isPositions ? 'read' : 'write';
  const right = isPositions ? 'READ and DESCRIBE' : 'WRITE and DESCRIBE';
  const refused: WayStep = {
    name,
    state: 'failed',
    text: `Kafka does not let ${whoOf(options)} ${need} topic '${topic}': grant ${right} on it`,
  };
  if (errorCode === CODE.topicAuthorizationFailed) return refused;
  if (errorCode === CODE.unknownTopicOrPartition) {
    return missingStep(cluster, links, topic, options, signal);
  }
  if (errorCode !== CODE.none && errorCode !== CODE.leaderNotAvailable) {
    const text = `'${topic}': ${codeName(errorCode)}`;
    return { name, state: 'failed', text };
  }
  const may = allowed === UNTOLD || (allowed & (1 << OPERATION[need])) !== 0;
  if (!may) return refused;
  const leaderless = partitions.filter(({ leaderId }) => leaderId < 0).length;
  if (leaderless > 0) {
    const text = `'${topic}': ${counted(leaderless, 'partition')} without a leader; records wait until the brokers have one`;
    return { name, state: 'doubtful', text };
  }
  const text = `'${topic}' is there, with ${counted(partitions.length, 'partition')}, and may be used`;
  return { name, state: 'good', text };
}

/** Asks the brokers whether it could be made, and makes nothing. */
async function missingStep(
  cluster: Cluster,
  links: Links,
  topic: string,
  { create, clock, positionsTopic }: KafkaWayOptions,
  signal: AbortSignal,
): Promise<WayStep> {
  const name = 'topic';
  if (create === false) {
    const text = `'${topic}' is not there, and gatelog may not make it: create it, or allow it with kafka.create`;
    return { name, state: 'failed', text };
  }
  const request = {
    name: topic,
    numPartitions: topic === positionsTopic ? POSITIONS_PARTITIONS : create.partitions,
    replicationFactor: create.replicationFactor,
    assignments: [],
    configs: [],
  };
  const { topics } = await insist(
    clock,
    signal,
    () => links.call(cluster.seed, createTopicsV5.api, [request], 15_000, true),
    (answer) => answer.topics[0]?.errorCode === CODE.notController,
  );
  const { errorCode = CODE.none, errorMessage } = topics[0] ?? {};
  if (errorCode === CODE.none || errorCode === CODE.topicAlreadyExists) {
    return { name, state: 'good', text: `'${topic}' is not there yet; gatelog may make it` };
  }
  const why = `${codeName(errorCode)}${errorMessage ? `, ${errorMessage}` : ''}`;
  const text = `'${topic}' is not there, and gatelog may not make it (${why}): create it, or grant CREATE on it`;
  return { name, state: 'failed', text };
}

/** As many as it is made with at the least. */
const POSITIONS_PARTITIONS = 64;

async function coordinatorStep(
  cluster: Cluster,
  of: CoordinatorOf,
  key: string,
  options: KafkaWayOptions,
): Promise<WayStep> {
  const isGroup = of === 'group';
  const name = isGroup ? 'positions' : 'transactions';
  const what = isGroup ? `group '${key}'` : `transactional id '${key}'`;
  const { code, address } = await cluster.coordinator(of, key);
  if (code === CODE.none) {
    return { name, state: 'good', text: `${what} is kept by ${addressName(address)}` };
  }
  const isRefused =
    code === CODE.groupAuthorizationFailed || code === CODE.transactionalIdAuthorizationFailed;
  const right = isGroup ? 'READ' : 'WRITE and DESCRIBE (prefixed, for those behind it)';
  const text = isRefused
    ? `Kafka does not let ${whoOf(options)} use ${what}: grant ${right} on it`
    : `${what} has no coordinator: ${codeName(code)}`;
  return { name, state: 'failed', text };
}

function stepOfError(error: unknown): WayStep {
  const isLogin = error instanceof GatelogError && error.code === 'UPSTREAM_UNAUTHENTICATED';
  return { name: isLogin ? 'login' : 'cluster', state: 'failed', text: messageOf(error) };
}
