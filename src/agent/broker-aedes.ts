import type { Duplex, Readable } from 'node:stream';
import { type Aedes, Aedes as AedesBroker, type AedesOptions, type Client } from 'aedes';
import { assert } from '../assert.ts';
import type { WhoIs } from './acl-filter.ts';
import type { StreamId } from '../record.ts';
import { emptyTable } from './broker-empty-table.ts';
import { PacketParser } from './broker-packet-parser.ts';
import { replaceParser } from './broker-parser-place.ts';
import type { Qos } from './publication.ts';

/* oxlint-disable no-underscore-dangle -- these are aedes's own names; all of them are used here only */

/**
 * aedes 2.0.0-beta.1 as the agent uses it, its inner parts included. The version is pinned; what
 * is relied on beyond its documented interface is written down here and asserted when a broker is
 * made and when a connection comes, so that an upgrade fails loudly and in one place.
 */
export interface AedesClient extends Client {
  /** aedes has all that it reads from a socket go through its `parse`. */
  _parser: object;
  /** Of PUBLISH from the client. */
  _topicAliases: object | undefined;
  /** Told when the stream has ended or closed; undoes that. */
  _eos: () => void;
  /** While true, aedes reads nothing more from the socket. */
  _paused: boolean;
  /** Packets that are being handled; more is read when there is none. */
  _parsingBatch: number;
  /** One was handled, or there is more to read. */
  _nextBatch: (error?: Error | null) => void;
  readonly _keepaliveInterval: number;
  readonly _keepaliveTimer: NodeJS.Timeout | null;
  /** Nothing of the session is kept. */
  clean: boolean;
  /** Seconds that it lasts longer; 0xFFFFFFFF: for ever. */
  readonly sessionExpiryInterval: number;
  /** CONNECT asked for Clean Start. */
  readonly _cleanStart: boolean;
  /** Seconds; aedes tells it the device, and goes by it. */
  _serverKeepAlive?: number;
  /** MQTT 5, section 3.1.2.11.7. */
  readonly _requestProblemInformation: boolean;
  readonly connackSent: boolean;
  readonly _disconnected: boolean;
  will: WillPacket | null;
  /** The same until it has logged in. */
  readonly _will: WillPacket | null;
  /** By filter. */
  subscriptions: Record<string, AedesSubscription>;
  duplicates: object;
  /** Reads on. */
  resume(): void;
  /** With QoS 0, and with the message's own; done when it was written. */
  deliver0: Deliver;
  deliverQoS: Deliver;
}

export interface AedesSubscription {
  readonly qos: Qos;
  /** Subscription Identifier. */
  readonly si?: number | undefined;
  /** Delivers to the client, as the subscription's options want it. */
  readonly func: Deliver;
}

export interface ForwardedPacket {
  readonly qos: number;
  /** Null: a retained message for a new subscription. */
  readonly brokerId: string | null;
}

export interface WillPacket {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos?: number;
  readonly retain?: boolean;
  readonly properties?: AedesProperties;
  /** Ours, unknown to aedes: who left it. */
  leftBy?: WhoIs;
}

export interface AedesProperties {
  payloadFormatIndicator?: boolean;
  messageExpiryInterval?: number;
  contentType?: string;
  responseTopic?: string;
  correlationData?: Buffer;
  /** Of a will: seconds. */
  willDelayInterval?: number;
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
  /** Ours, unknown to aedes: the log takes it here, and a queue may refer to it. */
  readonly logStream?: StreamId;
}

export interface SubscriptionRef {
  readonly topic: string;
}

/** aedes's memory of sessions; the parts that are watched. */
export interface WatchedPersistence {
  addSubscriptions(client: { id: string }, subs: readonly SubscriptionRef[]): Promise<void>;
  outgoingStream(client: { id: string }): Readable;
  removeSubscriptions(client: { id: string }, topics: readonly string[]): Promise<void>;
}

export type Deliver = (packet: unknown, done: () => void) => void;

/** What aedes's broker object holds beyond its published types. */
export interface AedesInner {
  clients: Record<string, AedesClient>;
  brokers: object;
  readonly persistence: WatchedPersistence;
  readonly mq: { emit(packet: { readonly brokerCounter: number }, done: unknown): unknown };
  publish(
    packet: LivePacket,
    client: { readonly id: string } | null | ((error?: Error) => void),
    done?: (error?: Error) => void,
  ): void;
  subscribe(topic: string, deliver: Deliver, done?: () => void): void;
  unsubscribe(topic: string, deliver: Deliver, done?: () => void): void;
  /** Publishes it after so many seconds, unless the client is back by then. */
  scheduleWill(client: { readonly id: string }, will: unknown, delaySeconds: number): void;
  readonly delayedWills: ReadonlyMap<string, unknown>;
  /** Asks whether it may be published, publishes it and forgets it. */
  publishWill(client: { readonly id: string }, will: WillPacket): void;
  /** Looks now and then for wills of brokers that are silent. */
  readonly _clearWillInterval: NodeJS.Timeout;
  clearDelayedWill(clientId: string): void;
  authorizePublish(
    client: { readonly id: string },
    will: unknown,
    done: (error?: Error | null) => void,
  ): void;
}

export interface AedesHandle {
  readonly broker: Aedes;
  readonly inner: AedesInner;
  readonly parser: PacketParser;
  /** What its clients do in another way than aedes's own. */
  prototype: object | undefined;
  /** Told the reason code with which we, or aedes by itself, end a connection. */
  onDisconnect: (client: AedesClient, reasonCode: number) => void;
}

/** A listening-ready broker whose maps cannot be fooled by names like `__proto__`. */
export async function createAedes(
  options: AedesOptions,
  persistence: object,
): Promise<AedesHandle> {
  const broker = await AedesBroker.createBroker({ ...options, persistence });
  const inner = broker as unknown as AedesInner;
  assert(typeof inner.clients === 'object', 'aedes keeps its clients in `clients`');
  assert(typeof inner.mq.emit === 'function', 'aedes emits through `mq`');
  assert((inner.persistence as object) === persistence, 'aedes takes our persistence');
  assert(typeof inner.scheduleWill === 'function', 'aedes publishes wills later');
  assert(inner.delayedWills instanceof Map, 'aedes keeps such wills in `delayedWills`');
  assert(typeof inner.publishWill === 'function', 'aedes publishes wills by `publishWill`');
  // It goes by the wall clock: set forward, all of ours were those of a broker that is gone. There is no other one.
  assert(typeof inner._clearWillInterval === 'object', 'aedes looks for wills in an interval');
  clearInterval(inner._clearWillInterval);
  // A client id is an object key in aedes, and `clients['constructor']` must be nobody.
  inner.clients = Object.create(null) as Record<string, AedesClient>;
  inner.brokers = Object.create(null) as object;
  return {
    broker,
    inner,
    parser: new PacketParser(),
    prototype: undefined,
    onDisconnect: nothing,
  };
}

export function pauseReading(client: AedesClient): void {
  client._paused = true;
}

/**
 * aedes does not count the packets that it finishes handling while it is paused, and would then wait for them, reading
 * nothing, for as long as the connection stands.
 */
function countWhilePaused(client: AedesClient): void {
  const next = client._nextBatch;
  client._nextBatch = (error) => {
    if (client._paused && (error === undefined || error === null)) client._parsingBatch--;
    else next(error);
  };
}

/** The device was heard: its keep-alive time begins anew [MQTT-3.1.2-22]. */
export function touchKeepAlive(client: AedesClient): void {
  if (client._keepaliveInterval > 0) client._keepaliveTimer?.refresh();
}

/** May an acknowledgement to it carry user properties? [MQTT-3.1.2-29] */
export function takesProperties(client: AedesClient): boolean {
  return client.version === 5 && client._requestProblemInformation;
}

/** The will that CONNECT asks for. */
export function willAsked(client: AedesClient): WillPacket | null {
  // Without one it is undefined.
  return client._will ?? null;
}

export function askedCleanStart(client: AedesClient): boolean {
  return client._cleanStart;
}

/** It sent DISCONNECT before it left. */
export function saidGoodbye(client: AedesClient): boolean {
  return client._disconnected;
}

/**
 * aedes learns by stream.finished that a stream is gone: nine listeners with what they hold, 2 KiB a connection. It
 * listens for `end` and `error` besides, and whoever adopts it says that the stream has closed.
 */
function withoutEos(client: AedesClient): void {
  assert(typeof client._eos === 'function', 'aedes undoes by `_eos` what tells it of the end');
  client._eos();
  client._eos = nothing;
}

/**
 * aedes reads on when CONNACK is out, before it calls the client connected (its queue has left). What came in between, and the end of the
 * stream right behind it, would end the connection with its packets unheard: so nothing is read until then.
 */
function ownPrototype(handle: AedesHandle, client: AedesClient): object {
  const aedes = Object.getPrototypeOf(client) as AedesClient;
  assert(typeof aedes.resume === 'function', 'an aedes client can be resumed');
  assert(typeof aedes.disconnect === 'function', 'an aedes client can be disconnected');
  return Object.assign(Object.create(aedes) as object, {
    resume(this: AedesClient): void {
      if (this.connected) aedes.resume.call(this);
    },
    disconnect(this: AedesClient, ...given: Parameters<AedesClient['disconnect']>): void {
      const [options] = given as [{ readonly reasonCode?: number }?];
      handle.onDisconnect(this, options?.reasonCode ?? 0);
      aedes.disconnect.apply(this, given);
    },
  });
}

/** Who reads what its queue has for it while it is greeted is there, though nobody listens to its pings. */
function touchWhileGreeted(client: AedesClient): void {
  const { conn } = client;
  const heard = (): void => touchKeepAlive(client);
  conn.on('drain', heard);
  client.once('connected', () => conn.off('drain', heard));
}

const nothing = (): void => {};

/**
 * Hands a stream to aedes; returns its client, guarded in the same way. Its `close` is to be called when the stream has
 * closed.
 */
export function adopt(handle: AedesHandle, socket: Duplex): AedesClient {
  const client = handle.broker.handle(socket) as unknown as AedesClient;
  assert(typeof client.deliver0 === 'function', 'aedes delivers through `deliver0`');
  assert(typeof client.deliverQoS === 'function', 'aedes delivers through `deliverQoS`');
  assert(typeof client._nextBatch === 'function', 'aedes counts by `_nextBatch`');
  assert(!client.connackSent, 'aedes notes that CONNACK was sent');
  assert(client._topicAliases instanceof Map, 'aedes has a map of topic aliases');
  handle.prototype ??= ownPrototype(handle, client);
  Object.setPrototypeOf(client, handle.prototype);
  replaceParser(client, handle.parser);
  withoutEos(client);
  countWhilePaused(client);
  touchWhileGreeted(client);
  // Topic filters are object keys too.
  client.subscriptions = emptyTable();
  client.duplicates = emptyTable();
  client._topicAliases = undefined; // for PUBLISH, which aedes never reads
  return client;
}

/** Ends the connection, over a packet of its or ours; an MQTT 5 device is told. */
export function rejectPacket(client: AedesClient, reasonCode: number): false {
  client.disconnect({ reasonCode });
  return false;
}

/** Before aedes handles its CONNECT. */
export function setServerKeepAlive(client: AedesClient, seconds: number): void {
  client._serverKeepAlive = seconds;
}
