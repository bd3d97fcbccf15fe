import type { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { type Aedes, Aedes as AedesBroker, type AedesOptions, type Client } from 'aedes';
import { assert } from '../assert.ts';
import { REASON } from './broker-reasons.ts';
import type { Qos } from './publication.ts';

/* oxlint-disable no-underscore-dangle -- these are aedes's own names; all of them are used here only */

/**
 * aedes 2.0.0-beta.1 as the agent uses it, its inner parts included. The version is pinned; what
 * is relied on beyond its documented interface is written down here and asserted when a broker is
 * made and when a connection comes, so that an upgrade fails loudly and in one place.
 */
export interface AedesParser extends EventEmitter {
  /** mqtt-packet: consumes bytes, emits `packet`. */
  parse(chunk: Buffer): number;
}

export interface AedesClient extends Client {
  readonly _parser: AedesParser;
  /** While true, aedes reads nothing more from the socket. */
  _paused: boolean;
  readonly _keepaliveInterval: number;
  readonly _keepaliveTimer: NodeJS.Timeout | null;
  /** CONNECT asked for Clean Start. */
  readonly _cleanStart: boolean;
  /** MQTT 5, section 3.1.2.11.7. */
  readonly _requestProblemInformation: boolean;
  readonly connackSent: boolean;
  will: WillPacket | null;
  /** By filter. */
  subscriptions: Record<string, { readonly qos: Qos }>;
  duplicates: object;
  /** Reads on. */
  resume(): void;
}

export interface WillPacket {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos?: number;
  readonly retain?: boolean;
  readonly properties?: AedesProperties;
}

export interface AedesProperties {
  payloadFormatIndicator?: boolean;
  messageExpiryInterval?: number;
  contentType?: string;
  responseTopic?: string;
  correlationData?: Buffer;
  userProperties?: Record<string, string | string[]>;
}

export interface LivePacket {
  readonly cmd: 'publish';
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly dup: false;
  readonly properties?: AedesProperties;
}

export interface StoredPacket {
  readonly topic: string;
  readonly payload: Buffer;
}

export interface KeptSubscription {
  readonly topic: string;
  readonly qos: Qos;
}

export interface OutgoingPacket {
  readonly cmd: string;
  readonly messageId: number;
  brokerId?: string;
  brokerCounter?: number;
}

export interface SubscriptionRef {
  readonly topic: string;
}

/** aedes's memory of sessions; the parts that the guards wrap. */
export interface AedesPersistence {
  addSubscriptions(client: { id: string }, subs: readonly SubscriptionRef[]): Promise<void>;
  removeSubscriptions(client: { id: string }, topics: readonly string[]): Promise<void>;
  cleanSubscriptions(client: { id: string }): Promise<void>;
  subscriptionsByClient(client: { id: string }): Promise<readonly KeptSubscription[]>;
  storeRetained(packet: LivePacket): Promise<void>;
  outgoingEnqueueCombi(
    subs: readonly { readonly clientId: string }[],
    packet: StoredPacket,
  ): Promise<void>;
  outgoingUpdate(client: { id: string }, packet: OutgoingPacket): Promise<unknown>;
  /** Resolves with what was cleared, if there was anything. */
  outgoingClearMessageId(client: { id: string }, packet: unknown): Promise<unknown>;
}

export type Deliver = (packet: unknown, done: () => void) => void;

/** What aedes's broker object holds beyond its published types. */
export interface AedesInner {
  clients: Record<string, AedesClient>;
  brokers: object;
  readonly persistence: AedesPersistence;
  readonly mq: { emit(packet: unknown, done: unknown): unknown };
  publish(
    packet: LivePacket,
    client: Client | null | ((error?: Error) => void),
    done?: (error?: Error) => void,
  ): void;
  subscribe(topic: string, deliver: Deliver, done?: () => void): void;
  unsubscribe(topic: string, deliver: Deliver, done?: () => void): void;
}

export interface AedesHandle {
  readonly broker: Aedes;
  readonly inner: AedesInner;
}

/** A listening-ready broker whose maps cannot be fooled by names like `__proto__`. */
export async function createAedes(options: AedesOptions): Promise<AedesHandle> {
  const broker = await AedesBroker.createBroker(options);
  const inner = broker as unknown as AedesInner;
  assert(typeof inner.clients === 'object', 'aedes keeps its clients in `clients`');
  assert(typeof inner.mq.emit === 'function', 'aedes emits through `mq`');
  assert(typeof inner.persistence.addSubscriptions === 'function', 'aedes has a persistence');
  // A client id is an object key in aedes, and `clients['constructor']` must be nobody.
  inner.clients = Object.create(null) as Record<string, AedesClient>;
  inner.brokers = Object.create(null) as object;
  tellPubrelsApart(inner.persistence);
  return { broker, inner };
}

/**
 * In a lasting session's queue aedes finds packets by broker and counter. PUBRELs have neither, so
 * the second one is taken for the first and writes its packet id over it: the first message's
 * handshake never ends. Given both, each is itself.
 */
function tellPubrelsApart(persistence: AedesPersistence): void {
  const update = persistence.outgoingUpdate.bind(persistence);
  persistence.outgoingUpdate = (client, packet) => {
    if (packet.cmd === 'pubrel') {
      packet.brokerId = 'pubrel';
      packet.brokerCounter = packet.messageId;
    }
    return update(client, packet);
  };
}

/** Takes over what aedes would parse; returns the way to give it bytes nevertheless. */
export function takeInput(
  client: AedesClient,
  read: (chunk: Buffer) => void,
): (bytes: Buffer) => void {
  const parse = client._parser.parse.bind(client._parser);
  client._parser.parse = (chunk) => {
    read(chunk);
    return 0;
  };
  return parse;
}

export function pauseReading(client: AedesClient): void {
  client._paused = true;
}

/** The device was heard: its keep-alive time begins anew [MQTT-3.1.2-22]. */
export function touchKeepAlive(client: AedesClient): void {
  if (client._keepaliveInterval > 0) client._keepaliveTimer?.refresh();
}

/** May an acknowledgement to it carry user properties? [MQTT-3.1.2-29] */
export function takesProperties(client: AedesClient): boolean {
  return client.version === 5 && client._requestProblemInformation;
}

export function askedCleanStart(client: AedesClient): boolean {
  return client._cleanStart;
}

/** Hands a socket to aedes; returns its client, guarded in the same way. */
export function adopt(handle: AedesHandle, socket: Socket): AedesClient {
  const client = handle.broker.handle(socket) as unknown as AedesClient;
  assert(typeof client._parser.parse === 'function', 'aedes reads through `_parser.parse`');
  assert(typeof client.resume === 'function', 'an aedes client can be resumed');
  // Topic filters are object keys too.
  client.subscriptions = Object.create(null) as AedesClient['subscriptions'];
  client.duplicates = Object.create(null) as object;
  guardSubscribe(client);
  return client;
}

/**
 * Of several filters in one SUBSCRIBE aedes makes a plain object by filter, in which `__proto__`
 * does harm. Nobody means that filter; such a packet ends the connection.
 */
function guardSubscribe(client: AedesClient): void {
  const parser = client._parser;
  const listeners = parser.listeners('packet');
  parser.removeAllListeners('packet');
  parser.on('packet', (packet: { cmd: string; subscriptions?: readonly SubscriptionRef[] }) => {
    if (packet.subscriptions?.some((one) => one.topic === '__proto__') === true) {
      client.disconnect({ reasonCode: REASON.topicFilterInvalid });
      return;
    }
    for (const listener of listeners) listener.call(parser, packet);
  });
}
