import type { Socket } from 'node:net';
import { GatelogError, messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { Logger } from '../telemetry.ts';
import { ACK, ackCode, type AckRound, Acks, encodeReasonAck, REFUSED } from './broker-acks.ts';
import {
  type AedesClient,
  askedCleanStart,
  type LivePacket,
  takeInput,
  takesProperties,
  touchKeepAlive,
} from './broker-aedes.ts';
import { TopicAliases } from './broker-aliases.ts';
import { FrameReader } from './broker-frames.ts';
import { HOLD, Holds } from './broker-holds.ts';
import { type LiveDelivery, livePacket } from './broker-live.ts';
import { PendingAcks } from './broker-pending.ts';
import { checkTopic, PublishDecoder } from './broker-publish.ts';
import type { Qos2Session, Qos2Sessions } from './broker-qos2.ts';
import { ProtocolViolation, REASON, reasonOfFailure } from './broker-reasons.ts';
import type { Throttle } from './broker-throttle.ts';
import type { TopicEntry } from './ingest-topics.ts';
import type { IngestGate } from './ingest.ts';

/** What all connections of one broker share. */
export interface ConnectionContext {
  readonly gate: IngestGate;
  readonly live: LiveDelivery;
  readonly qos2: Qos2Sessions;
  readonly throttle: Throttle;
  readonly acks: AckRound;
  readonly decoder: PublishDecoder;
  readonly logger: Logger;
  readonly maxPacketBytes: number;
  readonly counters: ConnectionCounters;
}

export interface ConnectionCounters {
  /** Publishes to `$SYS/`, which is the broker's own. */
  refused: number;
  /** Connections ended because the peer broke the protocol or a limit. */
  violations: number;
  /** Bytes of packets that have not come whole. */
  heldBytes: number;
}

const TYPE = { connect: 1, publish: 3, pubrel: 6, subscribe: 8 } as const;
const NOTHING = Buffer.alloc(0);

/**
 * One device's connection, between its socket and aedes: cuts the stream into packets, takes
 * PUBLISH and PUBREL itself (the way to the log), and gives aedes all the rest. Acknowledgements
 * leave in the order in which the messages came, each after its record is durable.
 */
export class DeviceConnection {
  readonly #context: ConnectionContext;
  readonly #client: AedesClient;
  readonly #socket: Socket;
  readonly #frames: FrameReader;
  readonly #giveAedes: (bytes: Buffer) => void;
  readonly #pending = new PendingAcks();
  #state: 'greeting' | 'waiting' | 'open' | 'ended' = 'greeting';
  readonly #acks = new Acks();
  readonly #holds: Holds;
  #held = 0;
  #liveOpen = 0;
  #liveBytes = 0;
  #qos2: Qos2Session | undefined;
  #aliases: TopicAliases | undefined;

  constructor(context: ConnectionContext, client: AedesClient, socket: Socket) {
    this.#context = context;
    this.#client = client;
    this.#socket = socket;
    this.#frames = new FrameReader(context.maxPacketBytes);
    this.#holds = new Holds(client, () => this.#state === 'open');
    this.#giveAedes = takeInput(client, (chunk) => this.#read(chunk));
    client.once('connected', () => this.#open());
    socket.once('close', () => this.#left());
  }

  get clientId(): string {
    return this.#client.id;
  }

  /** The throttle's: the log can take no more for now. */
  hold(): void {
    this.#holds.add(HOLD.store);
  }

  release(): void {
    this.#holds.remove(HOLD.store);
  }

  /** It is we who do not listen: the device's keep-alive must not run out over it. */
  touch(): void {
    touchKeepAlive(this.#client);
  }

  /** Reads nothing more, for good. */
  stopReading(): void {
    this.#holds.add(HOLD.stop);
  }

  /** Ends the connection; an MQTT 5 peer is told why. Unsettled messages stay unacknowledged. */
  end(reasonCode: number): void {
    if (this.#state === 'ended') return;
    this.flush();
    const wasOpen = this.#state === 'open';
    this.#state = 'ended';
    this.#context.throttle.leave(this);
    // Not now: aedes publishes the will at once, and we may be inside the log's own work.
    process.nextTick(() => {
      if (wasOpen) this.#client.disconnect({ reasonCode });
      else this.#socket.destroy();
    });
  }

  /** After the broker's stop: no will, a reason for MQTT 5, and a close that loses no bytes. */
  sayGoodbye(): void {
    if (this.#state === 'ended') return;
    this.flush();
    this.#state = 'ended';
    this.#client.will = null; // it is we who leave, not the device
    if (this.#client.version === 5 && this.#client.connackSent) {
      this.#socket.write(Buffer.from([0xe0, 2, REASON.shuttingDown, 0]));
    }
    this.#socket.end();
    // What still comes is discarded: unread bytes would turn our close into a reset, which may
    // take acknowledgements back from the peer's buffer.
    this.#socket.removeAllListeners('readable');
    this.#socket.resume();
  }

  /** No more patience. */
  destroy(): void {
    this.#socket.destroy();
  }

  flush(): void {
    const bytes = this.#acks.take();
    if (bytes === undefined || this.#state === 'ended' || this.#socket.destroyed) return;
    this.#socket.write(bytes);
    if (!this.#socket.writableNeedDrain || this.#holds.has(HOLD.acks)) return;
    this.#holds.add(HOLD.acks); // the peer does not read its acknowledgements
    this.#socket.once('drain', () => this.#holds.remove(HOLD.acks));
  }

  #open(): void {
    if (this.#state !== 'waiting') return;
    this.#state = 'open';
    this.#qos2 = this.#context.qos2.open(this.#client.id, askedCleanStart(this.#client));
    this.#context.throttle.join(this);
    this.#work();
  }

  #left(): void {
    this.#state = 'ended';
    this.#countHeld();
    this.#context.throttle.leave(this);
    if (this.#qos2 === undefined) return;
    this.#context.qos2.leave(this.#client.id, this.#qos2, !this.#client.clean);
  }

  #read(chunk: Buffer): void {
    if (this.#state === 'ended') return;
    this.#frames.push(chunk);
    this.#work();
    this.#countHeld();
    touchKeepAlive(this.#client);
    this.#context.throttle.check();
  }

  /** Parts of packets, of all connections together, are bounded too. */
  #countHeld(): void {
    const { counters } = this.#context;
    const held = this.#state === 'ended' ? 0 : this.#frames.held;
    counters.heldBytes += held - this.#held;
    const grew = held > this.#held;
    this.#held = held;
    if (!grew || counters.heldBytes <= LIMITS.heldBytes) return;
    this.#violated(new ProtocolViolation(REASON.quotaExceeded, 'too many unfinished packets'));
  }

  #work(): void {
    try {
      while (this.#mayHandle() && this.#frames.next()) this.#handle();
    } catch (error) {
      this.#violated(error);
    }
    this.#context.decoder.payload = NOTHING;
  }

  /** What follows CONNECT waits until aedes has accepted it. */
  #mayHandle(): boolean {
    return this.#state === 'open' || this.#state === 'greeting';
  }

  #handle(): void {
    const type = this.#frames.first >> 4;
    if (this.#state === 'greeting') {
      this.#state = 'waiting';
      // A copy: the will's payload stays for as long as the connection, its chunk must not.
      this.#giveAedes(Buffer.from(this.#frames.whole()));
    } else if (type === TYPE.publish) this.#publish();
    else if (type === TYPE.pubrel) this.#pubrel();
    else this.#giveAedes(this.#frames.whole());
  }

  #publish(): void {
    const { gate, decoder, live } = this.#context;
    const { buffer, first, bodyStart, end } = this.#frames;
    decoder.decode(buffer, first, bodyStart, end, this.#client.version);
    const topic =
      decoder.alias === 0
        ? decoder.topic
        : (this.#aliases ??= new TopicAliases()).resolve(decoder.alias, decoder.topic);
    const entry = gate.known(topic) ?? this.#learn(topic);
    const { qos, retain, id, payload, properties } = decoder;
    if (entry.reserved) {
      this.#refuse(qos, id);
      return;
    }
    if (qos === 2 && !this.#take(id)) return;
    const packet = live.wanted(entry, retain)
      ? livePacket(topic, payload, qos, retain, properties)
      : undefined;
    if (packet !== undefined) this.#liveBegins(packet);
    const client = this.#client.id;
    if (qos === 0) {
      gate.publish(entry, client, payload, qos, retain, properties, this.#doneUnasked);
      if (packet !== undefined) this.#deliver(packet);
      return;
    }
    this.#await(ackCode(qos === 1 ? ACK.puback : ACK.pubrec, id), packet);
    try {
      const logged = gate.publish(entry, client, payload, qos, retain, properties, this.#done);
      if (!logged) this.#inTurn();
    } catch (error) {
      if (qos === 2) this.#qos2?.release(id); // not in the log: a resend is no repeat
      throw error;
    }
  }

  #await(code: number, packet: LivePacket | undefined): void {
    this.#pending.push(code, packet);
    if (this.#pending.size >= LIMITS.pendingAcks) this.#holds.add(HOLD.window);
  }

  /** An acknowledgement that waits for no record of its own, only for those before it. */
  #inTurn(): void {
    if (this.#pending.size === 1) this.#done(null);
    else this.#context.gate.settled(this.#done);
  }

  #learn(topic: string): TopicEntry {
    checkTopic(topic);
    return this.#context.gate.entry(topic);
  }

  /** False: it was taken before, and its PUBREC is on its way. */
  #take(id: number): boolean {
    const taken = this.#qos2?.taken(id);
    if (taken === undefined) {
      this.#qos2?.take(id);
      return true;
    }
    this.#await(ackCode(ACK.pubrec, id), undefined);
    if (taken) this.#inTurn();
    else this.#context.gate.settled(this.#done);
    return false;
  }

  #pubrel(): void {
    const { buffer, first, bodyStart, end } = this.#frames;
    if ((first & 0x0f) !== 2) {
      throw new ProtocolViolation(REASON.malformed, 'a PUBREL has wrong flags'); // [MQTT-3.6.1-1]
    }
    if (bodyStart + 2 > end) {
      throw new ProtocolViolation(REASON.malformed, 'a PUBREL ends inside its packet id');
    }
    const id = buffer.readUInt16BE(bodyStart);
    const known = this.#qos2?.release(id) === true;
    if (known || this.#client.version !== 5) this.#acknowledge(ackCode(ACK.pubcomp, id));
    else this.#say(encodeReasonAck(ackCode(ACK.pubcomp, id), REASON.packetIdNotFound));
  }

  /**
   * `$SYS/` is the broker's own. MQTT 5 has a word for it; a 3.1.1 device gets a positive
   * acknowledgement, the only one there is [MQTT-3.3.5-2].
   */
  #refuse(qos: number, id: number): void {
    this.#context.counters.refused++;
    if (qos === 0) return;
    const code = ackCode(qos === 1 ? ACK.puback : ACK.pubrec, id);
    this.#await(this.#client.version === 5 ? code + REFUSED : code, undefined);
    this.#inTurn();
  }

  /** The log has settled the message at the front. Bound once, called for every message. */
  readonly #done = (error: Error | null, _offset?: number, last?: number): void => {
    const code = this.#pending.frontCode;
    const packet = this.#pending.frontLive;
    this.#pending.shift();
    if (this.#pending.size * 2 <= LIMITS.pendingAcks) this.#holds.remove(HOLD.window);
    const isQos2 = code >>> 16 === ACK.pubrec;
    if (error !== null) {
      if (isQos2) this.#qos2?.release(code & 0xffff);
      if (packet !== undefined) this.#liveEnds(packet);
      this.#failed(error);
      return;
    }
    this.#acknowledge(code, isQos2 ? this.#qos2?.durable(code & 0xffff, last) : last);
    if (packet !== undefined) this.#deliver(packet);
  };

  /** The same for QoS 0, where nobody waits. */
  readonly #doneUnasked = (error: Error | null): void => {
    this.#context.gate.settledUnasked(error);
  };

  #acknowledge(code: number, last?: number): void {
    if (this.#state === 'ended') return;
    if (code >= REFUSED) {
      this.#say(encodeReasonAck(code, REASON.notAuthorized));
      return;
    }
    const told = last !== undefined && takesProperties(this.#client) ? last : undefined;
    if (this.#acks.push(code, told) === 1) this.#context.acks.add(this);
  }

  /** Behind the acknowledgements that are on their way. */
  #say(bytes: Buffer): void {
    this.flush();
    this.#socket.write(bytes);
  }

  /**
   * No acknowledgement, and the connection ends: the device keeps its copy and sends it again. A
   * negative acknowledgement would make an MQTT 5 device drop it.
   */
  #failed(error: Error): void {
    this.#context.gate.failed(error, this.#client.id);
    this.end(reasonOfFailure(error));
  }

  /** A live copy exists from here until it is delivered or dropped; their number is bounded. */
  #liveBegins(packet: LivePacket): void {
    this.#liveOpen++;
    this.#liveBytes += packet.payload.length;
    if (this.#liveOpen >= LIMITS.liveDeliveries || this.#liveBytes >= LIMITS.liveBytes) {
      this.#holds.add(HOLD.live);
    }
  }

  #liveEnds(packet: LivePacket): void {
    this.#liveOpen--;
    this.#liveBytes -= packet.payload.length;
    if (this.#liveOpen * 2 > LIMITS.liveDeliveries) return;
    if (this.#liveBytes * 2 <= LIMITS.liveBytes) this.#holds.remove(HOLD.live);
  }

  #deliver(packet: LivePacket): void {
    this.#context.live.deliver(packet, this.#client, () => this.#liveEnds(packet));
  }

  #violated(error: unknown): void {
    if (error instanceof GatelogError) {
      this.#failed(error); // the log's own refusal, thrown
      return;
    }
    const reason = error instanceof ProtocolViolation ? error.reasonCode : REASON.malformed;
    this.#context.counters.violations++;
    this.#context.logger.warn(
      { client: this.#client.id, from: this.#socket.remoteAddress, reason },
      `connection ended: ${messageOf(error)}`,
    );
    this.end(reason);
  }
}
