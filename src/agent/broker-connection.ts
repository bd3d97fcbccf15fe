import { GatelogError } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { Access } from './acl.ts';
import { mayPublish } from './broker-access.ts';
import type { OpenAnswers } from './broker-answering.ts';
import { AckLine } from './broker-ack-line.ts';
import { AckSender } from './broker-ack-sender.ts';
import { ACK, ackCode, encodeReasonAck, REFUSED, UNREADABLE } from './broker-acks.ts';
import { type AedesClient, type LivePacket, touchKeepAlive } from './broker-aedes.ts';
import { type Asking, ConnectionChecks } from './broker-connection-checks.ts';
import type { ConnectionContext } from './broker-connection-context.ts';
import type { DeviceStream } from './broker-door.ts';
import { FrameReader } from './broker-frames.ts';
import { sayGoodbye } from './broker-goodbye.ts';
import type { PartHolder } from './broker-held-parts.ts';
import { type Held, HOLD, Holds } from './broker-holds.ts';
import { livePacket } from './broker-live.ts';
import { type InputTaker, giveAedes, takeInput } from './broker-parser-place.ts';
import { PendingAcks } from './broker-pending.ts';
import { checkTopic } from './broker-publish.ts';
import type { Qos2Session } from './broker-qos2.ts';
import { ProtocolViolation, REASON, reasonOfFailure } from './broker-reasons.ts';
import type { OwnNumbers } from './device-numbers.ts';
import type { ClientRate, Slowed } from './broker-rates.ts';
import { type Settled, Settling } from './broker-settling.ts';
import type { TopicEntry } from './ingest-topics.ts';

const TYPE = { connect: 1, publish: 3, pubrel: 6 } as const;
const NOTHING = Buffer.alloc(0);

/**
 * One device's connection, between its socket and aedes: cuts the stream into packets, takes
 * PUBLISH and PUBREL itself (the way to the log), and gives aedes all the rest. Acknowledgements
 * leave in the order in which the messages came, each after its record is durable.
 */
export class DeviceConnection implements Asking, Held, InputTaker, PartHolder, Settled, Slowed {
  readonly #context: ConnectionContext;
  readonly #client: AedesClient;
  readonly #socket: DeviceStream;
  readonly #frames: FrameReader;
  readonly #checks: ConnectionChecks;
  readonly #pending = new PendingAcks();
  #state: 'greeting' | 'waiting' | 'open' | 'ended' = 'greeting';
  readonly #acks: AckSender;
  readonly #line: AckLine;
  readonly #holds: Holds;
  #settlingMade: Settling | undefined;
  #rate: ClientRate | undefined;
  /** Most devices never subscribe. */
  #answers: OpenAnswers | undefined;
  #access: Access | undefined;
  #qos2: Qos2Session | undefined;
  #numbers: OwnNumbers | undefined;

  constructor(context: ConnectionContext, client: AedesClient, socket: DeviceStream) {
    this.#context = context;
    this.#client = client;
    this.#socket = socket;
    this.#frames = new FrameReader(context.maxPacketBytes);
    this.#holds = new Holds(client, this);
    this.#checks = new ConnectionChecks(context, this.#frames, this);
    this.#acks = new AckSender(context.acks, client, socket, this.#holds);
    this.#line = new AckLine(context.heldAcks, this.#acks);
    this.#rate = context.rates.of(this);
    takeInput(client, this);
    client.once('connected', () => this.#open());
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  read(chunk: Buffer): void {
    if (this.#state === 'ended') return;
    this.#frames.push(chunk);
    this.#workOn();
    touchKeepAlive(this.#client);
  }

  /** A SUBSCRIBE or UNSUBSCRIBE has come. */
  asked(isSubscribe: boolean): void {
    const { answering } = this.#context;
    this.#answers ??= answering.add(this.#client, this.#holds, () => this.#workOn());
    this.#answers.asked(isSubscribe);
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
    this.#countHeld();
  }

  /** It may do other things now. */
  judgedAnew(): void {
    if (this.#state === 'open') this.#access = this.#context.accessOf(this.#client);
  }

  slow(): void {
    this.#holds.add(HOLD.rate);
  }

  goOn(): void {
    this.#holds.remove(HOLD.rate);
    this.#workOn();
  }

  /** `mqtt.limits` says something else now. */
  takeLimits(): void {
    this.#rate = this.#context.rates.anew(this.#rate, this);
  }

  tooFast(): void {
    const why = 'it sent more than mqtt.limits allows for too long';
    this.#violated(new ProtocolViolation(REASON.messageRateTooHigh, why));
  }

  heldTooMuch(): void {
    this.#violated(new ProtocolViolation(REASON.quotaExceeded, 'too much that was not handled'));
    this.#countHeld(); // not again, before its socket is gone
  }

  /** Reads nothing more, for good. */
  stopReading(): void {
    this.#holds.add(HOLD.stop);
  }

  /** Ends the connection; an MQTT 5 peer is told why. Unsettled messages stay unacknowledged. */
  end(reasonCode: number): void {
    if (this.#state === 'ended') return;
    this.#acks.end();
    const wasOpen = this.#state === 'open';
    this.#state = 'ended';
    this.#context.throttle.leave(this);
    // Not now: aedes publishes the will at once, and we may be inside the log's own work.
    process.nextTick(() => {
      if (wasOpen && this.#client.version === 5) this.#context.lingering.begin(this.#socket);
      if (wasOpen) this.#client.disconnect({ reasonCode });
      else this.#socket.destroy();
    });
  }

  /** After the broker's stop: no will, a reason for MQTT 5, and a close that loses no bytes. */
  sayGoodbye(): void {
    if (this.#state === 'ended') return;
    this.#acks.end();
    this.#state = 'ended';
    sayGoodbye(this.#client, this.#socket);
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #open(): void {
    if (this.#state !== 'waiting') return;
    this.#state = 'open';
    this.#access = this.#context.accessOf(this.#client);
    this.#qos2 = this.#context.qos2.open(this.#client.id);
    this.#numbers = this.#context.numbersOf(this.#client);
    this.#acks.numberExpected = this.#numbers?.expected ?? '';
    this.#context.throttle.join(this);
    this.touch(); // what it said meanwhile was not read
    this.#work();
    this.#holds.remove(HOLD.greeting);
  }

  /** Its socket is gone. */
  left(): void {
    this.#state = 'ended';
    this.#line.clear();
    this.#rate?.end();
    this.#countHeld();
    this.#checks.left();
    this.#context.throttle.leave(this);
  }

  #workOn(): void {
    this.#work();
    this.#countHeld();
    this.#context.throttle.check();
  }

  /** What was not handled, of all connections together, is bounded too: also what came since we do not read. */
  #countHeld(): void {
    const held = this.#frames.held + this.#socket.readableLength;
    this.#context.heldParts.set(this, this.#state === 'ended' ? 0 : held);
  }

  #work(): void {
    try {
      while (this.#mayHandle() && this.#frames.next()) this.#handle();
    } catch (error) {
      this.#violated(error);
    }
    this.#context.decoder.payload = NOTHING;
  }

  /**
   * What follows CONNECT waits until aedes has accepted it. Nothing follows what aedes hung up over, which
   * it does at once: in a chunk of zeros half a million more would.
   */
  #mayHandle(): boolean {
    const isOpen = this.#state === 'open' || this.#state === 'greeting';
    if (!isOpen || this.#socket.destroyed || this.#holds.has(HOLD.rate | HOLD.answers))
      return false;
    return this.#frames.upcoming !== TYPE.publish || this.#answers?.mayPublish !== false;
  }

  #handle(): void {
    const type = this.#frames.first >> 4;
    this.#context.traffic.took(type === TYPE.publish);
    if (this.#state === 'greeting') {
      if (type === TYPE.connect) this.#checks.connect();
      this.#state = 'waiting';
      this.#holds.add(HOLD.greeting);
      // A copy: the will's payload stays for as long as the connection, its chunk must not.
      giveAedes(this.#client, Buffer.from(this.#frames.whole()));
      return;
    }
    this.#rate?.took(type === TYPE.publish ? 1 : 0, this.#frames.end - this.#frames.start);
    if (type === TYPE.publish) this.#publish();
    else if (type === TYPE.pubrel) this.#pubrel();
    else {
      this.#checks.forAedes(this.#client.version);
      giveAedes(this.#client, this.#frames.whole());
    }
  }

  #publish(): void {
    const { gate, decoder, live, doneUnasked } = this.#context;
    const { buffer, first, bodyStart, end } = this.#frames;
    decoder.decode(buffer, first, bodyStart, end, this.#client.version);
    if (decoder.qos > 0) this.#checks.inFlight(this.#client.version, this.#waiting);
    const topic =
      decoder.alias === 0 ? decoder.topic : this.#checks.aliased(decoder.alias, decoder.topic);
    const entry = gate.known(topic) ?? this.#learn(topic);
    const { qos, retain, id, payload, properties } = decoder;
    if (entry.reserved || (this.#access !== undefined && !mayPublish(this.#access, entry))) {
      this.#refuse(topic, qos, id);
      return;
    }
    const taken = qos === 2 ? (this.#qos2 ??= this.#context.qos2.fleeting()).take(id) : undefined;
    if (taken === 'waiting' || taken === 'durable') {
      this.#repeat(id, taken === 'durable');
      return;
    }
    const client = this.#client.id;
    const number = properties === undefined ? undefined : this.#numbers?.read(properties);
    const numbered = number === 'unreadable' ? undefined : number;
    // What was retained since is newer.
    const isRetained = retain && numbered?.isStale !== true;
    const packet = live.wanted(entry, isRetained)
      ? livePacket(
          topic,
          payload,
          qos,
          isRetained,
          properties,
          gate.streamOf(entry, client, qos, properties),
        )
      : undefined;
    if (packet !== undefined) this.#settling.begin(packet);
    if (qos === 0) {
      gate.publish(entry, client, payload, qos, retain, properties, doneUnasked, numbered);
      if (packet !== undefined) this.#settling.deliver(packet);
      return;
    }
    this.#await(
      qos === 2
        ? ackCode(ACK.pubrec, id)
        : ackCode(ACK.puback, id) + (number === 'unreadable' ? UNREADABLE : 0),
      packet,
    );
    try {
      // The device's own number says more than a handshake: it outlives the session.
      const once = numbered ?? (qos === 2 ? this.#qos2?.mark(id) : undefined);
      if (!gate.publish(entry, client, payload, qos, retain, properties, this.#done, once)) {
        this.#inTurn();
      }
    } catch (error) {
      if (qos === 2) this.#qos2?.failed(id);
      throw error;
    }
  }

  #await(code: number, packet: LivePacket | undefined): void {
    this.#pending.push(code, packet);
    if (this.#waiting >= LIMITS.pendingAcks) this.#holds.add(HOLD.window);
  }

  /** An acknowledgement that waits for no record of its own, only for those before it. */
  #inTurn(): void {
    if (this.#pending.size === 1) this.#done(null);
    else this.#context.gate.settled(this.#done);
  }

  #learn(topic: string): TopicEntry {
    checkTopic(topic, this.#context.limits);
    return this.#context.gate.entry(topic);
  }

  /** It was taken before: its PUBREC is on its way, or was lost. */
  #repeat(id: number, isDurable: boolean): void {
    this.#await(ackCode(ACK.pubrec, id), undefined);
    if (isDurable) this.#inTurn();
    else this.#context.gate.settled(this.#done);
  }

  #pubrel(): void {
    const id = this.#checks.pubrel();
    const code = ackCode(ACK.pubcomp, id);
    const known = this.#qos2?.release(id) ?? 'unknown';
    if (known === 'durable') {
      const acknowledge = (): void => this.#acks.acknowledge(code);
      void this.#context.live.durable(this.#settling.letGo(acknowledge));
    } else if (known === 'known' || this.#client.version !== 5) this.#acks.acknowledge(code);
    else this.#acks.say(encodeReasonAck(code, REASON.packetIdNotFound));
  }

  /**
   * `$SYS/` is the broker's own, and rules may not allow it. MQTT 5 has a word for it; a 3.1.1 device gets a positive
   * acknowledgement, the only one there is [MQTT-3.3.5-2].
   */
  #refuse(topic: string, qos: number, id: number): void {
    this.#context.refused(this.#client, topic);
    if (qos === 0) return;
    const code = ackCode(qos === 1 ? ACK.puback : ACK.pubrec, id);
    this.#await(this.#client.version === 5 ? code + REFUSED : code, undefined);
    this.#inTurn();
  }

  /** Acknowledgements that wait, for the log or for what is kept of sessions. */
  get #waiting(): number {
    return this.#pending.size + this.#line.size;
  }

  /** The log has settled the message at the front. Bound once, called for every message. */
  readonly #done = (error: Error | null, offset: number = -1, last?: number): void => {
    const code = this.#pending.frontCode;
    const packet = this.#pending.frontLive;
    this.#pending.shift();
    const isQos2 = code >>> 16 === ACK.pubrec;
    if (error !== null) {
      this.roomForAcks();
      if (isQos2) this.#qos2?.failed(code & 0xffff);
      if (packet !== undefined) this.#settling.failed(packet);
      this.#failed(error);
      return;
    }
    const told = isQos2 ? this.#qos2?.durable(code & 0xffff, last) : last;
    if (packet === undefined && !isQos2) this.#line.push(code, told);
    else if (packet === undefined) this.#settling.repeatable(code, told);
    else {
      const delivery = isQos2 ? this.#qos2?.delivery(code & 0xffff) : undefined;
      this.#settling.live(packet, code, offset, told, delivery);
    }
    this.roomForAcks();
  };

  roomForAcks(): void {
    if (this.#waiting * 2 <= LIMITS.pendingAcks) this.#holds.remove(HOLD.window);
  }

  notKept(error: Error): void {
    if (this.#state !== 'ended') this.#failed(error);
  }

  /** Most devices publish what nobody but the log wants. */
  get #settling(): Settling {
    const { live } = this.#context;
    this.#settlingMade ??= new Settling(live, this.#client, this.#line, this.#holds, this);
    return this.#settlingMade;
  }

  /**
   * No acknowledgement, and the connection ends: the device keeps its copy and sends it again. A
   * negative acknowledgement would make an MQTT 5 device drop it.
   */
  #failed(error: Error): void {
    this.#context.gate.failed(error, this.#client.id);
    this.end(reasonOfFailure(error));
  }

  #violated(error: unknown): void {
    if (error instanceof GatelogError) {
      this.#failed(error); // the log's own refusal, thrown
      return;
    }
    this.end(this.#context.violations.ofPacket(this.#client, this.#socket, error));
  }
}
