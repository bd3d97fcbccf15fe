import { z } from 'zod';
import {
  BROKER_EXPECTED,
  isAddress,
  isHostPort,
  isMqttPrefix,
  isPem,
  isTopicName,
  isTopicTemplate,
} from './config-forms.ts';
import { duration, integer, oneOf, section, text } from './config-leaves.ts';
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
  token: text('a token').optional(),
}).transform(({ mechanism, username, password, token }, context): SaslConfig => {
  const given = Object.entries({ username, password, token }).filter(
    ([, value]) => value !== undefined,
  );
  const found = given.length === 0 ? 'none of them' : given.map(([name]) => name).join(' and ');
  const complain = (expected: string): never => {
    const message = `${expected} with mechanism ${mechanism}`;
    context.issues.push({ code: 'custom', message, input: undefined, params: { found } });
    return z.NEVER;
  };
  if (mechanism === 'OAUTHBEARER') {
    return token === undefined || given.length > 1 ? complain('token alone') : { mechanism, token };
  }
  return username === undefined || password === undefined || token !== undefined
    ? complain('username and password')
    : { mechanism, username, password };
});

const createSection = section({
  partitions: integer({ min: 1, max: 100_000 }).default(8),
  replicationFactor: integer({ min: 1, max: 32_767 }).default(3),
});

export const kafkaSection: z.ZodType<KafkaUpstreamConfig> = section({
  brokers: z.array(text(BROKER_EXPECTED, isHostPort)).min(1, `at least one: ${BROKER_EXPECTED}`),
  delivery: oneOf(['exactly-once', 'at-least-once']).default('exactly-once'),
  compression: oneOf(['none', 'gzip', 'snappy', 'lz4', 'zstd']).default('zstd'),
  topic: text(
    'a template of {topic} and {gateway} that gives a topic name',
    isTopicTemplate,
  ).default('{topic}'),
  create: orFalse(createSection).prefault({}),
  positionsTopic: text('a topic name', isTopicName).default('gatelog-positions'),
  transactionTimeout: duration({ min: 5 * SECOND, max: 15 * MINUTE }, 'from 5s to 15m').default(
    30 * SECOND,
  ),
  connectTimeout: duration(WAIT_MS, 'from 1s to 5m').default(20 * SECOND),
  requestTimeout: duration(WAIT_MS, 'from 1s to 5m').default(30 * SECOND),
  tls: orFalse(tlsSection).default(false),
  sasl: saslSection.optional(),
}).transform((kafka) => ({
  kind: 'kafka' as const,
  brokers: kafka.brokers,
  delivery: kafka.delivery,
  compression: kafka.compression,
  topic: kafka.topic,
  create: kafka.create,
  positionsTopic: kafka.positionsTopic,
  transactionTimeoutMs: kafka.transactionTimeout,
  connectTimeoutMs: kafka.connectTimeout,
  requestTimeoutMs: kafka.requestTimeout,
  tls: kafka.tls === false ? undefined : kafka.tls,
  sasl: kafka.sasl,
}));

export const mqttUpstreamSection: z.ZodType<MqttUpstreamConfig> = section({
  url: text('an address such as mqtt://central.example.com:1883 or mqtts://…:8883', (value) =>
    isAddress(['mqtt:', 'mqtts:'], value),
  ),
  prefix: text('an MQTT topic without wildcards and outer slashes', isMqttPrefix).optional(),
  username: text('a user name').optional(),
  password: text('a password').optional(),
  connectTimeout: duration(WAIT_MS, 'from 1s to 5m').default(20 * SECOND),
  tls: orFalse(tlsSection).default(false),
}).transform((mqtt, context) => {
  const secure = mqtt.url.startsWith('mqtts:');
  if (mqtt.tls !== false && !secure) {
    const message = 'a url of mqtts://… where tls is set';
    context.issues.push({
      code: 'custom',
      message,
      input: undefined,
      params: { found: 'mqtt://' },
    });
  }
  return {
    kind: 'mqtt' as const,
    url: mqtt.url,
    prefix: mqtt.prefix ?? '',
    username: mqtt.username,
    password: mqtt.password,
    connectTimeoutMs: mqtt.connectTimeout,
    tls: mqtt.tls === false ? undefined : mqtt.tls,
  };
});
