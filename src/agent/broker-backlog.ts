import { type AedesClient, type Deliver, rejectPacket } from './broker-aedes.ts';
import type { DeviceStream } from './broker-door.ts';
import type { OutgoingPacket } from './broker-packet-writer.ts';
import { REASON } from './broker-reasons.ts';
import type { SendWindow } from './broker-send-window.ts';
import type { KeptPacket } from './broker-session-codec.ts';
import type { OutgoingQueue } from './broker-session-queue.ts';

/** Packet ids are noted for so many messages at once: those of QoS 2 wait for the disk with it. */
const STEP = 32;

export interface BacklogContext {
  /** undefined: there is no session, or none any more. */
  readonly queueOf: (client: AedesClient) => OutgoingQueue | undefined;
  readonly durable: () => Promise<void>;
  /** The message as the client may have it now; null: it may not. */
  readonly forward: (client: AedesClient, packet: KeptPacket) => OutgoingPacket | null;
}

interface NumberedLive {
  readonly qos: number;
  readonly brokerId?: string | null;
  readonly brokerCounter?: number;
}

/** How its messages leave: `send` past the window, which has counted them. */
interface Out {
  readonly window: () => SendWindow;
  readonly send: (packet: OutgoingPacket) => void;
}

/**
 * What waits in a lasting session's queue for its connected device. A message that comes live goes to the device at
 * once, as long as nothing waits before it and the device has room (Receive Maximum); else it stays where it is, in
 * the queue, and is sent from there when acknowledgements make room: one after the other, in order, nothing of it in
 * memory. So is what the queue had when the device came.
 */
export class Backlog {
  readonly #context: BacklogContext;
  readonly #client: AedesClient;
  readonly #stream: DeviceStream;
  readonly #out: Out;
  /** Something waits, or it may: nothing live passes it. Until CONNECT is answered nobody has looked. */
  #waits = true;
  #running = false;
  #isAsked = false;
  #waitsForDrain = false;
  /** Up to this place everything left through this connection, or is in hand. */
  #place = -1;
  /** Places of live messages on their way through aedes; true: they came out of it. */
  #inHand: Map<number, boolean> | undefined;
  /** By origin: the number of the last message that was sent from the queue. Its live copy may come later. */
  #sent: Map<string, number> | undefined;

  constructor(context: BacklogContext, client: AedesClient, stream: DeviceStream, out: Out) {
    this.#context = context;
    this.#client = client;
    this.#stream = stream;
    this.#out = out;
    const { deliverQoS } = client;
    client.deliverQoS = (packet, done) => {
      const live = packet as NumberedLive;
      // Retained messages that answer SUBSCRIBE have no origin, and are in no queue.
      const isPlain = client.clean || live.qos === 0 || (live.brokerId ?? null) === null;
      if (isPlain) deliverQoS(packet, done);
      else if (this.#passes(live)) this.#deliver(deliverQoS, live, done);
      else setImmediate(done);
    };
    client.once('connected', () => this.#begin());
  }

  /** A live message is about to leave, or to wait in the window. False: it goes on waiting in the queue. */
  mayLeave(place: number): boolean {
    const isNext = place <= this.#place && this.#out.window().room > 0;
    if (!isNext) {
      this.#waits = true;
      this.#place = Math.min(this.#place, place - 1);
    }
    return isNext;
  }

  /** It came out of aedes, and waits for the disk: nothing may overtake it. */
  keepInHand(place: number): void {
    if (this.#inHand?.has(place) === true) this.#inHand.set(place, true);
  }

  letGo(place: number): void {
    if (this.#inHand?.delete(place) === true) this.goOn();
  }

  /** There may be room. */
  goOn(): void {
    if (!this.#waits || !this.#client.connected) return;
    this.#isAsked = true;
    if (!this.#running) void this.#run();
  }

  #begin(): void {
    if (this.#client.clean) this.#waits = false;
    else this.goOn();
  }

  #passes({ brokerId, brokerCounter = 0 }: NumberedLive): boolean {
    if (this.#waits) return false;
    if ((this.#sent?.get(brokerId ?? '') ?? 0) >= brokerCounter) return false;
    const hasIds = this.#context.queueOf(this.#client)?.hasIds !== false;
    if (hasIds && this.#out.window().room > (this.#inHand?.size ?? 0)) return true;
    this.#waits = true;
    return false;
  }

  #deliver(deliver: Deliver, packet: NumberedLive, done: () => void): void {
    const place = this.#context.queueOf(this.#client)?.placeOf(packet);
    if (place === undefined) {
      deliver(packet, done); // the queue did not take it
      return;
    }
    this.#place = Math.max(this.#place, place);
    const inHand = (this.#inHand ??= new Map());
    inHand.set(place, false);
    deliver(packet, () => {
      if (inHand.get(place) === false) this.letGo(place); // it may not have it
      done();
    });
  }

  async #run(): Promise<void> {
    this.#running = true;
    try {
      while (this.#isAsked) {
        this.#isAsked = false; // room may come while a step finds none
        if (await this.#step()) this.#isAsked = true;
      }
    } catch {
      // The session has it all, and goes on with the next connection.
      rejectPacket(this.#client, REASON.implementationSpecific);
    }
    this.#running = false;
  }

  /** False: there is nothing to do for now. */
  async #step(): Promise<boolean> {
    const queue = this.#context.queueOf(this.#client);
    if (this.#isOver || queue === undefined || (this.#inHand?.size ?? 0) > 0) return false;
    if (this.#isFull()) return false;
    const window = this.#out.window();
    const places = queue.after(this.#place, Math.min(window.room, STEP));
    if (places.length === 0) {
      this.#waits = false;
      return false;
    }
    const isTaken = (id: number): boolean => window.isTaken(id);
    let mustWait = false;
    let ready = 0;
    for (const place of places) {
      if (!queue.hasIds && !queue.hasId(place)) break; // the end of a handshake gives one back
      if (queue.identify(place, isTaken)) mustWait = true;
      ready++;
    }
    if (ready === 0) return false;
    if (mustWait) await this.#context.durable();
    for (const place of places.slice(0, ready)) {
      const packet = await queue.read(place);
      if (this.#isOver || this.#isFull()) return false;
      this.#place = Math.max(this.#place, place);
      if (packet?.cmd === 'pubrel') {
        this.#out.send({ ...packet, reasonCode: REASON.success });
      } else if (packet !== undefined) this.#send(packet, place, queue);
    }
    return true;
  }

  #send(packet: KeptPacket, place: number, queue: OutgoingQueue): void {
    const { brokerId = '', brokerCounter, messageId } = packet;
    this.#sent ??= new Map();
    this.#sent.set(brokerId, Math.max(this.#sent.get(brokerId) ?? 0, brokerCounter));
    const forwarded = this.#context.forward(this.#client, packet);
    queue.leaves(place);
    if (forwarded !== null && forwarded.qos !== 0) this.#out.window().begin(forwarded);
    if (forwarded !== null) this.#out.send(forwarded);
    // What it may not have, or asks for with QoS 0 by now, is done with.
    if (forwarded === null || forwarded.qos === 0) queue.giveUp(messageId ?? 0);
  }

  get #isOver(): boolean {
    return this.#stream.destroyed || this.#client.closed;
  }

  /** No faster than it is read: a device may acknowledge what it has not read. */
  #isFull(): boolean {
    if (this.#stream.writableNeedDrain && !this.#waitsForDrain) {
      this.#waitsForDrain = true;
      this.#stream.once('drain', () => {
        this.#waitsForDrain = false;
        this.goOn();
      });
    }
    return this.#stream.writableNeedDrain || this.#out.window().room === 0;
  }
}
