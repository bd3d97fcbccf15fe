import { CLIENT_BOUNDS } from '../client-limits.ts';
import { TopicAliases } from './broker-aliases.ts';
import type { ConnectionContext } from './broker-connection-context.ts';
import type { FrameReader } from './broker-frames.ts';
import { checkConnect, checkFilters } from './broker-packet-check.ts';
import { ProtocolViolation, REASON } from './broker-reasons.ts';

const SUBSCRIBE = 8;
const UNSUBSCRIBE = 10;
const PINGREQ = 12;

type Looked = 'limits' | 'counters' | 'keptWillBytes';

/** Told of every SUBSCRIBE and UNSUBSCRIBE. */
export interface Asking {
  asked(isSubscribe: boolean): void;
}

/** What is looked at in one connection's packets before aedes has them. All throw ProtocolViolation. */
export class ConnectionChecks {
  readonly #context: Pick<ConnectionContext, Looked>;
  readonly #frames: FrameReader;
  readonly #asking: Asking;
  #willBytes = 0;
  #aliases: TopicAliases | undefined;

  constructor(context: Pick<ConnectionContext, Looked>, frames: FrameReader, asking: Asking) {
    this.#context = context;
    this.#frames = frames;
    this.#asking = asking;
  }

  /** CONNECT. Its will counts until the connection ends, and for as long as it is kept after that. */
  connect(): void {
    const { counters, limits } = this.#context;
    this.#willBytes = checkConnect(this.#frames.whole(), this.#bodyStart, limits);
    counters.willBytes += this.#willBytes;
    const kept = this.#willBytes === 0 ? 0 : this.#context.keptWillBytes() + this.#willBytes;
    if (Math.max(counters.willBytes, kept) <= CLIENT_BOUNDS.willsBytes) return;
    throw new ProtocolViolation(REASON.quotaExceeded, 'there are too many bytes of wills');
  }

  /** What aedes is given: SUBSCRIBE and UNSUBSCRIBE above all. */
  forAedes(version: number): void {
    const type = this.#frames.first >> 4;
    if (type === PINGREQ && this.#frames.bodyStart !== this.#frames.end) {
      throw new ProtocolViolation(REASON.malformed, 'a PINGREQ has a body');
    }
    if (type !== SUBSCRIBE && type !== UNSUBSCRIBE) return;
    const { topicBytes, topicLevels } = this.#context.limits;
    const rules = { isSubscribe: type === SUBSCRIBE, topicBytes, topicLevels };
    checkFilters(this.#frames.whole(), this.#bodyStart, version, rules);
    this.#asking.asked(type === SUBSCRIBE);
  }

  /**
   * A PUBLISH of QoS 1 or 2 beside so many that wait for their acknowledgement. Before 5 there is no word for
   * it, and the device is only read more slowly (LIMITS.pendingAcks). Open handshakes have a bound of their own.
   */
  inFlight(version: number, waiting: number): void {
    const { inFlight } = this.#context.limits;
    if (version !== 5 || waiting < inFlight) return;
    const why = `more than ${inFlight} messages wait for their acknowledgement`;
    throw new ProtocolViolation(REASON.receiveMaximumExceeded, why);
  }

  /** The topic that an alias stands for. */
  aliased(alias: number, topic: string): string {
    return (this.#aliases ??= new TopicAliases(this.#context.limits)).resolve(alias, topic);
  }

  /** The packet id of a PUBREL. */
  pubrel(): number {
    const { buffer, first, bodyStart, end } = this.#frames;
    if ((first & 0x0f) !== 2) {
      throw new ProtocolViolation(REASON.malformed, 'a PUBREL has wrong flags'); // [MQTT-3.6.1-1]
    }
    if (bodyStart + 2 > end) {
      throw new ProtocolViolation(REASON.malformed, 'a PUBREL ends inside its packet id');
    }
    return buffer.readUInt16BE(bodyStart);
  }

  left(): void {
    this.#context.counters.willBytes -= this.#willBytes;
    this.#willBytes = 0;
  }

  get #bodyStart(): number {
    return this.#frames.bodyStart - this.#frames.start;
  }
}
