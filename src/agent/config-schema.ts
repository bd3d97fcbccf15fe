import { z } from 'zod';
import { LIMITS } from '../limits.ts';
import { LISTEN_LIMITS } from '../listen-limits.ts';
import { keepDuration, type SampleRule } from '../mirror/sample-rule.ts';
import { CLASSES, DEFAULT_TREATMENT, DRAINS, type TopicPattern } from '../mirror/selection.ts';
import { SESSION_LIMITS } from '../session-limits.ts';
import { SAMPLE_LIMITS } from '../sample-limits.ts';
import { ON_FULL, type TopicOptions } from '../store/log.ts';
import { aclSection, ownTopicsSection, resolveAcl, rolesSection } from './config-acl.ts';
import { dedupSection } from './config-dedup.ts';
import { clientLimitsSection } from './config-client-limits.ts';
import {
  isCron,
  isName,
  isTopicName,
  isTopicPattern,
  NAME_EXPECTED,
  TOPIC_EXPECTED,
} from './config-forms.ts';
import {
  duration,
  flag,
  integer,
  leaf,
  listOf,
  oneOf,
  orAbsent,
  orNone,
  section,
  size,
  text,
} from './config-leaves.ts';
import { includeList } from './config-include.ts';
import { httpSection } from './config-http.ts';
import { jwtSection } from './config-jwt.ts';
import { linkSection } from './config-link.ts';
import { metricsSection } from './config-metrics.ts';
import { completeTls, listenItem, resolveListen, serverTlsSection } from './config-listen.ts';
import type {
  ClockConfig,
  Config,
  LogConfig,
  MirrorConfig,
  MqttConfig,
  RouteConfig,
  SessionCaps,
  StoreConfig,
  WearConfig,
} from './config-types.ts';
import { hasNames } from './listen-policy.ts';
import { kafkaSection, mqttUpstreamSection } from './config-upstreams.ts';
import { DAY_MS } from '../units.ts';

/**
 * The strict schema of the configuration file: every option, its form and its default. It gives a
 * Config in which only what depends on the machine (gateway, data) may be missing.
 */
export interface ParsedConfig extends Omit<Config, 'gateway' | 'gatewayGiven' | 'data'> {
  readonly gateway?: string | undefined;
  readonly data?: string | undefined;
  /** Never there: included files are part of what is parsed. */
  readonly include?: readonly string[] | undefined;
}

const KIB = 1024;
const MIB = 1_048_576;
const SECOND = 1000;
const MAX_WAIT_MS = 60 * SECOND;

const RETENTION_MS = { min: SECOND, max: 36_500 * DAY_MS };
const WEAR_RATING = { min: 1e9, max: 1e18 };
const RETENTION_BYTES = { min: MIB, max: 1024 ** 5 };

const logSection: z.ZodType<LogConfig> = section({
  level: oneOf(['debug', 'info', 'warn', 'error']).default('info'),
  format: oneOf(['auto', 'json', 'pretty', 'journal']).default('auto'),
});

const clockSection: z.ZodType<ClockConfig> = section({
  trust: leaf('auto, always, never or file:PATH', (value): ClockConfig['trust'] | undefined => {
    if (value === 'auto' || value === 'always' || value === 'never') return value;
    if (typeof value !== 'string' || !/^file:./u.test(value)) return undefined;
    return `file:${value.slice(5)}`;
  }).default('auto'),
  maxDrift: duration(
    { min: LIMITS.clockDriftMinMs, max: LIMITS.clockDriftMaxMs },
    'from 1s to 1d, such as 1m',
  ).default(LIMITS.clockDriftMs),
}).transform(({ trust, maxDrift }) => ({ trust, maxDriftMs: maxDrift }));

const CONNECTIONS = { min: 1, max: 1_000_000 };
const KEEP_ALIVE = {
  min: LISTEN_LIMITS.keepAliveSecondsMin * 1000,
  max: LISTEN_LIMITS.keepAliveSecondsMax * 1000,
};
const KEPT_BYTES = { min: 64 * KIB, max: 1024 * MIB };

const sessionsSection: z.ZodType<SessionCaps> = section({
  queue: size(KEPT_BYTES, 'from 64KiB to 1GiB, such as 4MiB').default(SESSION_LIMITS.queueBytes),
  total: size(KEPT_BYTES, 'from 64KiB to 1GiB, such as 32MiB').default(SESSION_LIMITS.totalBytes),
  retained: size(KEPT_BYTES, 'from 64KiB to 1GiB, such as 16MiB').default(
    SESSION_LIMITS.retainedBytes,
  ),
  onFull: oneOf(ON_FULL).default('drop-oldest'),
}).transform(({ queue, total, retained, onFull }) => ({
  queueBytes: queue,
  totalBytes: total,
  retainedBytes: retained,
  onFull,
}));

const SYSTEM_INTERVAL = { min: SECOND, max: 3600 * SECOND, usual: 10 * SECOND };
const systemDuration = duration(SYSTEM_INTERVAL, '');
const systemInterval = leaf('a duration from 1s to 1h, such as 10s, or 0', (value) =>
  value === 0 || value === '0' ? 0 : systemDuration.safeParse(value).data,
);

const mqttSection: z.ZodType<MqttConfig> = section({
  listen: z.array(listenItem).default(['mqtt://127.0.0.1:1883']),
  allowAnonymous: flag().optional(),
  tls: serverTlsSection.optional(),
  users: orAbsent(
    z.array(section({ username: text('a user name'), password: text('a password') })).default([]),
  ),
  usersFile: text('the path of a file of users').optional(),
  jwt: jwtSection.optional(),
  roles: rolesSection,
  acl: aclSection,
  aclFile: text('the path of a file of rules').optional(),
  ownTopics: ownTopicsSection,
  logConnections: flag().default(true),
  takeOver: oneOf(['same-user', 'anyone']).default('same-user'),
  maxPacket: size(
    { min: 1024, max: LIMITS.mqttPacketBytes },
    'from 1KiB to 960KiB, such as 256KiB',
  ).default(LIMITS.mqttPacketBytes),
  maxConnections: integer(CONNECTIONS).default(LIMITS.mqttConnections),
  maxConnectionsPerAddress: orNone(
    integer(CONNECTIONS),
    'a whole number from 1 to 1000000, or none',
  ).default('none'),
  maxKeepAlive: orNone(
    duration(KEEP_ALIVE, 'from 10s to 18h'),
    'a duration from 10s to 18h, such as 5m, or none',
  ).default('none'),
  maxConnectionsPerUser: orNone(
    integer(CONNECTIONS),
    'a whole number from 1 to 1000000, or none',
  ).default('none'),
  limits: clientLimitsSection,
  central: flag().default(false),
  sessions: sessionsSection,
  sysInterval: systemInterval.default(SYSTEM_INTERVAL.usual),
  dedup: dedupSection,
}).transform(
  (
    { sysInterval, maxPacket, maxKeepAlive, listen: items, tls, allowAnonymous, sessions, ...rest },
    context,
  ) => {
    const listen = items.map((item, index) =>
      resolveListen(item, { tls, allowAnonymous }, (at, message, found) => {
        const path = ['listen', index, ...at];
        context.issues.push({ code: 'custom', message, path, input: undefined, params: { found } });
      }),
    );
    return {
      ...rest,
      ...resolveAcl({ ...rest, acl: rest.acl, hasNames: hasNames({ ...rest, listen }) }),
      usersFile: rest.usersFile,
      aclFile: rest.aclFile,
      jwt: rest.jwt,
      listen,
      allowAnonymous,
      tls: completeTls(tls),
      sysIntervalMs: sysInterval === 0 ? undefined : sysInterval,
      maxPacketBytes: maxPacket,
      maxKeepAliveSeconds: maxKeepAlive === 'none' ? undefined : Math.floor(maxKeepAlive / 1000),
      maxConnectionsPerAddress:
        rest.maxConnectionsPerAddress === 'none' ? undefined : rest.maxConnectionsPerAddress,
      maxConnectionsPerUser:
        rest.maxConnectionsPerUser === 'none' ? undefined : rest.maxConnectionsPerUser,
      sessionCaps: sessions,
    };
  },
);

const SCRUB_RATE = { min: 64 * KIB, max: 1024 * MIB };
const wearSection: z.ZodType<WearConfig> = section({
  rating: size(WEAR_RATING, 'from 1GB to 1000000TB, such as 100TB').optional(),
  budget: size(
    { min: LIMITS.wearBudgetBytesMin, max: 1024 ** 5 },
    'from 50MB to 1024TiB, such as 5GB',
  ).optional(),
  maxLatency: duration(
    { min: 1, max: LIMITS.lingerMsMax },
    'from 1ms to 1s, such as 250ms',
  ).default(LIMITS.lingerMsMax),
}).transform(({ rating, budget, maxLatency }) => ({
  ratingBytes: rating,
  budgetBytes: budget,
  maxLatencyMs: maxLatency,
}));

const storeSection: z.ZodType<StoreConfig> = section({
  segment: size(
    { min: LIMITS.segmentBytesMin, max: 1024 * MIB },
    'from 1MiB to 1GiB, such as 64MiB',
  ).default(LIMITS.segmentBytes),
  linger: duration({ min: 0, max: LIMITS.lingerMsMax }, 'from 0ms to 1s, such as 5ms').default(0),
  compression: oneOf(['zstd', 'none']).default('zstd'),
  retentionSchedule: text(
    'a cron expression of five fields, such as "*/1 * * * *"',
    isCron,
  ).default('*/1 * * * *'),
  scrub: section({
    schedule: text(
      'a cron expression of five fields, such as "30 3 * * 0", or off',
      (value) => value === 'off' || isCron(value),
    ).default('30 3 * * 0'),
    rate: size(SCRUB_RATE, 'from 64KiB to 1GiB a second, such as 4MiB').default(
      LIMITS.scrubBytesPerSecond,
    ),
  }),
  wear: wearSection,
  mustExist: flag().default(false),
  whenUnavailable: oneOf(['live', 'exit']).default('live'),
  reserve: size(
    { min: 0, max: LIMITS.diskReserveBytesMax },
    'from 0 to 1GiB, such as 64MiB',
  ).default(LIMITS.diskReserveBytes),
  maxBytes: orNone(
    size({ min: 16 * MIB, max: 1024 ** 5 }, ''),
    'a size of at least 16MiB, such as 8GiB, or none',
  ).default('none'),
}).transform((store) => ({
  segmentBytes: store.segment,
  lingerMs: store.linger,
  compression: store.compression,
  retentionSchedule: store.retentionSchedule,
  scrubSchedule: store.scrub.schedule === 'off' ? undefined : store.scrub.schedule,
  scrubBytesPerSecond: store.scrub.rate,
  wear: store.wear,
  mustExist: store.mustExist,
  whenUnavailable: store.whenUnavailable,
  reserveBytes: store.reserve,
  maxBytes: store.maxBytes === 'none' ? undefined : store.maxBytes,
}));

const topicSection: z.ZodType<TopicOptions> = section({
  partitions: integer({ min: 1, max: LIMITS.partitionsPerTopic }).default(8),
  durability: oneOf(['fsync', 'os', 'none']).default('fsync'),
  retention: section({
    time: orNone(
      duration(RETENTION_MS, ''),
      'a duration of at least 1s, such as 12h or 7d, or none',
    ).default(7 * DAY_MS),
    bytes: orNone(
      size(RETENTION_BYTES, ''),
      'a size of at least 1MiB, such as 1GiB, or none',
    ).default(1024 * MIB),
  }),
  onFull: oneOf(ON_FULL).default('drop-oldest'),
  priority: integer({ min: 0, max: LIMITS.topicPriorityMax }).default(LIMITS.topicPriority),
}).transform(({ partitions, durability, retention, onFull, priority }) => ({
  partitions,
  durability,
  retentionMs: retention.time === 'none' ? undefined : retention.time,
  retentionBytes: retention.bytes === 'none' ? undefined : retention.bytes,
  onFull,
  priority,
}));

const routeSection: z.ZodType<RouteConfig> = section({
  match: text('an MQTT topic filter, such as "sensors/#"'),
  topic: text(TOPIC_EXPECTED, isTopicName),
  key: text('a key template, such as "{topic}"').default('{topic}'),
});

const KEEP_EXPECTED = 'last per key per DURATION, from 1s to 1d, such as last per key per 1m';
const window = duration({ min: SAMPLE_LIMITS.windowMsMin, max: SAMPLE_LIMITS.windowMsMax }, '');

function keepOf(value: unknown): number | undefined {
  const perText = typeof value === 'string' ? keepDuration(value) : undefined;
  return perText === undefined ? undefined : window.safeParse(perText).data;
}

const sampleSection: z.ZodType<SampleRule> = section({
  when: oneOf(['metered', 'always']).default('metered'),
  keep: leaf(KEEP_EXPECTED, keepOf),
  rest: oneOf(['later', 'ledger']).default('later'),
}).transform(({ when, keep, rest }) => ({ when, perMs: keep, rest }));

const topicPattern = text('a pattern of topic names, such as "*" or "sensors-*"', isTopicPattern);
const topicRule: z.ZodType<TopicPattern> = z.union([
  topicPattern,
  section({
    match: topicPattern,
    class: oneOf(CLASSES).default(DEFAULT_TREATMENT.class),
    drain: oneOf(DRAINS).default(DEFAULT_TREATMENT.drain),
    sample: sampleSection.optional(),
  }),
]);

const mirrorSection: z.ZodType<MirrorConfig> = section({
  topics: listOf(topicRule, '["telemetry", "alarm*"]').default(['*']),
  start: oneOf(['beginning', 'end']).default('beginning'),
  mustDeliver: flag().default(true),
  expired: oneOf(['skip', 'send']).default('skip'),
  batch: section({
    records: integer({ min: 1, max: LIMITS.mirrorBatchRecords }).optional(),
    bytes: size(
      { min: LIMITS.mirrorBatchBytesMin, max: LIMITS.mirrorBatchBytes },
      'from 8KiB to 6MiB, such as 1MiB',
    ).optional(),
    wait: duration({ min: 0, max: MAX_WAIT_MS }, 'from 0ms to 1m, such as 500ms').optional(),
  }),
  link: linkSection.optional(),
  kafka: kafkaSection.optional(),
  mqtt: mqttUpstreamSection.optional(),
}).transform(({ batch, link, kafka, mqtt, ...plain }, context) => {
  const upstream = kafka ?? mqtt;
  if (upstream !== undefined && (kafka === undefined || mqtt === undefined)) {
    return {
      ...plain,
      batch: { maxRecords: batch.records, maxBytes: batch.bytes, maxWaitMs: batch.wait },
      link,
      upstream,
    };
  }
  const found = upstream === undefined ? 'neither' : 'both';
  context.issues.push({
    code: 'custom',
    message: 'exactly one of kafka and mqtt',
    input: undefined,
    params: { found },
  });
  return z.NEVER;
});

const DEFAULT_TOPICS = { telemetry: {} };
const DEFAULT_ROUTES = [{ match: '#', topic: 'telemetry' }];

/** `{}` gives the defaults. */
export const configSchema: z.ZodType<ParsedConfig> = section({
  gateway: text(NAME_EXPECTED, isName).optional(),
  data: text('the path of a folder').optional(),
  include: includeList.optional(),
  log: logSection,
  clock: clockSection,
  mqtt: mqttSection,
  http: httpSection,
  metrics: metricsSection,
  store: storeSection,
  topics: orAbsent(z.record(z.string(), topicSection).prefault(DEFAULT_TOPICS)),
  routes: orAbsent(z.array(routeSection).prefault(DEFAULT_ROUTES)),
  mirrors: orAbsent(z.record(z.string(), mirrorSection).default({})),
});

/** Of a topic that is named but not described. */
export function defaultTopicOptions(): TopicOptions {
  return topicSection.parse({});
}

/** What `--kafka` means without a configuration. */
export function defaultKafkaMirror(brokers: readonly string[]): MirrorConfig {
  return mirrorSection.parse({ kafka: { brokers } });
}
