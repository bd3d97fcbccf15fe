import type { LinkRules } from '../mirror/policy/policy-options.ts';
import type { TopicPattern } from '../mirror/selection.ts';
import type { TopicOptions } from '../store/log.ts';

/**
 * The checked configuration, in the units the code uses: bytes, milliseconds, absolute paths.
 * config/gatelog.yaml is its reference for people; src/agent/config-schema.ts makes one from it.
 */
export interface Config {
  /** Id of this gateway: letters, digits, `.`, `_`, `-`. Part of every record's identity. */
  readonly gateway: string;
  /** False: it is the host's name, and a data folder that knows better is right. */
  readonly gatewayGiven: boolean;
  /** Absolute path of the data folder. */
  readonly data: string;
  readonly log: LogConfig;
  readonly clock: ClockConfig;
  readonly mqtt: MqttConfig;
  readonly store: StoreConfig;
  /** By topic name. A topic that a route names and that is not here has the default options. */
  readonly topics: Readonly<Record<string, TopicOptions>>;
  /** In order; the first match wins. */
  readonly routes: readonly RouteConfig[];
  /** By mirror name. */
  readonly mirrors: Readonly<Record<string, MirrorConfig>>;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFormat = 'auto' | 'json' | 'pretty';

export interface LogConfig {
  readonly level: LogLevel;
  /** `auto`: pretty on a terminal, JSON lines otherwise. */
  readonly format: LogFormat;
}

export interface ClockConfig {
  /** Whom to ask whether the clock is right; the file's path is absolute. */
  readonly trust: 'auto' | 'always' | 'never' | `file:${string}`;
  readonly maxDriftMs: number;
}

export interface MqttUser {
  readonly username: string;
  readonly password: string;
}

export interface MqttConfig {
  /** `mqtt://HOST:PORT`; port 0 takes any free one. */
  readonly listen: readonly string[];
  /** Empty: everyone may connect. */
  readonly users: readonly MqttUser[];
  readonly maxPacketBytes: number;
  readonly maxConnections: number;
  /** Takes the identity properties of other gateways and drops their repeats. */
  readonly central: boolean;
}

export interface StoreConfig {
  readonly segmentBytes: number;
  readonly lingerMs: number;
  readonly compression: 'zstd' | 'none';
  /** Five-field cron expression. */
  readonly retentionSchedule: string;
  /** Five-field cron expression; undefined: off. */
  readonly scrubSchedule: string | undefined;
  readonly scrubBytesPerSecond: number;
  readonly wear: WearConfig;
  /** The data folder must hold data already: its disk may not be mounted. */
  readonly mustExist: boolean;
  /** When the data folder can't be written: go on without a log, or end. */
  readonly whenUnavailable: 'live' | 'exit';
  /** Kept on the disk for positions, ledger and recovery. */
  readonly reserveBytes: number;
  /** Cap of the whole data folder; undefined: the disk is the cap. */
  readonly maxBytes: number | undefined;
}

export interface WearConfig {
  /** What the card or disk is rated to take in its life. */
  readonly ratingBytes: number | undefined;
  /** Of writes in a day; undefined: the wait for company is never stretched. */
  readonly budgetBytes: number | undefined;
  /** The longest that the wait is stretched to. */
  readonly maxLatencyMs: number;
}

export interface RouteConfig {
  /** MQTT topic filter. */
  readonly match: string;
  readonly topic: string;
  /** Key template; see src/agent/route.ts. */
  readonly key: string;
}

export type MirrorStart = 'beginning' | 'end';

export interface MirrorConfig {
  /** Patterns of local topic names, `*` standing for any run of characters; the first match decides. */
  readonly topics: readonly TopicPattern[];
  /** Where a mirror without a position begins. */
  readonly start: MirrorStart;
  /** Retention keeps what this mirror has not had, up to the topics' caps. */
  readonly mustDeliver: boolean;
  /** What is done with records whose Message Expiry Interval is over. */
  readonly expired: 'skip' | 'send';
  readonly batch: BatchConfig;
  /** What the link may cost; undefined: whatever it takes. */
  readonly link: LinkRules | undefined;
  /** Exactly one of `kafka` and `mqtt`. */
  readonly upstream: KafkaUpstreamConfig | MqttUpstreamConfig;
}

/** What is left out is chosen by the upstream. */
export interface BatchConfig {
  readonly maxRecords: number | undefined;
  readonly maxBytes: number | undefined;
  readonly maxWaitMs: number | undefined;
}

export type KafkaCompression = 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd';

export interface KafkaUpstreamConfig {
  readonly kind: 'kafka';
  /** `HOST:PORT` */
  readonly brokers: readonly string[];
  readonly delivery: 'exactly-once' | 'at-least-once';
  readonly compression: KafkaCompression;
  readonly compressionLevel: number | undefined;
  /** Template of the central topic's name: `{topic}`, `{gateway}`. */
  readonly topic: string;
  /** What a missing central topic is created with (-1: the cluster's default); false: it is not. */
  readonly create: { readonly partitions: number; readonly replicationFactor: number } | false;
  /** What clears a retained message goes up without a value. */
  readonly tombstones: boolean;
  readonly positionsTopic: string;
  readonly transactionalId: string | undefined;
  readonly group: string | undefined;
  readonly clusterId: string | undefined;
  readonly replaces: string | undefined;
  readonly unknownOutcome: 'stop' | 'repeat';
  readonly transactionTimeoutMs: number | undefined;
  readonly connectTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly tls: TlsConfig | undefined;
  readonly sasl: SaslConfig | undefined;
}

/** PEM texts, as read from the files that the configuration names. */
export interface TlsConfig {
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly passphrase: string | undefined;
  readonly serverName: string | undefined;
}

export type SaslConfig =
  | {
      readonly mechanism: 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512';
      readonly username: string;
      readonly password: string;
    }
  | {
      readonly mechanism: 'OAUTHBEARER';
      /** Read anew for every connection, so that it can be renewed beside us. */
      readonly tokenFile: string;
    };

export interface MqttUpstreamConfig {
  readonly kind: 'mqtt';
  /** `mqtt://HOST:PORT`, `mqtts://HOST:PORT`, `ws://HOST:PORT/PATH` or `wss://HOST:PORT/PATH` */
  readonly url: string;
  readonly qos: 1 | 2;
  readonly clientId: string | undefined;
  readonly protocol: '5' | '3.1.1';
  /** Put before the MQTT topic, with a slash between; empty for none. */
  readonly prefix: string;
  /** Template of the MQTT topic: `{mqttTopic}`, `{topic}`, `{gateway}`. */
  readonly topic: string;
  readonly retain: 'keep' | 'never';
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly connectTimeoutMs: number;
  readonly ackTimeoutMs: number;
  readonly keepAliveMs: number;
  readonly tls: TlsConfig | undefined;
}
