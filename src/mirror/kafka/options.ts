import type { ConnectionOptions as TlsOptions } from 'node:tls';
import type { Claim } from '../claims.ts';
import type { StreamId } from '../../record.ts';
import type { KeyValue } from '../../store/log.ts';
import type { Logger } from '../../telemetry.ts';
import type { Clock } from '../../time.ts';
import type { Role } from './import-mark.ts';
import type { OtherBooks } from './other-books.ts';
import type { Throttle } from './throttle.ts';
import type { ConnectAttempts } from '../connect-attempts.ts';
import type { Wire } from '../policy/wire-meter.ts';

/** What a person may set about a Kafka cluster, and the capabilities the composition root lends. */

export const COMPRESSIONS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const;
export type Compression = (typeof COMPRESSIONS)[number];

export type Delivery = 'exactly-once' | 'at-least-once';

/** PEM texts, not paths. Certificates are always checked; there is no way to turn that off. */
export interface KafkaTls {
  readonly ca?: string | undefined;
  /** For mutual TLS: the client's certificate chain and its key. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly passphrase?: string | undefined;
  /** The name to expect in the broker's certificate, when it differs from the host connected to. */
  readonly servername?: string | undefined;
}

export type KafkaSasl =
  | {
      readonly mechanism: 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512';
      readonly username: string;
      readonly password: string;
    }
  | {
      readonly mechanism: 'OAUTHBEARER';
      /** Asked anew on every connection, so that a token file can be renewed beside us. */
      readonly token: () => string | Promise<string>;
      readonly extensions?: Readonly<Record<string, string>> | undefined;
    };

/** How topics missing at the far side come to be; `false` leaves that to a person. */
export type CreateTopics =
  | false
  | { readonly partitions: number; readonly replicationFactor: number };

/** How to reach a cluster: shared by the mirror and by `gatelog verify`. */
export interface KafkaConnection {
  /** `host:port`, at least one. */
  readonly brokers: readonly string[];
  readonly clientId?: string | undefined;
  readonly tls?: KafkaTls | undefined;
  readonly sasl?: KafkaSasl | undefined;
  readonly connectTimeoutMs?: number | undefined;
  readonly requestTimeoutMs?: number | undefined;
  /** The same for connections over which records go. Default: no longer than that. */
  readonly recordTimeoutMs?: number | undefined;
  /** Bounds attempts to connect across sessions. Absent: nothing does. */
  readonly attempts?: ConnectAttempts | undefined;
  /** Keeps to the cluster's quotas across sessions. Absent: nothing does. */
  readonly throttle?: Throttle | undefined;
  /** The best time of day that is known, for what is said about certificates. Default: the system's. */
  readonly clock?: Clock | undefined;
  /** False: `clock` is wrong, and nobody knows by how much. Default: it never is. */
  readonly isClockSound?: (() => boolean) | undefined;
  /** Counts and paces what goes over the connections. */
  readonly wire?: Wire | undefined;
}

export interface KafkaUpstreamOptions extends KafkaConnection {
  readonly gateway: string;
  readonly incarnation: string;
  readonly delivery?: Delivery | undefined;
  /** `{topic}` and `{gateway}` are replaced. */
  readonly topicTemplate?: string | undefined;
  readonly create?: CreateTopics | undefined;
  readonly compression?: Compression | undefined;
  /** Level of gzip (1 to 9) or zstd (1 to 19); the codec's own default when absent. */
  readonly compressionLevel?: number | undefined;
  /**
   * What clears a retained message (empty, with the retain flag) goes up without a value where it has
   * a key: a tombstone, for topics that are compacted. Default false: it goes up as it is, empty.
   */
  readonly tombstones?: boolean | undefined;
  /** Bytes of one record batch before compression. */
  readonly maxBatchBytes?: number | undefined;
  readonly transactionalId?: string | undefined;
  readonly group?: string | undefined;
  readonly positionsTopic?: string | undefined;
  /** Default: short, and longer by itself where what is sent takes longer. */
  readonly transactionTimeoutMs?: number | undefined;
  /**
   * The id of the cluster that is meant. Set it to move a mirror to another cluster on purpose;
   * without it the first cluster met is remembered and any other is refused.
   */
  readonly clusterId?: string | undefined;
  /**
   * The incarnation whose positions at the far side this data folder takes over from, after a
   * folder was replaced on purpose. Positions of any other foreign incarnation are refused.
   */
  readonly replaces?: string | undefined;
  /**
   * What to do when the outcome of the last transaction can no longer be known (the far side
   * forgot the position and the records): `stop` asks a person, `repeat` sends them again.
   */
  readonly unknownOutcome?: 'stop' | 'repeat' | undefined;
  /**
   * Our position of the stream was lost with the state database, and no session has stood since that had it.
   * Default: never.
   */
  readonly isPositionLost?: ((stream: StreamId) => boolean) | undefined;
  /** Every byte costs at present: what is asked of an idle cluster is asked less often. Default: never. */
  readonly isCostly?: (() => boolean) | undefined;
  /** An import has no books, and says that it is none of two clones. Default: a gateway. */
  readonly role?: Role | undefined;
  /** Of mirrors of the same data folder that have another name, or had. Absent: there are none. */
  readonly otherBooks?: (() => Promise<readonly OtherBooks[]>) | undefined;
  /** A small space of synced values, this mirror's own. */
  readonly journal: KeyValue;
  /** Throws UPSTREAM_MISMATCH when another mirror of this process holds one of these. */
  readonly claim?: ((claims: readonly Claim[]) => void) | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

export const KAFKA_DEFAULTS = {
  /** TCP, TLS and SASL together: 6 to 7 round trips, so 4 s at 600 ms each. */
  connectTimeoutMs: 20_000,
  requestTimeoutMs: 20_000,
  /**
   * An orphaned transaction holds back read_committed readers for this long and the broker's
   * sweep (10 s), so it is short; batches are made so that those under way at once take less.
   */
  transactionTimeoutMs: 5000,
  /** For a record that takes longer, it grows up to this (what brokers allow unless told otherwise). */
  transactionTimeoutMaxMs: 900_000,
  positionsTopic: 'gatelog.positions',
  maxBatchBytes: 921_600, // 900 KiB
} as const;

/** What a gateway is called at the cluster: the owner of its transactions, and of its positions. */
export function kafkaNames(options: {
  readonly gateway: string;
  readonly transactionalId?: string | undefined;
  readonly group?: string | undefined;
}): { readonly transactionalId: string; readonly group: string } {
  const own = `gatelog.${options.gateway}`;
  return { transactionalId: options.transactionalId ?? own, group: options.group ?? own };
}

export function tlsOptions(tls: KafkaTls): TlsOptions {
  const { ca, cert, key, passphrase, servername } = tls;
  return {
    rejectUnauthorized: true,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(passphrase === undefined ? {} : { passphrase }),
    ...(servername === undefined ? {} : { servername }),
  };
}
