import { readFile } from 'node:fs/promises';
import { GatelogError, messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { KafkaConnection } from '../mirror/kafka/options.ts';
import { Mirror } from '../mirror/mirror.ts';
import type { Upstream } from '../mirror/upstream.ts';
import type { Random } from '../random.ts';
import type { Store, TopicOptions } from '../store/log.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import type {
  Config,
  KafkaUpstreamConfig,
  MirrorConfig,
  MqttUpstreamConfig,
} from './config-types.ts';
import { positionsName } from './known-mirrors.ts';

/** Builds the mirrors that a configuration names. Clients are loaded only where they are used. */
export interface MirrorSurroundings {
  readonly store: Store;
  /** Its time of day is the best that is known. */
  readonly clock: Clock;
  readonly isClockSound: () => boolean;
  readonly random: Random;
  readonly logger: Logger;
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
): Promise<ReadonlyMap<string, Mirror>> {
  const mirrors = new Map<string, Mirror>();
  if (Object.keys(config.mirrors).length === 0) return mirrors;
  const { store, clock, random } = surroundings;
  const { writer, reader, identity } = store;
  const quarantine = { writer, topic: writer.defineTopic(QUARANTINE, QUARANTINE_OPTIONS) };
  for (const [name, mirror] of Object.entries(config.mirrors)) {
    const logger = surroundings.logger.child({ mirror: name });
    const { maxRecords, maxBytes, maxWaitMs } = mirror.batch;
    const positions = await store.positions(positionsName(name), { pins: true });
    const options = {
      name,
      gateway: config.gateway,
      incarnation: identity.incarnation,
      reader,
      positions,
      ledger: store.ledger,
      quarantine,
      decisions: store.keyValue(`mirror.${name}`),
      upstream: await buildUpstream(name, mirror, config, {
        ...surroundings,
        logger,
        positionsLost: positions.lost,
      }),
      topics: mirror.topics,
      // Where it stood is not known: to begin at the end would skip in silence.
      startAt: positions.lost ? ('beginning' as const) : mirror.start,
      batching: {
        ...(maxRecords === undefined ? {} : { maxRecords }),
        ...(maxBytes === undefined ? {} : { maxBytes }),
        ...(maxWaitMs === undefined ? {} : { maxWaitMs }),
      },
      clock,
      random,
      logger: surroundings.logger,
    };
    mirrors.set(name, new Mirror(options));
  }
  return mirrors;
}

interface UpstreamSurroundings extends MirrorSurroundings {
  readonly positionsLost: boolean;
}

function buildUpstream(
  name: string,
  mirror: MirrorConfig,
  config: Config,
  surroundings: UpstreamSurroundings,
): Promise<Upstream> {
  return mirror.upstream.kind === 'kafka'
    ? kafkaUpstream(name, mirror.upstream, config, surroundings)
    : mqttUpstream(mirror.upstream, config, surroundings);
}

async function kafkaUpstream(
  name: string,
  kafka: KafkaUpstreamConfig,
  config: Config,
  { store, clock, isClockSound, logger, positionsLost }: UpstreamSurroundings,
): Promise<Upstream> {
  const { createKafkaUpstream } = await import('../mirror/kafka/kafka-upstream.ts');
  return createKafkaUpstream({
    ...kafkaConnection(kafka),
    gateway: config.gateway,
    incarnation: store.identity.incarnation,
    delivery: kafka.delivery,
    topicTemplate: kafka.topic,
    create: kafka.create,
    compression: kafka.compression,
    compressionLevel: kafka.compressionLevel,
    transactionalId: kafka.transactionalId,
    group: kafka.group,
    positionsTopic: kafka.positionsTopic,
    transactionTimeoutMs: kafka.transactionTimeoutMs,
    clusterId: kafka.clusterId,
    replaces: kafka.replaces,
    unknownOutcome: kafka.unknownOutcome,
    positionsLost,
    journal: store.keyValue(`kafka.${name}`),
    clock,
    isClockSound,
    logger,
  });
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
  mqtt: MqttUpstreamConfig,
  config: Config,
  { store, clock, logger }: MirrorSurroundings,
): Promise<Upstream> {
  const { createMqttUpstream } = await import('../mirror/mqtt/mqtt-upstream.ts');
  return createMqttUpstream({
    gateway: config.gateway,
    incarnation: store.identity.incarnation,
    url: mqtt.url,
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
    clock,
    logger,
  });
}
