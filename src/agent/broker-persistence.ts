import { Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { SESSION_LIMITS } from '../session-limits.ts';
import type { WhoIs } from './acl-filter.ts';
import type { AedesProperties, WillPacket } from './broker-aedes.ts';
import type { Answering } from './broker-answering.ts';
import type { Delivery } from './broker-qos2-slots.ts';
import { encodeMessage, type KeptPacket, type LogReference } from './broker-session-codec.ts';
import { countedBytes, type ReleasedPacket, type SentPacket } from './broker-session-queue.ts';
import type { SharedCopy } from './broker-shared.ts';
import { sameTerms, type Session, type SubscriptionTerms } from './broker-session.ts';
import type { KeptMatch, SessionStore } from './broker-session-store.ts';

interface ClientRef {
  readonly id: string;
}

/** A connection, or only its name. */
interface WillOwner extends ClientRef {
  readonly closed?: boolean;
}

interface SubscriptionRequest extends SubscriptionTerms {
  readonly topic: string;
}

/** Whether a retained message is to be sent for one of the filters of a SUBSCRIBE. */
export type WantedRetained = (filter: string, packet: KeptPacket) => boolean;

/** A packet as it comes from aedes. */
type PublishedPacket = Omit<Partial<KeptPacket>, 'cmd'> & {
  readonly topic: string;
  readonly payload: Buffer | string;
};

/**
 * aedes's persistence (aedes-persistence 10, its asynchronous form) over the session store. What aedes
 * answers with a packet (SUBACK, PUBREL, a QoS 2 PUBLISH, CONNACK) is durable when the promise
 * resolves; queueing and retaining only count at once, so that messages need not wait for each
 * other: the publisher's acknowledgement waits for `durable`.
 *
 * Incoming QoS 2 never comes here (broker-qos2.ts); those three methods keep in memory.
 */
export class SessionPersistence {
  readonly store: SessionStore;
  readonly #references = new WeakMap<object, LogReference>();
  readonly #deliveries = new WeakMap<object, Delivery>();
  readonly #willOwners = new WeakMap<object, WillOwner>();
  readonly #incoming = new Map<string, Map<number | undefined, KeptPacket>>();
  #broker: { readonly id: string } | undefined;
  /** Who is connected there. */
  personOf: ((client: object) => WhoIs) | undefined;
  /** Who of those that share a subscription gets it, and what sessions keep of that. */
  share: (packet: KeptPacket) => readonly SharedCopy[] = () => [];

  /** What a filter asks for of what the broker tells of itself, as retained messages. */
  system: (filter: string) => Iterable<KeptPacket> = () => [];

  /** Who is answered with retained messages. */
  answering: Answering | undefined;
  /** And with which. */
  wantedRetained: (() => WantedRetained) | undefined;

  constructor(store: SessionStore) {
    this.store = store;
  }

  get broker(): { readonly id: string } | undefined {
    return this.#broker;
  }

  /** aedes wants it to be an async function. */
  async setup(broker: { readonly id: string }): Promise<void> {
    this.#broker = broker;
    // Wills of another life are ours now: aedes publishes those of brokers that it does not know.
    for (const will of this.store.wills.values()) will.brokerId = broker.id;
  }

  /** The payload stands in the log: a queue need not hold it too. */
  refer(payload: Buffer, reference: LogReference): void {
    this.#references.set(payload, reference);
  }

  /** To be noted in the very write that queues the message. */
  noteDelivery(payload: Buffer, delivery: Delivery): void {
    this.#deliveries.set(payload, delivery);
  }

  /** Something of a message to this topic will be kept. */
  keeps(topic: string, retain: boolean): boolean {
    if (retain || this.store.matching(topic).length > 0) return true;
    return this.store.matchingShared(topic).length > 0;
  }

  /** Resolves when everything until now is on the disk. */
  durable(): Promise<void> {
    return this.store.journal.durable();
  }

  async storeRetained(packet: PublishedPacket): Promise<void> {
    this.store.retained.store(packet as KeptPacket);
  }

  createRetainedStream(pattern: string): Readable {
    return this.createRetainedStreamCombi([pattern]);
  }

  createRetainedStreamCombi(patterns: readonly string[]): Readable {
    let touch = (): void => {};
    const isWanted = this.wantedRetained?.() ?? (() => true);
    const stream = Readable.from(this.#retained(patterns, isWanted, () => touch()));
    const answers = this.answering?.retained(stream);
    if (answers !== undefined) touch = () => answers.touch();
    return stream;
  }

  /** As they are asked for: with many thousands, those of one SUBSCRIBE would stop everybody. */
  async *#retained(
    patterns: readonly string[],
    isWanted: WantedRetained,
    touch: () => void,
  ): AsyncGenerator<KeptPacket> {
    for (const pattern of patterns) {
      for (const packet of this.store.retained.matching(pattern)) {
        touch();
        if (packet === undefined) await setImmediate();
        else if (isWanted(pattern, packet)) yield packet;
      }
      yield* this.system(pattern);
    }
  }

  async addSubscriptions(client: ClientRef, subs: readonly SubscriptionRequest[]): Promise<void> {
    const session = this.store.ensure(client.id);
    for (const { topic, qos, rh, rap, nl, subscriptionIdentifier } of subs) {
      const given = subscriptionIdentifier === undefined ? {} : { subscriptionIdentifier };
      const terms = { qos, rh, rap, nl, ...given };
      if (sameTerms(session.subscriptions.get(topic), terms)) continue;
      this.store.subscribe(session, topic, terms);
    }
    await this.durable();
    // Not before: aedes listens for the filter only now, and what was queued until then would wait there.
    for (const { topic } of subs) this.store.queueFor(session, topic);
  }

  async removeSubscriptions(client: ClientRef, topics: readonly string[]): Promise<void> {
    const session = this.store.session(client.id);
    if (session === undefined) return;
    for (const topic of topics) this.store.unsubscribe(session, topic);
    await this.durable();
  }

  async subscriptionsByClient(client: ClientRef): Promise<SubscriptionRequest[]> {
    const session = this.store.session(client.id);
    return [...(session?.subscriptions ?? [])].map(([topic, terms]) => ({ topic, ...terms }));
  }

  async subscriptionsByTopic(topic: string): Promise<KeptMatch[]> {
    return this.store.matching(topic);
  }

  async countOffline(): Promise<{ subsCount: number; clientsCount: number }> {
    const counted = [...this.store.sessions()].filter(
      ({ subscriptions }) => subscriptions.size > 0,
    );
    return { subsCount: this.store.filters, clientsCount: counted.length };
  }

  /** The session ends: as after Clean Start, or when its time is over. */
  async cleanSubscriptions(client: ClientRef): Promise<void> {
    if (this.store.session(client.id) === undefined) return;
    this.store.end(client.id);
    await this.durable();
  }

  async outgoingEnqueue(sub: { clientId: string }, packet: PublishedPacket): Promise<void> {
    this.#enqueue(this.store.ensure(sub.clientId), packet as KeptPacket);
  }

  async outgoingEnqueueCombi(subs: readonly KeptFor[], packet: PublishedPacket): Promise<void> {
    const kept = packet as KeptPacket;
    for (const [clientId, isAsPublished] of receivers(subs, kept)) {
      const retain = kept.retain && isAsPublished;
      this.#enqueue(this.store.ensure(clientId), retain ? kept : { ...kept, retain });
    }
    for (const copy of this.share(kept)) {
      this.#enqueue(this.store.ensure(copy.clientId), { ...kept, ...copy.packet, retain: false });
    }
    const delivery = this.#deliveries.get(kept.payload as Buffer);
    if (delivery !== undefined) this.store.journal.put(delivery.key, delivery.value);
  }

  /** Of what is not kept there is nothing to update: it goes out all the same. */
  async outgoingUpdate(client: ClientRef, packet: SentPacket): Promise<void> {
    if (this.store.session(client.id)?.queue.update(packet) === true) await this.durable();
  }

  async outgoingClearMessageId(
    client: ClientRef,
    packet: { readonly messageId?: number | undefined },
  ): Promise<KeptPacket | ReleasedPacket | undefined> {
    return this.store.session(client.id)?.queue.clear(packet.messageId);
  }

  outgoingStream(client: ClientRef): Readable {
    const session = this.store.session(client.id);
    return Readable.from(session === undefined ? [] : session.queue.stream());
  }

  async incomingStorePacket(client: ClientRef, packet: KeptPacket): Promise<void> {
    const packets = this.#incoming.get(client.id) ?? new Map<number | undefined, KeptPacket>();
    const { cmd, topic, payload, qos, retain, dup, messageId } = packet;
    const kept = { cmd, topic, payload, qos, retain, dup, messageId };
    packets.set(messageId, { brokerId: undefined, brokerCounter: 0, ...kept });
    this.#incoming.set(client.id, packets);
  }

  async incomingGetPacket(client: ClientRef, packet: SentPacket): Promise<KeptPacket> {
    const found = this.#incoming.get(client.id)?.get(packet.messageId);
    if (found === undefined) throw new Error('no such packet');
    return found;
  }

  async incomingDelPacket(client: ClientRef, packet: SentPacket): Promise<void> {
    const deleted = this.#incoming.get(client.id)?.delete(packet.messageId);
    if (deleted !== true) throw new Error('no such packet');
  }

  async putWill(client: WillOwner, packet: WillPacket): Promise<void> {
    const will = packet as WillPacket & {
      brokerId?: string | undefined;
      clientId?: string;
    };
    will.brokerId = this.#broker?.id;
    will.clientId = client.id;
    const leftBy = this.personOf?.(client);
    if (leftBy !== undefined) will.leftBy = leftBy;
    this.store.setWill(client.id, will as unknown as KeptPacket, encodedWill(will));
    this.#willOwners.set(will, client);
    await this.durable();
  }

  async getWill(client: ClientRef): Promise<KeptPacket | undefined> {
    return this.store.wills.get(client.id);
  }

  /**
   * For a connection that ended aedes names its client id alone, and this some time later: the next connection may
   * have a will there by then, which stays. A CONNECT, which brings itself, replaces what is there.
   */
  async delWill(client: WillOwner): Promise<KeptPacket | undefined> {
    const will = this.store.wills.get(client.id);
    const isAnothers = will !== undefined && this.#willOwners.get(will)?.closed === false;
    if (isAnothers && client.closed === undefined) return undefined;
    this.store.dropWill(client.id);
    return will;
  }

  streamWill(brokers: Readonly<Record<string, unknown>> = {}): Readable {
    const wills = [...this.store.wills.values()];
    return Readable.from(wills.filter(({ brokerId }) => brokers[brokerId ?? ''] === undefined));
  }

  getClientList(topic: string): Readable {
    const found = [...this.store.sessions()].filter((one) => one.subscriptions.has(topic));
    return Readable.from(found.map(({ clientId }) => clientId));
  }

  async destroy(): Promise<void> {
    await this.store.journal.close();
  }

  #enqueue(session: Session, packet: KeptPacket): void {
    const { queue, access } = session;
    const { properties, messageExpiry } = packet;
    // aedes takes it for a message without a time. It goes to who is there, and waits for nobody [MQTT-3.3.2-5].
    if (properties?.messageExpiryInterval === 0 && messageExpiry === undefined) return;
    if (queue.has(packet) || access?.mayReceive(packet.topic) === false) return;
    const reference = this.#referenceTo(packet.payload);
    const bytes = countedBytes(packet) - (reference === undefined ? 0 : packet.payload.length);
    if (this.store.bounds.admits(queue, bytes)) queue.push(packet, reference);
  }

  #referenceTo(payload: Buffer | string): LogReference | undefined {
    if (typeof payload === 'string' || payload.length <= SESSION_LIMITS.inlineBytes)
      return undefined;
    return this.#references.get(payload);
  }
}

type KeptFor = Pick<KeptMatch, 'clientId' | 'nl' | 'rap'>;

/**
 * Whose queue it goes to, and whether it is retained there as published [MQTT-3.3.1-12]: not to that of who
 * published it, where all of its subscriptions are No Local [MQTT-3.8.3-3].
 */
function receivers(subs: readonly KeptFor[], { clientId: from }: KeptPacket): Map<string, boolean> {
  const found = new Map<string, boolean>();
  for (const { clientId, nl, rap } of subs) {
    if (nl === true && clientId === from) continue;
    found.set(clientId, rap === true || found.get(clientId) === true);
  }
  return found;
}

/** Its fields are fewer than a message's. */
function encodedWill(will: WillPacket): Buffer {
  const properties: AedesProperties | undefined = will.properties;
  const { leftBy } = will;
  return encodeMessage(
    {
      cmd: 'publish',
      brokerId: undefined,
      brokerCounter: 0,
      topic: will.topic,
      payload: will.payload,
      qos: (will.qos ?? 0) as 0 | 1 | 2,
      retain: will.retain === true,
      dup: false,
      ...(properties === undefined ? {} : { properties }),
      ...(leftBy === undefined ? {} : { leftBy }),
    },
    undefined,
  );
}
