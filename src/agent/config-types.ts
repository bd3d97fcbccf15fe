import type { ClientLimits } from '../client-limits.ts';
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
  readonly http: HttpConfig;
  readonly metrics: MetricsConfig;
  readonly store: StoreConfig;
  /** By topic name. A topic that a route names and that is not here has the default options. */
  readonly topics: Readonly<Record<string, TopicOptions>>;
  /** In order; the first match wins. */
  readonly routes: readonly RouteConfig[];
  /** By mirror name. */
  readonly mirrors: Readonly<Record<string, MirrorConfig>>;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFormat = 'auto' | 'json' | 'pretty' | 'journal';

export interface LogConfig {
  readonly level: LogLevel;
  /** `auto`: pretty on a terminal, for systemd's journal where that takes it, JSON lines otherwise. */
  readonly format: LogFormat;
}

export interface ClockConfig {
  /** Whom to ask whether the clock is right; the file's path is absolute. */
  readonly trust: 'auto' | 'always' | 'never' | `file:${string}`;
  readonly maxDriftMs: number;
}

/** What the gateway tells of itself and its host, as records. */
export interface MetricsConfig {
  /** undefined: it tells nothing. */
  readonly intervalMs: number | undefined;
  /** undefined: nothing is sent to a collector. */
  readonly otlp: OtlpConfig | undefined;
}

/** Metrics by OpenTelemetry's protocol, over HTTP. */
export interface OtlpConfig {
  readonly url: string;
  readonly intervalMs: number;
  readonly headers: Readonly<Record<string, string>>;
}

export interface MqttUser {
  readonly username: string;
  readonly password: string;
}

/** The agent's HTTP side: status page, API, metrics. */
export interface HttpConfig {
  /** `http://HOST:PORT` or `https://HOST:PORT`; port 0 takes any free one. Empty: there is none. */
  readonly listen: readonly string[];
  /** For reading; undefined: who is on this machine needs none. */
  readonly token: string | undefined;
  /** For commands, and for reading. */
  readonly adminToken: string | undefined;
  /** Names that browsers may know this agent by. */
  readonly hosts: readonly string[];
  /** An address that others reach may do without TLS, as behind something that has it. */
  readonly allowPlain: boolean;
  /** Of addresses with https. */
  readonly tls: ServerTls | undefined;
}

/** One address that devices connect to. */
export interface ListenConfig {
  /**
   * `mqtt://HOST:PORT`, `mqtts://HOST:PORT`, `ws://HOST:PORT/PATH`, `wss://HOST:PORT/PATH` or
   * `unix:///PATH`; port 0 takes any free one.
   */
  readonly url: string;
  /** As written at the address, else at `mqtt`; undefined: where only this machine gets to. */
  readonly allowAnonymous: boolean | undefined;
  /** Of mqtts and wss, and of nothing else. */
  readonly tls: ServerTls | undefined;
}

/** Absolute paths of PEM files, which are read again when they change. */
export interface ServerTls {
  /** The certificate, and those between it and its CA. */
  readonly cert: string;
  readonly key: string;
  readonly passphrase: string | undefined;
  /** Who signs the certificates of devices. */
  readonly ca: string | undefined;
  readonly requireCertificate: boolean;
  /** The certificate says who the device is, and names and passwords count for nothing. */
  readonly user: 'cn' | 'san' | undefined;
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
}

/** Users and roles undefined: the rule is for everybody. */
export interface AclRule {
  readonly users: readonly string[] | undefined;
  readonly roles: readonly string[] | undefined;
  /** MQTT topic filters with `%u` and `%c`; see src/agent/acl-filter.ts. */
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
  readonly deny: { readonly publish: readonly string[]; readonly subscribe: readonly string[] };
}

/** What `mqtt.acl` says: rules, to each user its own topics, or everything to everybody. */
export type AclKind = 'rules' | 'own' | 'open';

export interface AclConfig {
  /** undefined: everything is allowed. Else what no rule allows is refused. */
  readonly acl: readonly AclRule[] | undefined;
  /** Names of users, by role. */
  readonly roles: ReadonlyMap<string, readonly string[]>;
}

export type TokenAlgorithm = `${'HS' | 'RS' | 'PS' | 'ES'}${256 | 384 | 512}` | 'EdDSA';

export interface TokenKeysUrlConfig {
  readonly kind: 'url';
  readonly url: string;
  readonly refreshMs: number;
  /** How long keys stay in use while it does not answer. */
  readonly keepMs: number;
}

/** Tokens (JWT) that are taken for passwords. */
export interface JwtConfig {
  /** Of those that are signed with a private key; the path is absolute. */
  readonly keys: { readonly kind: 'file'; readonly file: string } | TokenKeysUrlConfig | undefined;
  /** Of those that are signed with HMAC. */
  readonly secret: string | undefined;
  readonly algorithms: readonly TokenAlgorithm[];
  readonly userClaim: string;
  /** undefined: no token gives roles. */
  readonly rolesClaim: string | undefined;
  readonly issuer: string | undefined;
  readonly audience: string | undefined;
  readonly toleranceMs: number;
  /** A connection ends when its token does. */
  readonly endWithToken: boolean;
}

export interface MqttConfig extends AclConfig {
  readonly aclKind: AclKind;
  /** Absolute path of a file with more rules and roles, which is read again when it changes. */
  readonly aclFile: string | undefined;
  /** With `%u` or `%c`: what `acl: own` allows. */
  readonly ownTopics: readonly string[];
  readonly listen: readonly ListenConfig[];
  /** What an address has that says nothing else. */
  readonly allowAnonymous: boolean | undefined;
  readonly tls: ServerTls | undefined;
  /** Empty: see src/agent/listen-policy.ts. */
  readonly users: readonly MqttUser[];
  /** Absolute path of a file with more of them; see src/agent/users-file.ts. */
  readonly usersFile: string | undefined;
  readonly jwt: JwtConfig | undefined;
  /** Connects and disconnects are info lines, else debug lines. */
  readonly logConnections: boolean;
  /** Whether only its own user may take over a client id. */
  readonly takeOver: 'same-user' | 'anyone';
  readonly maxPacketBytes: number;
  readonly maxConnections: number;
  /** undefined: no bound but that of all together. */
  readonly maxConnectionsPerAddress: number | undefined;
  /** The longest keep-alive of MQTT 5 devices; undefined: as they like. */
  readonly maxKeepAliveSeconds: number | undefined;
  /** The same for connections of one user. */
  readonly maxConnectionsPerUser: number | undefined;
  readonly limits: ClientLimits;
  /** Takes the identity properties of other gateways and drops their repeats. */
  readonly central: boolean;
  readonly sessionCaps: SessionCaps;
  /** How often `$SYS` topics are told; undefined: there are none. */
  readonly sysIntervalMs: number | undefined;
  /** undefined: numbers that devices give their messages say nothing. */
  readonly dedup: DedupConfig | undefined;
}

/** Names of MQTT 5 user properties by which a message is in the log once, however often it is sent. */
export interface DedupConfig {
  readonly producerProperty: string;
  readonly sequenceProperty: string;
  readonly epochProperty: string | undefined;
}

/** What is kept for sessions that are away, and of retained messages. */
export interface SessionCaps {
  /** Bytes queued for one session. */
  readonly queueBytes: number;
  /** Bytes queued for all sessions together. */
  readonly totalBytes: number;
  readonly retainedBytes: number;
  /** At a bound of queues: the oldest message goes, or the new one is not queued. */
  readonly onFull: 'drop-oldest' | 'refuse';
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
