import { readFile } from 'node:fs/promises';
import { aborted } from '../abort.ts';
import { must } from '../assert.ts';
import { GatelogError, messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import { usableMemory } from '../memory.ts';
import { MIRROR_LIMITS } from '../mirror-limits.ts';
import { type Claim, Claims } from '../mirror/claims.ts';
import type { KafkaConnection } from '../mirror/kafka/options.ts';
import type { OtherBooks } from '../mirror/kafka/other-books.ts';
import { ConnectAttempts } from '../mirror/connect-attempts.ts';
import type { MirrorOptions } from '../mirror/mirror-options.ts';
import { Mirror } from '../mirror/mirror.ts';
import { NetworkWatch } from '../mirror/network-watch.ts';
import { LinkPolicy } from '../mirror/policy/link-policy.ts';
import { treatmentOf } from '../mirror/selection.ts';
import type { Upstream } from '../mirror/upstream.ts';
import type { Random } from '../random.ts';
import type { PositionStore, Store, TopicOptions } from '../store/log.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import type {
  Config,
  KafkaUpstreamConfig,
  MirrorConfig,
  MqttUpstreamConfig,
} from './config-types.ts';
import {
  decisionsSpace,
  journalSpace,
  linkSpace,
  positionsName,
  sampledSpace,
} from './known-mirrors.ts';
import { MqttFarSides } from './mirror-far-sides.ts';

/** What mirrors are built of. Clients are loaded only where they are used. */
export interface MirrorSurroundings {
  readonly store: Store;
  /** Its time of day is the best that is known. */
  readonly clock: Clock;
  readonly isClockSound: () => boolean;
  readonly random: Random;
  readonly logger: Logger;
  /** Names of all mirrors that ever ran on the data folder, as of now. */
  readonly known: () => readonly string[];
}

/** Where records go that a far side will never take. */
const QUARANTINE = '_quarantine';
const QUARANTINE_OPTIONS: TopicOptions = {
  partitions: 1,
  durability: 'fsync',
  retentionMs: LIMITS.quarantineRetentionMs,
  retentionBytes: LIMITS.quarantineBytes,
};

/** The mirrors of one agent, and what they have in common. */
export class MirrorFleet {
  /** By name; changed while the agent runs. */
  readonly #mirrors: Map<string, Mirror>;
  readonly #surroundings: MirrorSurroundings;
  readonly #farSides: MqttFarSides;
  readonly #network: NetworkWatch;
  readonly #claims: Claims = new Claims();
  readonly #quarantine: MirrorOptions['quarantine'];

  /** Fills `mirrors`, which is empty. */
  constructor(config: Config, mirrors: Map<string, Mirror>, surroundings: MirrorSurroundings) {
    const { store, clock } = surroundings;
    const { writer } = store;
    this.#mirrors = mirrors;
    this.#surroundings = surroundings;
    this.#farSides = new MqttFarSides(store, config);
    this.#network = new NetworkWatch(clock);
    this.#quarantine = { writer, topic: writer.defineTopic(QUARANTINE, QUARANTINE_OPTIONS) };
  }

  /** MUST come before anything is appended where the process begins: see OwnRecords. */
  async build(names: readonly string[], config: Config): Promise<void> {
    for (const name of names) await this.#farSides.expects(configOf(name, config));
    for (const name of names) this.#mirrors.set(name, await this.#build(name, config));
  }

  async start(names: readonly string[]): Promise<void> {
    for (const name of names) await this.#mirrors.get(name)?.start();
  }

  /**
   * Of the mirrors that are to change all end before any begins anew, in good order, and have written all that they
   * know: two at once would each take the other for a clone, and what one has at a far side another may have
   * then. False: the agent stops, and none is to begin.
   */
  async end(names: readonly string[], signal: AbortSignal): Promise<boolean> {
    const before = names.flatMap((name) => this.#mirrors.get(name) ?? []);
    await Promise.all(before.map((mirror) => mirror.stop()));
    const ended = async (mirror: Mirror): Promise<void> => mirror.ended;
    await Promise.race([Promise.all(before.map(ended)), aborted(signal)]);
    for (const name of names) this.#claims.release(name);
    return !signal.aborted;
  }

  /** Those that have ended, with what a configuration says of them now, and new ones; the others go. */
  async begin(names: readonly string[], config: Config, signal: AbortSignal): Promise<void> {
    this.#farSides.changed(config);
    const going = names.filter((name) => config.mirrors[name] !== undefined);
    for (const name of names) if (!going.includes(name)) this.#mirrors.delete(name);
    await this.build(going, config);
    if (!signal.aborted) await this.start(going);
  }

  /** Side by side: each waits for its far side. */
  async stop(): Promise<void> {
    await Promise.all([...this.#mirrors.values()].map((mirror) => mirror.stop()));
  }

  async #build(name: string, config: Config): Promise<Mirror> {
    const { store, clock, random, logger, isClockSound } = this.#surroundings;
    const mirror = configOf(name, config);
    const { maxRecords, maxWaitMs } = mirror.batch;
    const { underWayBytes, batchBytes } = shareOf(mirror);
    const maxBytes = mirror.batch.maxBytes ?? batchBytes;
    const positions = await store.positions(positionsName(name), { pins: mirror.mustDeliver });
    const own = { ...this.#surroundings, logger: logger.child({ mirror: name }) };
    const policy = await policyOf(name, mirror, own, own.logger);
    const attempts = new ConnectAttempts(clock);
    const claim = this.#claims.take.bind(this.#claims, name);
    const farSides = this.#farSides;
    const parts = { ...own, positions, claim, farSides, policy, attempts };
    return new Mirror({
      name,
      gateway: config.gateway,
      incarnation: store.identity.incarnation,
      reader: store.reader,
      positions,
      ledger: store.ledger,
      quarantine: this.#quarantine,
      decisions: store.keyValue(decisionsSpace(name)),
      sampled: store.keyValue(sampledSpace(name)),
      upstream: await buildUpstream(name, mirror, config, parts),
      attempts,
      policy,
      topics: mirror.topics,
      expiryNowMs:
        mirror.expired === 'send'
          ? () => undefined
          : () => (isClockSound() ? clock.nowMs() : undefined),
      // Where it stood is not known: to begin at the end would skip in silence.
      startAt: positions.lost ? ('beginning' as const) : mirror.start,
      batching: {
        ...(maxRecords === undefined ? {} : { maxRecords }),
        ...(maxBytes === undefined ? {} : { maxBytes }),
        ...(maxWaitMs === undefined ? {} : { maxWaitMs }),
      },
      underWayBytes,
      network: this.#network,
      clock,
      random,
      logger,
    });
  }
}

function configOf(name: string, { mirrors }: Config): MirrorConfig {
  return must(mirrors[name], 'the configuration names it');
}

/**
 * What batches may take of the memory: those to Kafka are large, and several are under way. Those to MQTT
 * are small anyhow.
 */
function shareOf({ upstream }: MirrorConfig): {
  readonly underWayBytes?: number;
  readonly batchBytes?: number;
} {
  const { smallMemoryBytes, smallUnderWayBytes, smallBatchBytes } = MIRROR_LIMITS;
  if (upstream.kind !== 'kafka' || usableMemory() >= smallMemoryBytes) return {};
  return { underWayBytes: smallUnderWayBytes, batchBytes: smallBatchBytes };
}

interface UpstreamSurroundings extends MirrorSurroundings {
  readonly positions: PositionStore;
  readonly claim: (claims: readonly Claim[]) => void;
  readonly farSides: MqttFarSides;
  readonly policy: LinkPolicy | undefined;
  readonly attempts: ConnectAttempts;
}

function policyOf(
  name: string,
  { link, topics }: MirrorConfig,
  { store, clock, isClockSound }: MirrorSurroundings,
  logger: Logger,
): Promise<LinkPolicy | undefined> {
  if (link === undefined) return Promise.resolve(undefined);
  const space = store.keyValue(linkSpace(name));
  const samples = topics.some((rule) => treatmentOf(rule).sample?.when === 'metered');
  return LinkPolicy.load({ name, rules: link, samples, space, clock, isClockSound, logger });
}

function buildUpstream(
  name: string,
  mirror: MirrorConfig,
  config: Config,
  surroundings: UpstreamSurroundings,
): Promise<Upstream> {
  return mirror.upstream.kind === 'kafka'
    ? kafkaUpstream(name, mirror.upstream, config, surroundings)
    : mqttUpstream(name, mirror.upstream, config, surroundings);
}

async function kafkaUpstream(
  name: string,
  kafka: KafkaUpstreamConfig,
  config: Config,
  surroundings: UpstreamSurroundings,
): Promise<Upstream> {
  const { store, clock, isClockSound, logger, positions, claim, policy, attempts } = surroundings;
  const others = (): string[] => surroundings.known().filter((other) => other !== name);
  const { createKafkaUpstream } = await import('../mirror/kafka/kafka-upstream.ts');
  return createKafkaUpstream({
    ...kafkaConnection(kafka),
    wire: policy?.wire,
    attempts,
    isCostly: () => policy?.isCostly === true,
    gateway: config.gateway,
    incarnation: store.identity.incarnation,
    delivery: kafka.delivery,
    topicTemplate: kafka.topic,
    create: kafka.create,
    compression: kafka.compression,
    compressionLevel: kafka.compressionLevel,
    transactionalId: kafka.transactionalId,
    group: kafka.group,
    tombstones: kafka.tombstones,
    positionsTopic: kafka.positionsTopic,
    transactionTimeoutMs: kafka.transactionTimeoutMs,
    clusterId: kafka.clusterId,
    replaces: kafka.replaces,
    unknownOutcome: kafka.unknownOutcome,
    isPositionLost: (stream) => positions.isLost(stream),
    journal: store.keyValue(journalSpace(name)),
    otherBooks: () => Promise.all(others().map((other) => booksOf(other, store))),
    claim,
    clock,
    isClockSound,
    logger,
  });
}

async function booksOf(mirror: string, store: Store): Promise<OtherBooks> {
  const positions = await store.positions(positionsName(mirror), {});
  return { journal: store.keyValue(journalSpace(mirror)), positions: positions.coverages() };
}

/** How to reach the cluster: the same for a mirror and for `gatelog verify`. */
export function kafkaConnection(kafka: KafkaUpstreamConfig): KafkaConnection {
  const { brokers, tls, sasl, connectTimeoutMs, requestTimeoutMs } = kafka;
  return {
    brokers,
    clientId: 'gatelog',
    connectTimeoutMs,
    requestTimeoutMs,
    tls: tls === undefined ? undefined : { ...tls, servername: tls.serverName },
    sasl:
      sasl?.mechanism === 'OAUTHBEARER'
        ? { mechanism: 'OAUTHBEARER', token: () => readToken(sasl.tokenFile) }
        : sasl,
  };
}

async function readToken(file: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (error) {
    throw new GatelogError(
      'UPSTREAM_UNAUTHENTICATED',
      `can't read the token for OAUTHBEARER from ${file}: ${messageOf(error)}`,
      { cause: error },
    );
  }
}

async function mqttUpstream(
  name: string,
  mqtt: MqttUpstreamConfig,
  config: Config,
  {
    store,
    clock,
    isClockSound,
    logger,
    positions,
    farSides,
    policy,
    attempts,
  }: UpstreamSurroundings,
): Promise<Upstream> {
  const { createMqttUpstream } = await import('../mirror/mqtt/mqtt-upstream.ts');
  return createMqttUpstream({
    gateway: config.gateway,
    incarnation: store.identity.incarnation,
    url: mqtt.url,
    qos: mqtt.qos,
    clientId: mqtt.clientId,
    username: mqtt.username,
    password: mqtt.password,
    tls: mqtt.tls,
    protocol: mqtt.protocol,
    prefix: mqtt.prefix,
    topicTemplate: mqtt.topic,
    retain: mqtt.retain,
    connectTimeoutMs: mqtt.connectTimeoutMs,
    ackTimeoutMs: mqtt.ackTimeoutMs,
    keepaliveSeconds: Math.ceil(mqtt.keepAliveMs / 1000),
    expiryNowMs: () => (isClockSound() ? clock.nowMs() : undefined),
    own: farSides.ownRecords(mqtt.url),
    handshakes: farSides.handshakes(name, mqtt, positions),
    sameId: farSides.sameId(name, mqtt),
    wire: policy?.wire,
    attempts,
    clock,
    isClockSound,
    logger,
  });
}
