import { SESSION_LIMITS } from '../session-limits.ts';
import type { Clock } from '../time.ts';
import { countedBytes } from './broker-session-queue.ts';
import { decodeMessage, encodeMessage, type KeptPacket } from './broker-session-codec.ts';
import type { SessionJournal } from './broker-session-journal.ts';
import { RetainedShares } from './broker-retained-shares.ts';
import type { WhoIs } from './acl-filter.ts';
import { TopicTree } from './broker-topic-tree.ts';

const PREFIX = 'retained/';

/** The last retained message of each topic: in memory to be found, and in the journal's space. */
export class RetainedMessages {
  readonly #journal: SessionJournal;
  readonly #clock: Clock;
  readonly #shares: RetainedShares;
  readonly #refused: (packet: KeptPacket) => void;
  /** By payload: who published what may be retained. */
  readonly #owners = new WeakMap<object, WhoIs>();
  /** Payloads of those for which there was no room. */
  readonly #unkept = new WeakSet();
  readonly #packets = new Map<string, KeptPacket>();
  readonly #tree = new TopicTree<KeptPacket>();
  #lookedMs = Number.NEGATIVE_INFINITY;

  constructor(
    journal: SessionJournal,
    maxBytes: number,
    clock: Clock,
    refused: (packet: KeptPacket) => void,
  ) {
    this.#journal = journal;
    this.#clock = clock;
    this.#shares = new RetainedShares(maxBytes);
    this.#refused = refused;
  }

  static isKey(key: string): boolean {
    return key.startsWith(PREFIX);
  }

  get size(): number {
    return this.#packets.size;
  }

  get bytes(): number {
    return this.#shares.bytes;
  }

  restore(value: Uint8Array): void {
    this.#keep(decodeMessage(value).packet);
  }

  store(packet: KeptPacket): void {
    const { topic, payload, properties } = packet;
    const known = this.#packets.get(topic);
    const before = known === undefined ? 0 : countedBytes(known);
    // With no time at all it is over at once, and what was there before was replaced.
    if (payload.length === 0 || properties?.messageExpiryInterval === 0) {
      if (known !== undefined) this.#forget(known);
      return;
    }
    const leftBy = typeof payload === 'string' ? undefined : this.#owners.get(payload);
    const kept = { ...packet, ...(leftBy === undefined ? {} : { leftBy: { user: leftBy.user } }) };
    const admits = (): boolean => this.#shares.admits(kept, countedBytes(kept), known, before);
    if (!admits()) this.#forgetExpired(known);
    if (!admits()) {
      this.#refused(kept);
      if (typeof payload !== 'string') this.#unkept.add(payload);
      // What was there before is no more what was published last [MQTT-3.3.1-5].
      if (known !== undefined) this.#forget(known);
      return;
    }
    if (known !== undefined) this.#shares.count(known, -before);
    this.#keep(kept);
    this.#journal.put(PREFIX + topic, encodeMessage(kept, undefined), known === undefined);
  }

  /** Who published it, or left it. */
  ownedBy(payload: Buffer | string, who: WhoIs | undefined): void {
    if (typeof payload !== 'string' && who !== undefined) this.#owners.set(payload, who);
  }

  /** There was no room for it. */
  isUnkept(payload: Buffer): boolean {
    return this.#unkept.has(payload);
  }

  get(topic: string): KeptPacket | undefined {
    return this.#packets.get(topic);
  }

  /** One after the other, and `undefined` where others should have their turn. */
  matching(filter: string): Iterable<KeptPacket | undefined> {
    return /[+#]/u.test(filter) ? this.#tree.under(filter) : [this.#packets.get(filter)];
  }

  #forget(packet: KeptPacket): void {
    const { topic } = packet;
    this.#shares.count(packet, -countedBytes(packet));
    this.#packets.delete(topic);
    this.#tree.delete(topic, '');
    this.#journal.remove(PREFIX + topic);
  }

  /** Who subscribes to them finds that their time is over; nobody may for long. */
  #forgetExpired(kept: KeptPacket | undefined): void {
    const lookMs = this.#clock.monotonicMs();
    if (lookMs - this.#lookedMs < SESSION_LIMITS.expiryCheckMs) return;
    this.#lookedMs = lookMs;
    const nowMs = this.#clock.nowMs();
    for (const packet of this.#packets.values()) {
      const { messageExpiry } = packet;
      if (packet !== kept && messageExpiry !== undefined && messageExpiry <= nowMs) {
        this.#forget(packet);
      }
    }
  }

  #keep(packet: KeptPacket): void {
    this.#packets.set(packet.topic, packet);
    this.#tree.set(packet.topic, '', packet);
    this.#shares.count(packet, countedBytes(packet));
  }
}
