import type { LogPayloads } from './broker-log-payloads.ts';
import {
  decodeMessage,
  encodeMessage,
  type KeptPacket,
  type LogReference,
} from './broker-session-codec.ts';
import type { SessionJournal } from './broker-session-journal.ts';
import { propertyBytes } from './property-bytes.ts';
import { SESSION_LIMITS } from '../session-limits.ts';

/** A handshake that only wants its PUBCOMP. */
export interface ReleasedPacket {
  readonly cmd: 'pubrel';
  readonly messageId: number;
}

/** What aedes gives to be found in a queue: a message with its packet id, or a PUBREL. */
export interface SentPacket {
  readonly cmd: string;
  messageId?: number | undefined;
  reasonCode?: number;
  readonly qos?: number;
  readonly brokerId?: string | undefined;
  readonly brokerCounter?: number;
}

/** By which aedes finds a message before it has a packet id. */
interface Origin {
  readonly brokerId?: string | null | undefined;
  readonly brokerCounter?: number;
}

interface Queued {
  readonly seq: number;
  readonly bytes: number;
  /** By which aedes finds it before it has a packet id. */
  readonly origin: string | undefined;
  id: number | undefined;
  /** Of what is released it is not known. */
  readonly qos: number;
  /** It was sent, or may have been in another life. */
  left: boolean;
  /** PUBREC came. */
  released: boolean;
}

/** What the queues of all sessions share. */
export interface QueueContext {
  readonly journal: SessionJournal;
  readonly payloads: LogPayloads;
  /** Told of every change of a queue's bytes. */
  readonly resized: (bytes: number) => void;
  /** A queued message that can't be delivered any more. */
  readonly skipped: () => void;
}

const LAST_ID = 65_535;
/** So many may have packet ids: with the most under way and waiting beside them (broker-send-window.ts) some are free. */
const MOST_IDS = 32_767;

/**
 * Messages for one lasting session, QoS 1 and 2, until it has acknowledged them: in memory only what
 * finds and counts them, their bytes in the journal's space. `queue/…` holds a message, `flight/…`
 * its packet id once it has one, and from PUBREC on that alone.
 */
export class OutgoingQueue {
  readonly #context: QueueContext;
  readonly #number: string;
  readonly #entries = new Map<number, Queued>();
  readonly #byOrigin = new Map<string, Queued>();
  readonly #byId = new Map<number, Queued>();
  #next = 0;
  /** aedes counts up, from anywhere; this one down, so that they seldom meet. */
  #nextId = LAST_ID;
  #bytes = 0;

  constructor(context: QueueContext, sessionNumber: string) {
    this.#context = context;
    this.#number = sessionNumber;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** At a start: an entry of `queue/`. */
  restore(place: string, value: Uint8Array): void {
    const { packet } = decodeMessage(value);
    this.#add(Number.parseInt(place, 16), packet, value.length);
  }

  /** At a start, after those: an entry of `flight/`. */
  restoreFlight(place: string, value: Uint8Array): void {
    const [id, released] = JSON.parse(Buffer.from(value).toString()) as [number, 0 | 1];
    const seq = Number.parseInt(place, 16);
    if (released === 1) {
      // Cut off before its message was removed; it is not to be sent again.
      if (this.#entries.has(seq)) this.#context.journal.remove(this.#key('queue', seq));
      else this.#add(seq, undefined, 0);
    }
    const entry = this.#entries.get(seq);
    if (entry === undefined) return;
    entry.released = released === 1;
    entry.left = true;
    this.#identify(entry, id);
  }

  /** At a start, after both: those that have no message any more stand in their places again. */
  restored(): void {
    const inOrder = [...this.#entries].toSorted(([one], [other]) => one - other);
    this.#entries.clear();
    for (const [seq, entry] of inOrder) this.#entries.set(seq, entry);
  }

  /** Where it stands; undefined: it does not. */
  placeOf(packet: Origin): number | undefined {
    const origin = originOf(packet);
    return origin === undefined ? undefined : this.#byOrigin.get(origin)?.seq;
  }

  /** The next places behind this one, at most so many. */
  after(place: number, most: number): number[] {
    const found: number[] = [];
    const [first = this.#next] = this.#entries.keys();
    for (let seq = Math.max(first, place + 1); seq < this.#next && found.length < most; seq++) {
      if (this.#entries.has(seq)) found.push(seq);
    }
    return found;
  }

  /** There are ids for more. Who never ends its handshakes takes no others' turn at looking for them. */
  get hasIds(): boolean {
    return this.#byId.size < MOST_IDS;
  }

  hasId(place: number): boolean {
    return this.#entries.get(place)?.id !== undefined;
  }

  /** Gives it a packet id, if it has none: one that is taken nowhere. True: it must be durable before it leaves. */
  identify(place: number, isTaken: (id: number) => boolean): boolean {
    const entry = this.#entries.get(place);
    if (entry === undefined) return false;
    if (entry.id !== undefined) return entry.qos === 2 && this.#context.journal.pending;
    while (this.isTaken(this.#nextId) || isTaken(this.#nextId)) this.#passId();
    this.#identify(entry, this.#nextId);
    this.#passId();
    this.#noteFlight(entry, true);
    return entry.qos === 2;
  }

  /** It is being sent: from the next time on it is marked as sent before [MQTT-3.3.1-1]. */
  leaves(place: number): void {
    const entry = this.#entries.get(place);
    if (entry !== undefined) entry.left = true;
  }

  isTaken(id: number): boolean {
    return this.#byId.has(id);
  }

  /** It stands here already: of two subscriptions of one client that both match, one counts. */
  has(packet: Origin): boolean {
    return this.placeOf(packet) !== undefined;
  }

  push(packet: KeptPacket, reference: LogReference | undefined): void {
    const value = encodeMessage(packet, reference);
    const entry = this.#add(this.#next, packet, value.length);
    this.#context.journal.put(this.#key('queue', entry.seq), value, true);
  }

  /** Notes a packet id, or that PUBREC came. True: what is sent next stands on it. */
  update(packet: SentPacket): boolean {
    if (packet.cmd === 'pubrel') return this.#release(packet.messageId ?? 0);
    const entry = this.#find(packet);
    if (entry === undefined || packet.messageId === undefined) return false;
    const { journal } = this.#context;
    if (this.#byId.size >= LAST_ID) return false;
    if (entry.id === packet.messageId) return packet.qos === 2 && journal.pending;
    // aedes counts from anywhere, and does not look what is under way.
    while (this.#byId.has(packet.messageId)) {
      packet.messageId = packet.messageId >= LAST_ID ? 1 : packet.messageId + 1;
    }
    const isFirst = entry.id === undefined;
    if (entry.id !== undefined) this.#byId.delete(entry.id);
    this.#identify(entry, packet.messageId);
    this.#noteFlight(entry, isFirst);
    return packet.qos === 2;
  }

  isResent(id: number): boolean {
    return this.#byId.get(id)?.left === true;
  }

  /** The session will not have it. Reads nothing, so it can't fail. */
  giveUp(id: number): void {
    const entry = this.#byId.get(id);
    if (entry !== undefined) this.#remove(entry);
  }

  /** The session has it. Resolves with what it was, without a payload that stands in the log. */
  async clear(id: number | undefined): Promise<KeptPacket | ReleasedPacket | undefined> {
    const entry = id === undefined ? undefined : this.#byId.get(id);
    if (entry === undefined || id === undefined) return undefined;
    if (entry.released) {
      this.#remove(entry);
      return { cmd: 'pubrel', messageId: id };
    }
    const found = this.#context.journal.get(this.#key('queue', entry.seq));
    this.#remove(entry);
    const value = await found;
    return value === undefined ? undefined : { ...decodeMessage(value).packet, messageId: id };
  }

  /** Everything that waits now, in order. What comes meanwhile is delivered by itself. */
  stream(): AsyncGenerator<KeptPacket | ReleasedPacket> {
    return this.#readAll([...this.#entries.keys()]);
  }

  /** Gives up the oldest that is not under way. False: there is none. */
  dropOldest(): boolean {
    for (const entry of this.#entries.values()) {
      if (entry.id !== undefined) continue;
      this.#remove(entry);
      return true;
    }
    return false;
  }

  clearAll(): void {
    for (const entry of this.#entries.values()) this.#remove(entry);
  }

  async *#readAll(places: readonly number[]): AsyncGenerator<KeptPacket | ReleasedPacket> {
    for (const seq of places) {
      const packet = await this.read(seq);
      if (packet !== undefined) yield packet;
    }
  }

  /** undefined: it is gone, or not to be had any more. */
  async read(seq: number): Promise<KeptPacket | ReleasedPacket | undefined> {
    const entry = this.#entries.get(seq);
    if (entry === undefined) return undefined;
    if (entry.released && entry.id !== undefined) return { cmd: 'pubrel', messageId: entry.id };
    const value = await this.#context.journal.get(this.#key('queue', seq));
    const message = value === undefined ? undefined : decodeMessage(value);
    if (message === undefined) return this.#skip(entry);
    const { packet, reference } = message;
    if (reference !== undefined) {
      const payload = await this.#context.payloads.read(reference);
      if (payload === undefined) return this.#skip(entry);
      packet.payload = payload;
    }
    // It may have been acknowledged or released meanwhile.
    if (!this.#entries.has(seq) || entry.released) return this.read(seq);
    packet.messageId = entry.id;
    return packet;
  }

  #skip(entry: Queued): undefined {
    if (this.#entries.get(entry.seq) !== entry) return undefined;
    this.#remove(entry);
    this.#context.skipped();
    return undefined;
  }

  #release(id: number): boolean {
    const entry = this.#byId.get(id);
    if (entry === undefined || entry.released) return this.#context.journal.pending;
    entry.released = true;
    // In this order: a write may be cut between the two, and a handshake without either would be forgotten.
    this.#noteFlight(entry, false);
    this.#context.journal.remove(this.#key('queue', entry.seq));
    return true;
  }

  #find(packet: SentPacket): Queued | undefined {
    const origin = originOf(packet);
    const found = origin === undefined ? undefined : this.#byOrigin.get(origin);
    return found ?? (packet.messageId === undefined ? undefined : this.#byId.get(packet.messageId));
  }

  #add(seq: number, packet: KeptPacket | undefined, valueBytes: number): Queued {
    const bytes = valueBytes + SESSION_LIMITS.messageBytes;
    const origin = packet === undefined ? undefined : originOf(packet);
    const { qos = 0 } = packet ?? {};
    const entry = { seq, bytes, origin, qos, id: undefined, left: false, released: false };
    this.#entries.set(seq, entry);
    if (origin !== undefined) this.#byOrigin.set(origin, entry);
    this.#next = Math.max(this.#next, seq + 1);
    this.#resize(bytes);
    return entry;
  }

  #passId(): void {
    this.#nextId = this.#nextId <= 1 ? LAST_ID : this.#nextId - 1;
  }

  #identify(entry: Queued, id: number): void {
    entry.id = id;
    this.#byId.set(id, entry);
  }

  #noteFlight({ seq, id, released }: Queued, fresh: boolean): void {
    const value = Buffer.from(JSON.stringify([id, released ? 1 : 0]));
    this.#context.journal.put(this.#key('flight', seq), value, fresh);
  }

  #remove(entry: Queued): void {
    const { seq, origin, id, released } = entry;
    this.#entries.delete(seq);
    if (origin !== undefined) this.#byOrigin.delete(origin);
    if (id !== undefined) {
      this.#byId.delete(id);
      this.#context.journal.remove(this.#key('flight', seq));
    }
    if (!released) this.#context.journal.remove(this.#key('queue', seq));
    this.#resize(-entry.bytes);
  }

  #resize(bytes: number): void {
    this.#bytes += bytes;
    this.#context.resized(bytes);
  }

  #key(kind: 'queue' | 'flight', seq: number): string {
    return `${kind}/${this.#number}/${seq.toString(16).padStart(14, '0')}`;
  }
}

/** What a message of that encoding counts. */
export function countedBytes(packet: KeptPacket): number {
  const { topic, payload, properties } = packet;
  return topic.length + payload.length + propertyBytes(properties) + SESSION_LIMITS.messageBytes;
}

function originOf(packet: Origin): string | undefined {
  const { brokerId, brokerCounter } = packet;
  if (brokerId === undefined || brokerId === null || brokerCounter === undefined) return undefined;
  return `${brokerId}/${brokerCounter}`;
}
