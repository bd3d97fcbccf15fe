import { z } from 'zod';
import {
  BROKER_EXPECTED,
  isHostPort,
  isIncarnation,
  isMqttTemplate,
  isMqttTopic,
  isMqttUpstream,
  isName,
  isPem,
  isTopicName,
  isTopicTemplate,
  MQTT_UPSTREAM_EXPECTED,
  NAME_EXPECTED,
} from './config-forms.ts';
import { duration, flag, integer, leaf, listOf, oneOf, section, text } from './config-leaves.ts';
import type { Range } from './config-leaves.ts';
import type {
  KafkaUpstreamConfig,
  MqttUpstreamConfig,
  SaslConfig,
  TlsConfig,
} from './config-types.ts';

/** The part of the schema that says where a mirror sends to. */
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const WAIT_MS = { min: SECOND, max: 5 * MINUTE };

/** As `inner`, or `false`; `true` means all of its defaults. */
function orFalse<T>(inner: z.ZodType<T>): z.ZodType<T | false> {
  return z.preprocess(
    (value) => (value === true ? {} : value),
    z.union([z.literal(false), inner]),
  ) as z.ZodType<T | false>;
}

function pem(file: string): z.ZodType<string> {
  return text(`a PEM text, such as \${file:${file}}`, isPem);
}

const tlsSection: z.ZodType<TlsConfig> = section({
  ca: pem('ca.pem').optional(),
  cert: pem('client.pem').optional(),
  key: pem('client.key').optional(),
  passphrase: text('a passphrase').optional(),
  serverName: text('a host name').optional(),
}).transform((tls, context) => {
  if ((tls.cert === undefined) !== (tls.key === undefined)) {
    const found = tls.cert === undefined ? 'key alone' : 'cert alone';
    const message = 'cert and key together, or neither';
    context.issues.push({ code: 'custom', message, input: undefined, params: { found } });
  }
  return {
    ca: tls.ca,
    cert: tls.cert,
    key: tls.key,
    passphrase: tls.passphrase,
    serverName: tls.serverName,
  };
});

const saslSection: z.ZodType<SaslConfig> = section({
  mechanism: oneOf(['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512', 'OAUTHBEARER']),
  username: text('a user name').optional(),
  password: text('a password').optional(),
  tokenFile: text('the path of a file').optional(),
}).transform(({ mechanism, username, password, tokenFile }, context): SaslConfig => {
  const given = Object.entries({ username, password, tokenFile }).filter(
    ([, value]) => value !== undefined,
  );
  const found = given.length === 0 ? 'none of them' : given.map(([name]) => name).join(' and ');
  const complain = (expected: string): never => {
    const message = `${expected} with mechanism ${mechanism}`;
    context.issues.push({ code: 'custom', message, input: undefined, params: { found } });
    return z.NEVER;
  };
  if (mechanism === 'OAUTHBEARER') {
    return tokenFile === undefined || given.length > 1
      ? complain('tokenFile alone')
      : { mechanism, tokenFile };
  }
  return username === undefined || password === undefined || tokenFile !== undefined
    ? complain('username and password')
    : { mechanism, username, password };
});

/** What the admin protocol says for "as the cluster is configured" (KIP-464). */
const CLUSTER_DEFAULT = -1;

function clusterDefaultOr(range: Range): z.ZodType<number> {
  const expected = `a whole number from ${range.min} to ${range.max}, or default`;
  return leaf(expected, (value) => {
    if (value === 'default') return CLUSTER_DEFAULT;
    const parsed = integer(range).safeParse(value);
    return parsed.success ? parsed.data : undefined;
  });
}

const createSection = section({
  partitions: clusterDefaultOr({ min: 1, max: 100_000 }).default(CLUSTER_DEFAULT),
  replicationFactor: clusterDefaultOr({ min: 1, max: 32_767 }).default(CLUSTER_DEFAULT),
});

/** Highest level of the compressions that have levels. */
const LEVELS: Readonly<Record<string, number | undefined>> = { gzip: 9, zstd: 19 };

export const kafkaSection: z.ZodType<KafkaUpstreamConfig> = section({
  brokers: listOf(text(BROKER_EXPECTED, isHostPort), '["kafka-1.example.com:9092"]').min(
    1,
    `at least one: ${BROKER_EXPECTED}`,
  ),
  delivery: oneOf(['exactly-once', 'at-least-once']).default('exactly-once'),
  compression: oneOf(['none', 'gzip', 'snappy', 'lz4', 'zstd']).default('zstd'),
  compressionLevel: integer({ min: 1, max: 19 }).optional(),
  topic: text(
    'a template of {topic} and {gateway} that gives a topic name',
    isTopicTemplate,
  ).default('{topic}'),
  create: orFalse(createSection).prefault({}),
  tombstones: flag().default(false),
  positionsTopic: text('a topic name', isTopicName).default('gatelog.positions'),
  transactionalId: text(NAME_EXPECTED, isName).optional(),
  group: text(NAME_EXPECTED, isName).optional(),
  clusterId: text('the id of a Kafka cluster').optional(),
  replaces: text(
    'the incarnation of a data folder: 16 hexadecimal digits',
    isIncarnation,
  ).optional(),
  unknownOutcome: oneOf(['stop', 'repeat']).default('stop'),
  transactionTimeout: duration(
    { min: 5 * SECOND, max: 15 * MINUTE },
    'from 5s to 15m, such as 30s',
  ).optional(),
  connectTimeout: duration(WAIT_MS, 'from 1s to 5m, such as 20s').default(20 * SECOND),
  requestTimeout: duration(WAIT_MS, 'from 1s to 5m, such as 20s').default(20 * SECOND),
  tls: orFalse(tlsSection).default(false),
  sasl: saslSection.optional(),
}).transform((kafka, context) => {
  const { compressionLevel: level, compression } = kafka;
  const highest = LEVELS[compression];
  if (level !== undefined && (highest === undefined || level > highest)) {
    const message = highest === undefined ? 'no level' : `a level from 1 to ${highest}`;
    const found = `level ${level}`;
    context.issues.push({
      code: 'custom',
      message: `${message} with compression ${compression}`,
      path: ['compressionLevel'],
      input: undefined,
      params: { found },
    });
  }
  return {
    kind: 'kafka' as const,
    brokers: kafka.brokers,
    delivery: kafka.delivery,
    compression,
    compressionLevel: level,
    topic: kafka.topic,
    create: kafka.create,
    tombstones: kafka.tombstones,
    positionsTopic: kafka.positionsTopic,
    transactionalId: kafka.transactionalId,
    group: kafka.group,
    clusterId: kafka.clusterId,
    replaces: kafka.replaces,
    unknownOutcome: kafka.unknownOutcome,
    transactionTimeoutMs: kafka.transactionTimeout,
    connectTimeoutMs: kafka.connectTimeout,
    requestTimeoutMs: kafka.requestTimeout,
    tls: kafka.tls === false ? undefined : kafka.tls,
    sasl: kafka.sasl,
  };
});

/** YAML reads a bare 5 as a number. */
function protocolOf(value: unknown): '5' | '3.1.1' | undefined {
  if (value === 5 || value === '5') return '5';
  return value === '3.1.1' ? value : undefined;
}

function qosOf(value: unknown): 1 | 2 | undefined {
  const level = Number(value);
  return level === 1 || level === 2 ? level : undefined;
}

export const mqttUpstreamSection: z.ZodType<MqttUpstreamConfig> = section({
  url: text(MQTT_UPSTREAM_EXPECTED, isMqttUpstream),
  qos: leaf('1 or 2', qosOf).default(1),
  clientId: text('an MQTT client id').optional(),
  protocol: leaf('5 or 3.1.1', protocolOf).default('5'),
  prefix: text('an MQTT topic without wildcards and outer slashes', isMqttTopic).optional(),
  topic: text(
    'a template of {mqttTopic}, {topic} and {gateway} that gives an MQTT topic',
    isMqttTemplate,
  ).default('{mqttTopic}'),
  retain: oneOf(['keep', 'never']).default('keep'),
  username: text('a user name').optional(),
  password: text('a password').optional(),
  connectTimeout: duration(WAIT_MS, 'from 1s to 5m, such as 20s').default(20 * SECOND),
  ackTimeout: duration(WAIT_MS, 'from 1s to 5m, such as 30s').default(30 * SECOND),
  keepAlive: duration(WAIT_MS, 'from 1s to 5m, such as 30s').default(30 * SECOND),
  tls: orFalse(tlsSection).default(false),
}).transform((mqtt, context) => {
  const { protocol } = new URL(mqtt.url);
  const secure = protocol === 'mqtts:' || protocol === 'wss:';
  if (mqtt.tls !== false && !secure) {
    const message = 'a url of mqtts://… or wss://… where tls is set';
    context.issues.push({
      code: 'custom',
      message,
      input: undefined,
      params: { found: `${protocol}//` },
    });
  }
  return {
    kind: 'mqtt' as const,
    url: mqtt.url,
    qos: mqtt.qos,
    clientId: mqtt.clientId,
    protocol: mqtt.protocol,
    prefix: mqtt.prefix ?? '',
    topic: mqtt.topic,
    retain: mqtt.retain,
    username: mqtt.username,
    password: mqtt.password,
    connectTimeoutMs: mqtt.connectTimeout,
    ackTimeoutMs: mqtt.ackTimeout,
    keepAliveMs: mqtt.keepAlive,
    tls: mqtt.tls === false ? undefined : mqtt.tls,
  };
});
