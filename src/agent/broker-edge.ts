import type { Clock } from '../time.ts';
import { type AedesClient, rejectPacket, setServerKeepAlive } from './broker-aedes.ts';
import { Backlog, type BacklogContext } from './broker-backlog.ts';
import type { DeviceStream } from './broker-door.ts';
import { watchFilters } from './broker-own-filters.ts';
import {
  interceptWrites,
  type OutgoingPacket,
  packetBytes,
  type PacketOutlet,
  writePacket,
  type WriteOptions,
} from './broker-packet-writer.ts';
import { giveGuarded, guardPackets } from './broker-parser-place.ts';
import type { Overlaps } from './broker-overlaps.ts';
import { REASON } from './broker-reasons.ts';
import { type HeldForDevices, SendWindow } from './broker-send-window.ts';
import { filterForAedes, isShareAsked, isShareMarker, NO_FILTER } from './broker-share-filter.ts';
import type { OutgoingQueue } from './broker-session-queue.ts';
import { SubscribeAnswers, type SubscribePacket } from './broker-subscribe-answers.ts';
import { SubscriptionTurns } from './broker-subscription-turns.ts';
import type { Traffic } from './broker-traffic.ts';
import { TopicAliasesOut } from './broker-aliases-out.ts';

export interface EdgeContext extends BacklogContext {
  readonly clock: Clock;
  readonly held: HeldForDevices;
  /** The longest keep-alive of MQTT 5 devices in seconds; undefined: as they like. */
  readonly keepAliveSeconds: number | undefined;
  /** A message that the session has kept will not be sent to it. */
  readonly giveUp: (client: AedesClient, messageId: number) => void;
  /** UNSUBACK leaves. */
  readonly unsubscribed: (client: AedesClient) => void;
  readonly overlaps: Pick<Overlaps, 'meantFor'>;
  readonly traffic: Traffic;
}

const LAST_ID = 65_535;
/** CONNACK with "packet too large" and nothing else. */
const TOO_LARGE = Buffer.from([0x20, 3, 0, 0x95, 0]);

interface ConnectPacket {
  readonly cmd: 'connect';
  readonly protocolVersion?: number;
  readonly keepalive?: number;
  readonly clean?: boolean;
  readonly properties?: {
    readonly topicAliasMaximum?: number;
    readonly sessionExpiryInterval?: number;
  };
}

/** What a device says, as mqtt-packet reads it; the parts that are looked at. */
type IncomingPacket =
  | ConnectPacket
  | SubscribePacket
  | { readonly cmd: 'unsubscribe'; unsubscriptions: string[] }
  | { readonly cmd: 'puback' | 'pubcomp'; readonly messageId?: number }
  | { readonly cmd: 'pubrec'; readonly messageId?: number; readonly reasonCode?: number }
  | { readonly cmd: 'pingreq' };

/**
 * Between a device and aedes, packet by packet, both ways: what MQTT 5 wants and aedes 2.0.0-beta.1 does
 * not do. In: shared subscriptions under their markers, Server Keep Alive, acknowledgements that make room.
 * Out: Receive Maximum, Maximum Packet Size and Topic Alias Maximum of the device, expiry of what has
 * waited, SUBACK. PUBLISH from the device does not come here (broker-connection.ts).
 */
export class ProtocolEdge implements PacketOutlet {
  readonly #context: EdgeContext;
  readonly #client: AedesClient;
  readonly #stream: DeviceStream;
  #answers: SubscribeAnswers | undefined;
  #window: SendWindow | undefined;
  #backlog: Backlog | undefined;
  #aliases: TopicAliasesOut | undefined;
  #turns: SubscriptionTurns<IncomingPacket> | undefined;
  #waitsForDrain = false;

  constructor(context: EdgeContext, client: AedesClient, stream: DeviceStream) {
    this.#context = context;
    this.#client = client;
    this.#stream = stream;
    interceptWrites(stream, this);
    guardPackets(client, this);
  }

  /** Its connection is gone. */
  left(): void {
    this.#window?.clear();
    this.#turns?.clear();
  }

  /** Most devices never subscribe. */
  get answers(): SubscribeAnswers {
    return (this.#answers ??= new SubscribeAnswers());
  }

  /** A packet from the device, before aedes has it. False: aedes must not have it. */
  incoming(packet: IncomingPacket): boolean {
    if (hasRepeats(packet)) {
      rejectPacket(this.#client, REASON.protocolError);
      if (!this.#client.connected) this.#stream.destroy(); // there is no word for it
      return false;
    }
    if (packet.cmd === 'connect') this.#connect(packet);
    if (packet.cmd === 'pubrec' && this.#isUnknown(packet.messageId)) return false;
    if (packet.cmd === 'subscribe') return this.#subscribe(packet) && this.#inTurn(packet);
    if (packet.cmd !== 'unsubscribe') return true;
    const { subscriptions } = this.#client;
    packet.unsubscriptions = packet.unsubscriptions.map((filter) =>
      // A session may have one of a time when it was taken for a filter.
      subscriptions[filter] === undefined ? filterForAedes(filter) : filter,
    );
    return this.#inTurn(packet);
  }

  #inTurn(packet: Extract<IncomingPacket, { cmd: 'subscribe' | 'unsubscribe' }>): boolean {
    this.#turns ??= new SubscriptionTurns((later) => giveGuarded(this.#client, later));
    return this.#turns.admits(packet, packet.cmd);
  }

  /** A PUBREC of MQTT 5 for nothing that is under way: aedes would call it known. */
  #isUnknown(messageId: number = 0): boolean {
    const { version } = this.#client;
    const isKnown =
      this.#window?.isTaken(messageId) === true ||
      this.#context.queueOf(this.#client)?.isTaken(messageId) === true;
    if (version !== 5 || isKnown) return false;
    const reasonCode = REASON.packetIdNotFound;
    writePacket({ cmd: 'pubrel', messageId, reasonCode }, this.#stream, this.#options);
    return true;
  }

  /** The same after aedes has had it. */
  handled(packet: IncomingPacket): void {
    const isEnd =
      packet.cmd === 'puback' ||
      packet.cmd === 'pubcomp' ||
      // [MQTT-4.3.3-4]: a PUBREC that refuses ends the handshake.
      (packet.cmd === 'pubrec' && (packet.reasonCode ?? 0) >= REASON.unspecified);
    if (!isEnd || this.#window === undefined) return;
    this.#window.end(packet.messageId ?? 0);
    this.#sendHeld();
    this.#backlog?.goOn();
  }

  write(packet: OutgoingPacket, options: WriteOptions): boolean {
    if (packet.cmd !== 'publish') this.#context.traffic.sent++;
    switch (packet.cmd) {
      case 'publish':
        return this.#publish(packet, options);
      case 'suback': {
        const { messageId = 0, granted = [] } = packet;
        const answered = this.answers.answer(messageId, granted, this.#client.version === 5);
        this.#turns?.answered();
        return this.#answer({ ...packet, granted: answered }, options);
      }
      case 'unsuback':
        this.#turns?.answered();
        this.#context.unsubscribed(this.#client);
        return this.#answer(packet, options);
      case 'connack': {
        const { properties } = packet;
        // aedes says that it has none; that we have them need not be said.
        if (properties !== undefined) delete properties.sharedSubscriptionAvailable;
        return this.#isTooLarge(packet, options) ? this.#refuse() : this.#answer(packet, options);
      }
      default:
        return this.#answer(packet, options);
    }
  }

  /** Without what is too large for the device [MQTT-3.1.2-24]. */
  #answer(packet: OutgoingPacket, options: WriteOptions): boolean {
    return this.#isTooLarge(packet, options) || writePacket(packet, this.#stream, options);
  }

  /** It takes no CONNACK that says what there is to say. */
  #refuse(): true {
    if ((this.#client.maximumPacketSize ?? 0) >= TOO_LARGE.length) this.#stream.write(TOO_LARGE);
    this.#stream.end(() => this.#stream.destroy());
    return true;
  }

  #isTooLarge(packet: OutgoingPacket, options: WriteOptions): boolean {
    const { maximumPacketSize } = this.#client;
    return maximumPacketSize !== undefined && packetBytes(packet, options) > maximumPacketSize;
  }

  #connect({ protocolVersion, clean, keepalive = 0, properties }: ConnectPacket): void {
    this.#context.traffic.connects++;
    // It may go on with a session that lasts, or leave one.
    const isLasting = clean !== true || (properties?.sessionExpiryInterval ?? 0) > 0;
    if (isLasting) {
      this.#backlog = this.#newBacklog();
      watchFilters(this.#client); // aedes subscribes for the session
    }
    if (protocolVersion !== 5) return;
    const { keepAliveSeconds: longest } = this.#context;
    const isLonger = longest !== undefined && (keepalive === 0 || keepalive > longest);
    if (isLonger) setServerKeepAlive(this.#client, longest);
    const aliases = properties?.topicAliasMaximum ?? 0;
    if (aliases > 0) this.#aliases = new TopicAliasesOut(aliases);
  }

  #newBacklog(): Backlog {
    return new Backlog(this.#context, this.#client, this.#stream, {
      window: () => this.#sendWindow,
      send: (packet) => {
        if (packet.cmd === 'publish') this.#send(this.#aged(packet), this.#options);
        else writePacket(packet, this.#stream, this.#options);
      },
    });
  }

  #subscribe(packet: SubscribePacket): boolean {
    for (const { topic, nl } of packet.subscriptions) {
      // Those are ours; and aedes makes a plain object by filter, in which `__proto__` does harm.
      if (isShareMarker(topic) || topic === '__proto__') {
        return rejectPacket(this.#client, REASON.topicFilterInvalid);
      }
      // [MQTT-3.8.3-4]
      if (isShareAsked(topic) && nl === true) {
        return rejectPacket(this.#client, REASON.protocolError);
      }
    }
    for (const subscription of packet.subscriptions) {
      const filter = filterForAedes(subscription.topic);
      if (filter === NO_FILTER) this.answers.refuse(filter, REASON.topicFilterInvalid);
      subscription.topic = filter;
    }
    this.answers.asked(packet);
    watchFilters(this.#client);
    return true;
  }

  #publish(from: OutgoingPacket, options: WriteOptions): boolean {
    const qos = this.#context.overlaps.meantFor(from.properties);
    const packet = qos === undefined ? from : Object.assign(from, { qos });
    if (packet.qos === 0) return this.#send(packet, options);
    const { clean } = this.#client;
    const queue = clean ? undefined : this.#context.queueOf(this.#client);
    const place = queue?.placeOf(packet);
    if (queue === undefined || place === undefined) {
      // What answers SUBSCRIBE is in no queue.
      const free = this.#withFreeId(packet, queue);
      // It has no time to wait.
      if (packet.properties?.messageExpiryInterval === 0 && this.#sendWindow.room === 0)
        return true;
      return this.#sendWindow.admit(free, options) ? this.#send(free, options) : true;
    }
    // aedes notes no id of what is retained as published; and it waits for the note of an id at QoS 2 only, which
    // it took this one's for less than.
    if ((packet.retain === true && queue.update(packet)) || qos === 2) {
      this.#backlog?.keepInHand(place);
      void this.#whenDurable(packet, place, options);
    } else this.#leave(packet, place, options);
    return true;
  }

  /** Where it does not become durable, the session has it when it goes on with another connection. */
  async #whenDurable(packet: OutgoingPacket, place: number, options: WriteOptions): Promise<void> {
    try {
      await this.#context.durable();
    } catch {
      rejectPacket(this.#client, REASON.implementationSpecific);
      return;
    }
    if (!this.#stream.destroyed) this.#leave(packet, place, options);
  }

  /** It stands in the queue, and waits there if it may not leave yet. */
  #leave(packet: OutgoingPacket, place: number, options: WriteOptions): void {
    if (this.#backlog?.mayLeave(place) === true) {
      this.#sendWindow.begin(packet);
      this.#context.queueOf(this.#client)?.leaves(place);
      this.#send(packet, options);
    }
    this.#backlog?.letGo(place);
  }

  get #sendWindow(): SendWindow {
    return (this.#window ??= new SendWindow(this.#client.receiveMaximum, this.#context.held));
  }

  get #options(): WriteOptions {
    return { protocolVersion: this.#client.version ?? 4 };
  }

  /**
   * aedes counts from anywhere, and does not look what is under way. Downwards: it
   * counts up, and the next one must not meet this one.
   */
  #withFreeId(packet: OutgoingPacket, queue: OutgoingQueue | undefined): OutgoingPacket {
    let messageId = packet.messageId ?? 1;
    const isTaken = (): boolean =>
      this.#sendWindow.isTaken(messageId) || queue?.isTaken(messageId) === true;
    if (!isTaken()) return packet;
    while (isTaken()) messageId = messageId <= 1 ? LAST_ID : messageId - 1;
    return { ...packet, messageId };
  }

  /** No faster than they are read: a device may acknowledge what it has not read. */
  #sendHeld(): void {
    while (!this.#stream.writableNeedDrain) {
      const held = this.#window?.take();
      if (held === undefined) return;
      this.#send(this.#aged(held.packet), held.options);
    }
    if (this.#waitsForDrain) return;
    this.#waitsForDrain = true;
    this.#stream.once('drain', () => {
      this.#waitsForDrain = false;
      this.#sendHeld();
    });
  }

  /** It has waited here: less of its time is left [MQTT-3.3.2-6]. */
  #aged(packet: OutgoingPacket): OutgoingPacket {
    const { messageExpiry, properties } = packet;
    if (messageExpiry === undefined) return packet;
    const left = Math.ceil((messageExpiry - this.#context.clock.nowMs()) / 1000);
    return { ...packet, properties: { ...properties, messageExpiryInterval: Math.max(left, 0) } };
  }

  #send(packet: OutgoingPacket, options: WriteOptions): boolean {
    const { messageExpiry } = packet;
    if (messageExpiry !== undefined && messageExpiry <= this.#context.clock.nowMs()) {
      return this.#giveUp(packet); // [MQTT-3.3.2-5]
    }
    const { topic = '' } = packet;
    const alias = this.#aliases?.of(topic);
    const aliased = alias === undefined ? packet : this.#aliases?.apply(packet, alias);
    const sent = aliased ?? packet;
    if (this.#isTooLarge(sent, options)) {
      return this.#giveUp(packet); // [MQTT-3.1.2-25]
    }
    if (alias !== undefined) this.#aliases?.set(topic, alias);
    this.#context.traffic.gave(packet.payload?.length ?? 0);
    return writePacket(sent, this.#stream, options);
  }

  /** As if it had been delivered. */
  #giveUp({ qos, messageId = 0 }: OutgoingPacket): true {
    if (qos === 0) return true;
    this.#window?.end(messageId);
    if (!this.#client.clean) this.#context.giveUp(this.#client, messageId);
    return true;
  }
}

/**
 * A property that comes twice becomes a list in the parser, and the times that aedes works out of one are no
 * numbers, which ends the process. User properties may come many times, and have an object of their own.
 */
function hasRepeats(packet: object): boolean {
  const { properties, will } = packet as { properties?: object; will?: { properties?: object } };
  return [properties, will?.properties].some((some) =>
    Object.values(some ?? {}).some((value) => Array.isArray(value)),
  );
}
