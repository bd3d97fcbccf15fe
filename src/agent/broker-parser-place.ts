import type { EventEmitter } from 'node:events';
import { assert } from '../assert.ts';
import type { PacketParser, WireSettings } from './broker-packet-parser.ts';

/* oxlint-disable no-underscore-dangle -- these are aedes's own names */

/** A client of aedes, as far as it reads. */
interface Reading {
  /** aedes has all that it reads from a socket go through its `parse`. */
  _parser: object;
  emit(event: 'error', error: Error): unknown;
}

/** Sees every packet that aedes would read, and what comes of it. */
export interface PacketGuard<P> {
  /** False: aedes must not have it. */
  incoming(packet: P): boolean;
  handled(packet: P): void;
}

/** Who has what a client sends. */
export interface InputTaker {
  read(chunk: Buffer): void;
}

type Enqueue = (packet: object) => void;

/**
 * Stands where a client's parser stood. What comes from the socket goes to whoever took the input; the packets that
 * it gives aedes nevertheless are whole, so that one parser does for all connections.
 */
class ParserPlace {
  readonly client: Reading;
  /** What comes while aedes greets. */
  _queue: object[] | null = [];
  /** Where aedes looks how long the packet will be that it has a part of. */
  readonly packet: undefined;
  taker: InputTaker | undefined;
  guard: PacketGuard<object> | undefined;
  readonly #parser: PacketParser;
  readonly #enqueue: Enqueue;
  #version = 0;
  #isBridge = false;
  #isClosed = false;

  constructor(client: Reading, enqueue: Enqueue, parser: PacketParser) {
    this.client = client;
    this.#enqueue = enqueue;
    this.#parser = parser;
  }

  /** aedes read it. */
  parse(chunk: Buffer): void {
    this.taker?.read(chunk);
  }

  give(bytes: Buffer): void {
    const packet = this.#parser.read(bytes, {
      protocolVersion: this.#version,
      bridgeMode: this.#isBridge,
    });
    if (packet instanceof Error) this.emit('error', packet);
    else if (packet !== undefined) this.#meet(packet);
  }

  emit(event: 'error', error: Error): void {
    this.client.emit(event, error);
  }

  /** aedes's way to have no more packets. */
  removeAllListeners(): void {
    this.#isClosed = true;
  }

  /** Past the guard, which has let it through. */
  take(packet: object): void {
    if (this.#isClosed) return;
    this.#enqueue(packet);
    this.guard?.handled(packet);
  }

  #meet(packet: object): void {
    if (this.#isClosed) return;
    if (this.#version === 0) this.#setWire(packet);
    if (this.guard?.incoming(packet) !== false) this.take(packet);
  }

  /** CONNECT, the first packet, says how the others are to be read. */
  #setWire({ protocolVersion = 4, bridgeMode = false }: WireSettings): void {
    this.#version = protocolVersion;
    this.#isBridge = bridgeMode;
  }
}

/** Takes over what aedes would parse. */
export function takeInput(client: Reading, taker: InputTaker): void {
  placeOf(client).taker = taker;
}

/** Has aedes handle a packet nevertheless, a whole one. */
export function giveAedes(client: Reading, bytes: Buffer): void {
  placeOf(client).give(bytes);
}

/** Of one that aedes has just made. */
export function replaceParser(client: Reading, ours: PacketParser): void {
  const parser = client._parser as EventEmitter & { readonly parse?: unknown };
  assert(typeof parser.parse === 'function', 'aedes reads through `_parser.parse`');
  const [enqueue, ...others] = parser.listeners('packet');
  assert(enqueue !== undefined && others.length === 0, 'aedes takes packets in one place');
  client._parser = new ParserPlace(client, enqueue as Enqueue, ours);
}

export function guardPackets<P extends object>(client: Reading, guard: PacketGuard<P>): void {
  placeOf(client).guard = guard as unknown as PacketGuard<object>;
}

/** Has aedes handle a packet that its guard kept back. */
export function giveGuarded(client: Reading, packet: object): void {
  placeOf(client).take(packet);
}

function placeOf(client: Reading): ParserPlace {
  return client._parser as ParserPlace;
}
