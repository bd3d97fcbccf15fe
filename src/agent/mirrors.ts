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
import { clientIdOf } from '../mirror/mqtt/client-id.ts';
import { Handshakes } from '../mirror/mqtt/handshakes.ts';
import { OwnRecords } from '../mirror/mqtt/own-records.ts';
import { selectTopics, streamsOf, topicMatcher, treatmentOf } from '../mirror/selection.ts';
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
  handshakesSpace,
  journalSpace,
  linkSpace,
  positionsName,
  sampledSpace,
} from './known-mirrors.ts';
import { hostAndPort } from './own-address.ts';

/** Builds the mirrors that a configuration names. Clients are loaded only where they are used. */
export interface MirrorSurroundings {
  readonly store: Store;
  /** Its time of day is the best that is known. */
  readonly clock: Clock;
  readonly isClockSound: () => boolean;
  readonly random: Random;
  readonly logger: Logger;
  /** Names of all mirrors that ever ran on the data folder. */
  readonly known: readonly string[];
}

/** Where records go that a far side will never take. */
const QUARANTINE = '_quarantine';
const QUARANTINE_OPTIONS: TopicOptions = {
  partitions: 1,
  durability: 'fsync',
  retentionMs: LIMITS.quarantineRetentionMs,
  retentionBytes: LIMITS.quarantineBytes,
};

export async function buildMirrors(
  config: Config,
  surroundings: MirrorSurroundings,
): Promise<MirrorFleet> {
  const fleet = new MirrorFleet(config, surroundings);
  await fleet.build();
  return fleet;
}

/** The mirrors of one agent, and what they have in common. */
export class MirrorFleet {
  readonly mirrors: Map<string, Mirror> = new Map();
  readonly #config: Config;
  readonly #surroundings: MirrorSurroundings;
  readonly #ownRecords: (url: string) => OwnRecords;
  readonly #network: NetworkWatch;
  readonly #claims: Claims = new Claims();
  readonly #quarantine: MirrorOptions['quarantine'];
  /** Aborts when the agent is about to stop. */
  readonly #stopping = new AbortController();

  constructor(config: Config, surroundings: MirrorSurroundings) {
    const { store, clock } = surroundings;
    const { writer } = store;
    this.#config = config;
    this.#surroundings = surroundings;
    this.#ownRecords = ownRecordsOf(store, config);
    this.#network = new NetworkWatch(clock);
    this.#quarantine = { writer, topic: writer.defineTopic(QUARANTINE, QUARANTINE_OPTIONS) };
  }

  async build(): Promise<void> {
    await expectOwnRecords(this.#config, this.#surroundings.store, this.#ownRecords);
    for (const name of Object.keys(this.#config.mirrors)) {
      this.mirrors.set(name, await this.#build(name, this.#config));
    }
  }

  async start(): Promise<void> {
    for (const mirror of this.mirrors.values()) await mirror.start();
  }

  /**
   * Lets a mirror begin anew with what a configuration says of it now. The one before ends in good order
   * and has written all that it knows: two at once would each take the other for a clone.
   */
  async replace(name: string, config: Config): Promise<void> {
    const before = this.mirrors.get(name);
    const fresh = await this.#build(name, config);
    await before?.stop();
    const { signal } = this.#stopping;
    await Promise.race([before?.ended, aborted(signal)]);
    if (signal.aborted) return;
    this.mirrors.set(name, fresh);
    await fresh.start();
  }

  /** No mirror begins anew any more, and none is waited for that ends late. */
  aboutToStop(): void {
    this.#stopping.abort();
  }

  /** Side by side: each waits for its far side. */
  async stop(): Promise<void> {
    this.aboutToStop();
    await Promise.all([...this.mirrors.values()].map((mirror) => mirror.stop()));
  }

  async #build(name: string, config: Config): Promise<Mirror> {
    const { store, clock, random, logger, isClockSound } = this.#surroundings;
    const mirror = must(config.mirrors[name], 'the configuration names it');
    const { maxRecords, maxWaitMs } = mirror.batch;
    const { underWayBytes, batchBytes } = shareOf(mirror);
    const maxBytes = mirror.batch.maxBytes ?? batchBytes;
    const positions = await store.positions(positionsName(name), { pins: mirror.mustDeliver });
    const own = { ...this.#surroundings, logger: logger.child({ mirror: name }) };
    const policy = await policyOf(name, mirror, own, own.logger);
    const attempts = new ConnectAttempts(clock);
    const claim = this.#claims.take.bind(this.#claims, name);
    const ownRecords = this.#ownRecords;
    const parts = { ...own, positions, claim, ownRecords, policy, attempts };
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

/** Noted before anything is appended. 3.1.1 has no identities. */
async function expectOwnRecords(
  config: Config,
  store: Store,
  ownRecords: (url: string) => OwnRecords,
): Promise<void> {
  const owner = { gateway: config.gateway, incarnation: store.identity.incarnation };
  for (const { upstream, topics } of Object.values(config.mirrors)) {
    if (upstream.kind !== 'mqtt' || upstream.protocol === '3.1.1') continue;
    const streams = streamsOf(selectTopics(store.reader, topicMatcher(topics)));
    await ownRecords(upstream.url).expects(owner, streams);
  }
}

interface UpstreamSurroundings extends MirrorSurroundings {
  readonly positions: PositionStore;
  readonly claim: (claims: readonly Claim[]) => void;
  readonly ownRecords: (url: string) => OwnRecords;
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

/** One for each far side, whichever mirrors send to it. */
function ownRecordsOf(store: Store, config: Config): (url: string) => OwnRecords {
  const known = new Map<string, OwnRecords>();
  return (url) => {
    const far = farSideOf(url);
    const isDoubtful = store.stateDamage !== undefined;
    const values = store.keyValue(`mqtt.${far}`);
    const alsoTo = (topic: string): string[] => otherAddresses(far, topic, config);
    const own = known.get(far) ?? new OwnRecords(values, store.reader, isDoubtful, alsoTo);
    known.set(far, own);
    return own;
  };
}

/** Where else mirrors over MQTT send the topic. */
function otherAddresses(far: string, topic: string, { mirrors }: Config): string[] {
  return Object.values(mirrors).flatMap(({ upstream, topics }) => {
    const isOther = upstream.kind === 'mqtt' && farSideOf(upstream.url) !== far;
    return isOther && topicMatcher(topics)(topic) ? [upstream.url] : [];
  });
}

function farSideOf(url: string): string {
  const { host, port } = hostAndPort(url);
  return `${host}:${port}`;
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
  const others = surroundings.known.filter((other) => other !== name);
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
    otherBooks: () => Promise.all(others.map((other) => booksOf(other, store))),
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

/** Other mirrors to MQTT brokers with this client id. */
function withClientId(clientId: string, name: string, { mirrors, gateway }: Config): string[] {
  return Object.entries(mirrors)
    .filter(
      ([other, { upstream }]) =>
        other !== name &&
        upstream.kind === 'mqtt' &&
        clientIdOf({ ...upstream, gateway }) === clientId,
    )
    .map(([other]) => other);
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
    ownRecords,
    policy,
    attempts,
  }: UpstreamSurroundings,
): Promise<Upstream> {
  const { createMqttUpstream } = await import('../mirror/mqtt/mqtt-upstream.ts');
  const handshakes = new Handshakes({
    values: store.keyValue(handshakesSpace(name)),
    hadOf: positions.coverage.bind(positions),
    reader: store.reader,
    isDoubtful: store.stateDamage !== undefined,
  });
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
    own: ownRecords(mqtt.url),
    handshakes,
    sameId: withClientId(clientIdOf({ ...mqtt, gateway: config.gateway }), name, config),
    wire: policy?.wire,
    attempts,
    clock,
    isClockSound,
    logger,
  });
}
