import { connect, type Socket } from 'node:net';
import mqtt, { type Packet, type Parser } from 'mqtt-packet';
import { NUMBER_WINDOW } from '../../../src/agent/number-window.ts';
import type { Random } from '../../../src/random.ts';
import { type Ledger, type Message, payloadOf } from './messages.ts';

/**
 * A device at packet level: what it was promised must be known exactly, which a client library
 * with its own store and reconnection hides. It keeps every unacknowledged message and sends it
 * again, with DUP, on its next connection (MQTT-4.4.0-1), QoS 2 from where the handshake stood.
 */
export interface DeviceProfile {
  readonly id: string;
  readonly version: 4 | 5;
  /** Messages in flight at most. */
  readonly window: number;
  readonly topics: readonly string[];
  nextQos(random: Random): 0 | 1 | 2;
  nextPayloadBytes(random: Random): number;
  /** It numbers its messages (mqtt.dedup; MQTT 5 only), and sends some again that were acknowledged. */
  readonly numbered?: boolean;
}

/** As the configuration of a hunt's agent names them. */
export const DEDUP = '{ producerProperty: producer, sequenceProperty: number }';
const AGAIN = 0.02;
const HURRY = 0.5;

interface Flight {
  readonly message: Message;
  /** PUBREC came: only the PUBREL is still due. */
  released: boolean;
}

const RECONNECT_MS = 60;

export class Device {
  readonly #profile: DeviceProfile;
  readonly #random: Random;
  readonly #ledger: Ledger;
  readonly #port: number;
  readonly #flights = new Map<number, Flight>();
  #socket: Socket | undefined;
  #established = false;
  #connected = false;
  #wanted = false;
  #publishing = true;
  #credits = 0;
  #sequence = 0;
  #packetId = 0;
  #old: Message | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Acknowledgements with an error code; each is a promise refused, not given. */
  refused = 0;
  connections = 0;
  /** DISCONNECT packets of the agent, by reason (MQTT 5). */
  readonly endings: Map<number, number> = new Map();

  constructor(profile: DeviceProfile, port: number, random: Random, ledger: Ledger) {
    this.#profile = profile;
    this.#port = port;
    this.#random = random;
    this.#ledger = ledger;
  }

  start(): void {
    this.#wanted = true;
    this.#publishing = true;
    this.#dial();
  }

  /** Stops new messages; those in flight go on until they are acknowledged. */
  quiesce(): void {
    this.#publishing = false;
  }

  stop(): void {
    this.#wanted = false;
    clearTimeout(this.#timer);
    this.#socket?.destroy();
  }

  get inFlight(): number {
    return this.#flights.size;
  }

  /** False only when everything the agent wrote to this device has been read. */
  get open(): boolean {
    return this.#established;
  }

  grant(credits: number): void {
    if (!this.#connected || !this.#publishing) return;
    this.#credits = Math.min(this.#credits + credits, this.#profile.window);
    this.#fill();
  }

  #dial(): void {
    const socket = connect(this.#port, '127.0.0.1');
    const parser = mqtt.parser({ protocolVersion: this.#profile.version });
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('connect', () => {
      this.#established = true;
      this.#hello();
    });
    this.#listen(socket, parser);
    socket.on('error', () => {});
    socket.on('close', () => {
      if (this.#socket !== socket) return;
      this.#socket = undefined;
      this.#established = false;
      this.#connected = false;
      if (this.#wanted) this.#timer = setTimeout(() => this.#dial(), RECONNECT_MS);
    });
  }

  #listen(socket: Socket, parser: Parser): void {
    parser.on('packet', (packet) => this.#take(packet));
    parser.on('error', () => socket.destroy());
    socket.on('data', (bytes) => parser.parse(bytes));
  }

  #hello(): void {
    this.#write({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: this.#profile.version,
      clientId: this.#profile.id,
      clean: false,
      keepalive: 0,
      ...(this.#profile.version === 5 ? { properties: { sessionExpiryInterval: 3600 } } : {}),
    });
  }

  #take(packet: Packet): void {
    const { cmd, messageId = 0 } = packet;
    if (cmd === 'connack') this.#welcome(packet.reasonCode ?? packet.returnCode ?? 0);
    else if (cmd === 'puback') this.#settle(messageId, packet.reasonCode ?? 0);
    else if (cmd === 'pubrec') this.#received(messageId, packet.reasonCode ?? 0);
    else if (cmd === 'pubcomp') this.#flights.delete(messageId);
    else if (cmd === 'disconnect') this.#ended(packet.reasonCode ?? 0);
    else return;
    this.#fill();
  }

  #welcome(reason: number): void {
    if (reason !== 0) {
      this.refused++;
      this.#socket?.destroy();
      return;
    }
    this.connections++;
    this.#connected = true;
    this.#resend();
  }

  #ended(reason: number): void {
    this.endings.set(reason, (this.endings.get(reason) ?? 0) + 1);
  }

  #settle(packetId: number, reason: number): void {
    const flight = this.#flights.get(packetId);
    if (flight === undefined || flight.message.qos !== 1) return;
    this.#flights.delete(packetId);
    if (reason >= 0x80) this.refused++;
    else this.#ledger.acknowledge(flight.message);
    if (reason < 0x80 && this.#profile.numbered === true) this.#again(flight.message);
  }

  /** As a device that forgot the acknowledgement: of this message, or of one long ago. */
  #again(message: Message): void {
    if (this.#old === undefined || this.#random.next() < AGAIN) this.#old = message;
    if (!this.#publishing || this.#random.next() >= AGAIN) return;
    const packetId = this.#freePacketId();
    const repeated = this.#random.next() < 0.5 ? message : this.#old;
    this.#flights.set(packetId, { message: repeated, released: false });
    this.#publish(packetId, repeated, false);
  }

  #received(packetId: number, reason: number): void {
    const flight = this.#flights.get(packetId);
    if (flight === undefined || flight.message.qos !== 2) return;
    if (reason >= 0x80) {
      this.#flights.delete(packetId);
      this.refused++;
      return;
    }
    this.#ledger.acknowledge(flight.message);
    flight.released = true;
    this.#write({ cmd: 'pubrel', messageId: packetId });
  }

  /** New messages before old ones, where the numbers of the old ones are not too far behind yet. */
  #hurry(): void {
    if (this.#profile.numbered !== true || !this.#publishing || this.#flights.size === 0) return;
    const old = [...this.#flights.values()].map(({ message }) => message.sequence);
    const behind = this.#sequence - Math.min(...old);
    if (behind <= NUMBER_WINDOW && this.#random.next() < HURRY) this.#publishNew().isAhead = true;
  }

  #resend(): void {
    const old = [...this.#flights];
    this.#hurry();
    for (const [packetId, flight] of old) {
      if (flight.released) this.#write({ cmd: 'pubrel', messageId: packetId });
      else this.#publish(packetId, flight.message, true);
    }
  }

  #fill(): void {
    while (this.#connected && this.#publishing && this.#credits > 0) {
      if (this.#flights.size >= this.#profile.window) return;
      this.#credits--;
      this.#publishNew();
    }
  }

  #publishNew(): Message {
    const { id, topics } = this.#profile;
    const sequence = this.#sequence++;
    const message: Message = {
      id: `${id}-${sequence}`,
      device: id,
      sequence,
      mqttTopic: topics[Math.floor(this.#random.next() * topics.length)] ?? id,
      payloadBytes: this.#profile.nextPayloadBytes(this.#random),
      qos: this.#profile.nextQos(this.#random),
      attempts: 0,
      acked: false,
      copies: 0,
    };
    this.#ledger.add(message);
    if (message.qos === 0) {
      this.#publish(0, message, false);
      return message;
    }
    const packetId = this.#freePacketId();
    this.#flights.set(packetId, { message, released: false });
    this.#publish(packetId, message, false);
    return message;
  }

  #freePacketId(): number {
    do this.#packetId = (this.#packetId % 65_535) + 1;
    while (this.#flights.has(this.#packetId));
    return this.#packetId;
  }

  #publish(packetId: number, message: Message, dup: boolean): void {
    message.attempts++;
    this.#write({
      cmd: 'publish',
      ...(message.qos === 0 ? {} : { messageId: packetId }),
      qos: message.qos,
      dup,
      retain: false,
      topic: message.mqttTopic,
      payload: payloadOf(message),
      ...(this.#profile.version === 5
        ? { properties: { userProperties: this.#userProperties(message) } }
        : {}),
    });
  }

  #userProperties({ id, device, sequence }: Message): Record<string, string> {
    const number =
      this.#profile.numbered === true ? { producer: device, number: String(sequence) } : {};
    return { id, device, ...number };
  }

  #write(packet: Packet): void {
    this.#socket?.write(mqtt.generate(packet, { protocolVersion: this.#profile.version }));
  }
}
