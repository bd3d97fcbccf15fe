import { DropCount } from '../drop-count.ts';
import { GatelogError, messageOf } from '../errors.ts';
import type { RecordIdentity } from '../identity.ts';
import { LIMITS } from '../limits.ts';
import type { Durability, StreamId } from '../record.ts';
import type {
  AppendDone,
  LogWriter,
  LossLedger,
  ProducerBook,
  TopicInfo,
  TopicOptions,
} from '../store/log.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import { identityTextOf, type MirroredRecord, readMirrored } from './ingest-central.ts';
import { destination, destinationOfKey, TopicCache, type TopicEntry } from './ingest-topics.ts';
import { UnaskedMessages } from './ingest-unasked.ts';
import type { PublishProperties, Qos } from './publication.ts';
import { encodeMirroredHeaders, extendBaseHeaders } from './record-headers.ts';
import { RouteTable, type RouteSpec } from './route.ts';

/**
 * The gate between devices and the log: PUBLISH → record → append → permission to acknowledge.
 * Knows MQTT's words but no sockets; the broker holds the connections and asks the gate.
 *
 * Invariant: permission (`done` without an error) is given only when the append that holds the
 * message is as durable as its topic's class says, in arrival order over all messages.
 */
export interface IngestOptions {
  readonly writer: LogWriter;
  /** Told of QoS 0 messages that could not be stored. */
  readonly ledger: Pick<LossLedger, 'record'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** In order; the first match wins. */
  readonly routes: readonly RouteSpec[];
  /** Options by topic name, for every topic that is to exist from the start. */
  readonly topics: Readonly<Record<string, TopicOptions>>;
  /** For topics that a route or another gateway names and that are not in `topics`. */
  readonly defaultTopic: TopicOptions;
  /** Take the identity properties of other gateways and drop their repeats. */
  readonly central: boolean;
  /** By it the gate knows records of this very log that came back; absent: there is no log. */
  readonly own?: Pick<RecordIdentity, 'gateway' | 'incarnation'>;
}

export interface IngestCounters {
  /** PUBLISH packets and wills that reached the gate, and the bytes of their payloads. */
  readonly received: number;
  readonly receivedBytes: number;
  /** Given to the log, by durability class; repeats of another gateway included. */
  readonly appended: Readonly<Record<Durability, number>>;
  /** Delivered live only: no route, or a topic that begins with `$`. */
  readonly unrouted: number;
  /** Records of this very log that came back: delivered live only. */
  readonly returned: number;
  /** The log could not take them; their connections were ended without an acknowledgement. */
  readonly failed: number;
  /** QoS 0 messages and wills that the log could not take: counted in the ledger. */
  readonly dropped: number;
}

/** Stands in the commit with the record. */
export interface OnceMark {
  readonly producer: string;
  readonly sequence: number;
  /** It went along with an append: not so where no route wants the message, or it has an identity. */
  used: boolean;
  /** Of a repeat: what is told of the last sequence. undefined: that itself. */
  readonly tell?: ((last: number) => number) | undefined;
}

interface MirroredMessage {
  readonly payload: Uint8Array;
  readonly qos: Qos;
  readonly retain: boolean;
  readonly properties: PublishProperties;
}

export class IngestGate {
  readonly #writer: LogWriter;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #defaultTopic: TopicOptions;
  readonly #central: boolean;
  /** How our own identities begin. */
  readonly #ownPrefix: string | undefined;
  readonly #topics = new Map<string, TopicInfo>();
  readonly #cache: TopicCache;
  readonly #unasked = new UnaskedMessages();
  readonly #drops: DropCount;
  readonly #appended: Record<Durability, number> = { fsync: 0, os: 0, none: 0 };
  #received = 0;
  #receivedBytes = 0;
  #unrouted = 0;
  #returned = 0;
  #failed = 0;
  #nextFailureLineMs = -Infinity;

  /** Throws GatelogError CONFIG_INVALID for a bad route or an illegal topic. */
  constructor(options: IngestOptions) {
    this.#writer = options.writer;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#defaultTopic = options.defaultTopic;
    this.#central = options.central;
    const { own } = options;
    this.#ownPrefix = own === undefined ? undefined : `${own.gateway}/${own.incarnation}/`;
    const { ledger, clock, logger } = options;
    this.#drops = new DropCount({ record: (losses) => ledger.record(losses), clock, logger });
    const table = new RouteTable(options.routes);
    for (const [name, topicOptions] of Object.entries(options.topics)) {
      this.#topics.set(name, this.#writer.defineTopic(name, topicOptions));
    }
    for (const route of options.routes) this.#define(route.topic);
    this.#cache = new TopicCache(table, this.#topics);
  }

  counters(): IngestCounters {
    return {
      received: this.#received,
      receivedBytes: this.#receivedBytes,
      appended: { ...this.#appended },
      unrouted: this.#unrouted,
      returned: this.#returned,
      failed: this.#failed,
      dropped: this.#drops.records,
    };
  }

  /** What is remembered of an MQTT topic. */
  known(mqttTopic: string): TopicEntry | undefined {
    return this.#cache.known(mqttTopic);
  }

  /** Works out and remembers a topic, which MUST be a legal MQTT topic name. */
  entry(mqttTopic: string): TopicEntry {
    return this.#cache.entry(mqttTopic);
  }

  /**
   * Appends the message. True: `done` will be called, once, in arrival order over all messages.
   * False: the message is not for the log and `done` is not called; the caller keeps its own
   * acknowledgements in order (`settled`). For a QoS 0 message `done` MUST tell `settledUnasked`.
   * `once`: it may be a repeat, and is not appended if a message with that mark was.
   */
  publish(
    entry: TopicEntry,
    client: string,
    payload: Uint8Array,
    qos: Qos,
    retain: boolean,
    properties: PublishProperties | undefined,
    done: AppendDone,
    once?: OnceMark,
  ): boolean {
    this.#received++;
    this.#receivedBytes += payload.length;
    if (properties !== undefined && this.#isOwn(properties)) {
      this.#tellReturned(entry, client);
      return false;
    }
    if (properties !== undefined && this.#central) {
      const mirrored = readMirrored(properties);
      const message = { payload, qos, retain, properties };
      if (mirrored !== undefined && this.#publishMirrored(mirrored, entry, message, done)) {
        return true;
      }
    }
    const to = entry.destination(client);
    if (to === undefined) {
      this.#unrouted++;
      return false;
    }
    const base = entry.baseHeaders(qos, retain);
    const headers = properties === undefined ? base : extendBaseHeaders(base, properties);
    const durability = classOf(entry.durability, qos);
    this.#appended[durability]++;
    if (qos === 0) this.#unasked.push(entry.logTopic, payload.length);
    const now = this.#clock.nowMs();
    if (once === undefined) {
      this.#writer.append(to.stream, now, to.key, payload, headers, durability, done);
      return true;
    }
    once.used = true;
    const { producer, sequence, tell } = once;
    const { stream, key } = to;
    const told: AppendDone =
      tell === undefined
        ? done
        : (error, offset, last) => done(error, offset, last === undefined ? last : tell(last));
    const args = [stream, now, key, payload, headers, durability, told, false] as const;
    this.#writer.appendOnce(producer, sequence, ...args);
    return true;
  }

  /** Marks with which messages were appended. */
  get producers(): ProducerBook {
    return this.#writer.producers;
  }

  /**
   * The stream whose offset `publish` will answer with, where that is a lasting name of the message:
   * undefined for one that goes elsewhere, or whose record a power cut may take back.
   */
  streamOf(
    entry: TopicEntry,
    client: string,
    qos: Qos,
    properties: PublishProperties | undefined,
  ): StreamId | undefined {
    if (qos === 0 || classOf(entry.durability, qos) !== 'fsync') return undefined;
    const isMirrored =
      this.#central && properties !== undefined && readMirrored(properties) !== undefined;
    return isMirrored ? undefined : entry.destination(client)?.stream;
  }

  /** Calls `done` when everything appended before it is settled. */
  settled(done: AppendDone): void {
    this.#writer.settled(done);
  }

  /** Appends wait at their bound: devices must be slowed until `relieved` resolves. */
  congested(): boolean {
    return this.#writer.pendingBytes() > LIMITS.pendingBytes;
  }

  relieved(): Promise<void> {
    return this.#writer.relieved();
  }

  /**
   * The caller tells of a `done` with an error, so that it costs no closure per message. While the
   * log can't write, every device's message fails: one line now and then is enough.
   */
  failed(error: Error, client: string): void {
    this.#failed++;
    const now = this.#clock.monotonicMs();
    if (now < this.#nextFailureLineMs) return;
    this.#nextFailureLineMs = now + LIMITS.failureLineMs;
    this.#logger.warn(
      { client, error: messageOf(error), failed: this.#failed },
      'the log could not take a message: not acknowledged, connection ended',
    );
  }

  /**
   * The log has settled the oldest QoS 0 message. Nobody waits for it and nobody sends it again: one
   * that was not stored is counted in the ledger, and its connection goes on.
   */
  settledUnasked(error: Error | null): void {
    if (error !== null) {
      const { frontTopic, frontBytes } = this.#unasked;
      this.#drop(frontTopic, frontBytes, 'QoS 0 messages', error);
    }
    this.#unasked.shift();
  }

  /** The same of a will of QoS 1 or 2. */
  lost(entry: TopicEntry, bytes: number, error: Error): void {
    this.#drop(entry.logTopic, bytes, 'wills', error);
  }

  #drop(topic: string, bytes: number, what: string, error: Error): void {
    const full = error instanceof GatelogError && error.code === 'STORE_FULL';
    const cause = full ? 'the disk was full' : 'the log could not be written';
    this.#drops.add(topic, bytes, `${what} came while ${cause}`);
    const now = this.#clock.monotonicMs();
    if (now < this.#nextFailureLineMs) return;
    this.#nextFailureLineMs = now + LIMITS.failureLineMs;
    this.#logger.warn(
      { error: messageOf(error), dropped: this.#drops.records },
      'the log could not take a message that nobody sends again: it is delivered to subscribers only',
    );
  }

  /** A mirror leads back here, over whatever brokers: stored again, each record would go round for ever. */
  #isOwn(properties: PublishProperties): boolean {
    const prefix = this.#ownPrefix;
    return prefix !== undefined && identityTextOf(properties)?.startsWith(prefix) === true;
  }

  #tellReturned({ mqttTopic }: TopicEntry, client: string): void {
    if (this.#returned++ > 0) return;
    this.#logger.warn(
      { event: 'ingest.returned', client, topic: mqttTopic },
      `a record of this gateway came back on ${JSON.stringify(mqttTopic)}: a mirror leads to this agent itself, by itself or over other brokers; such records are not stored again (said once, counted as returned)`,
    );
  }

  /** Puts the last counts of dropped messages into the ledger. */
  close(): Promise<void> {
    return this.#drops.close();
  }

  #define(name: string): TopicInfo {
    const known = this.#topics.get(name);
    if (known !== undefined) return known;
    const info = this.#writer.defineTopic(name, this.#defaultTopic);
    this.#topics.set(name, info);
    return info;
  }

  /** False when the identity names a topic that can't be: an ordinary message then. */
  #publishMirrored(
    mirrored: MirroredRecord,
    entry: TopicEntry,
    message: MirroredMessage,
    done: AppendDone,
  ): boolean {
    const { payload, qos, retain, properties } = message;
    const info = this.#defineMirrored(mirrored.identity.topic);
    if (info === undefined) return false;
    const to =
      mirrored.key === undefined
        ? destination(info, entry.mqttTopic)
        : destinationOfKey(info, mirrored.key);
    const durability = classOf(info.options.durability, qos);
    this.#appended[durability]++;
    if (qos === 0) this.#unasked.push(info.name, payload.length);
    this.#writer.appendOnce(
      mirrored.producer,
      mirrored.identity.offset,
      to.stream,
      mirrored.timestampMs ?? this.#clock.nowMs(),
      to.key,
      payload,
      encodeMirroredHeaders(entry.mqttTopic, qos, retain, properties, mirrored.identityText),
      durability,
      done,
      mirrored.timestampMs !== undefined,
    );
    return true;
  }

  #defineMirrored(name: string): TopicInfo | undefined {
    try {
      return this.#define(name);
    } catch (error) {
      this.#logger.debug({ topic: name }, `not a topic that can be made: ${messageOf(error)}`);
      return undefined;
    }
  }
}

/** Class `none` is for QoS 0 only: who asks for an acknowledgement means it. */
function classOf(durability: Durability, qos: Qos): Durability {
  return durability === 'none' && qos > 0 ? 'fsync' : durability;
}
