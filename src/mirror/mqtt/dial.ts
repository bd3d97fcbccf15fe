import {
  isIP,
  connect as netConnect,
  setDefaultAutoSelectFamilyAttemptTimeout,
  Socket,
} from 'node:net';
import { connect as tlsConnect } from 'node:tls';
import { connect, type IClientOptions, type IConnackPacket, type MqttClient } from 'mqtt';
import { messageOf } from '../../errors.ts';
import { LIMITS } from '../../limits.ts';
import { MIRROR_LIMITS } from '../../mirror-limits.ts';
import { type Clock, systemClock } from '../../time.ts';
import type { ConnectAttempts } from '../connect-attempts.ts';
import type { ConnectFacts } from '../connect-trouble.ts';
import type { Wire } from '../policy/wire-meter.ts';
import type { PacketIds, PacketStore } from './resumption.ts';
import { SocketWatch, type Stranger, strangerOf } from '../socket-watch.ts';
import { clientIdOf } from './client-id.ts';
import { connectError } from './reasons.ts';

/** PEM texts. */
export interface MqttTls {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly passphrase?: string | undefined;
  readonly serverName?: string | undefined;
}

export interface MqttConnection {
  readonly gateway: string;
  /** `mqtt://HOST:PORT`, `mqtts://HOST:PORT`, `ws://HOST:PORT/PATH` or `wss://HOST:PORT/PATH`. */
  readonly url: string;
  /**
   * MUST be this mirror's alone at the far side. Default `gatelog-GATEWAY`: two mirrors of one
   * gateway to one broker need their own.
   */
  readonly clientId?: string | undefined;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly tls?: MqttTls | undefined;
  /** `3.1.1` has no properties: no identity, no headers, no reason for a refusal. Default 5. */
  readonly protocol?: '5' | '3.1.1' | undefined;
  readonly connectTimeoutMs?: number | undefined;
  readonly keepaliveSeconds?: number | undefined;
  /** Counts and paces what goes over the connection. */
  readonly wire?: Wire | undefined;
  /** The best time of day that is known, for what is said about certificates. */
  readonly clock: Clock;
  /** False: `clock` is wrong, and nobody knows by how much. Default: it never is. */
  readonly isClockSound?: (() => boolean) | undefined;
}

/** How a connection takes up the far side's session. */
export interface Continuation {
  /** Begin a new one, whatever the far side has. */
  readonly clean: boolean;
  /** How long the far side is to keep it without a connection; 3.1.1: for ever unless it is 0. */
  readonly keepSeconds: number;
  readonly ids: PacketIds;
  readonly store: PacketStore;
}

export interface Dialled {
  readonly client: MqttClient;
  readonly connack: IConnackPacket;
  /** TCP and CONNECT take a round trip each, TLS more. */
  readonly tookMs: number;
}

/** Connects, once; without a continuation cleanly. Rejects with an UPSTREAM_* code. */
export async function dial(
  options: MqttConnection,
  attempts: ConnectAttempts,
  signal: AbortSignal,
  continuation?: Continuation,
): Promise<Dialled> {
  // Node gives up an address of several after 250 ms, which no satellite link keeps.
  setDefaultAutoSelectFamilyAttemptTimeout(MIRROR_LIMITS.connectAddressMs);
  const worked = await attempts.take(signal);
  if (signal.aborted) throw connectError(options.url, new Error(GIVEN_UP));
  const begunMs = options.clock.monotonicMs();
  const way: Way = { wire: options.wire, watch: undefined, errors: [] };
  const client = connect({
    ...clientOptions(options, way),
    ...sessionOptions(options, continuation),
  });
  const { stream } = client;
  if (stream instanceof Socket) {
    way.watch = new SocketWatch(stream, foreignToMqtt);
    options.wire?.attach(stream);
  }
  // The library tells of some only that the connection was closed.
  stream.on('error', (error) => way.errors.push(error));
  try {
    const connack = await connected(client, signal);
    worked();
    return { client, connack, tookMs: options.clock.monotonicMs() - begunMs };
  } catch (error) {
    client.end(true);
    const telling = isTimeout(error) ? error : (way.errors[0] ?? error);
    throw connectError(options.url, telling, factsOf(options, way));
  }
}

/** What the socket says then is that it was ended. */
function isTimeout(error: unknown): boolean {
  return messageOf(error) === 'connack timeout';
}

interface Way {
  readonly wire: Wire | undefined;
  watch: SocketWatch | undefined;
  readonly errors: Error[];
}

const GIVEN_UP = 'the connect was given up';

function connected(client: MqttClient, signal: AbortSignal): Promise<IConnackPacket> {
  return new Promise((resolve, reject) => {
    const settle = (settled: () => void): void => {
      signal.removeEventListener('abort', onAbort);
      client.off('connect', onConnect);
      client.off('close', onClose);
      settled();
    };
    const onConnect = (packet: IConnackPacket): void => settle(() => resolve(packet));
    const onClose = (): void => settle(() => reject(new Error('the connection was closed')));
    const onAbort = (): void => settle(() => reject(new Error(GIVEN_UP)));
    client.on('connect', onConnect);
    client.on('close', onClose);
    // Stays: an error of a client that nobody listens to would end the process.
    client.on('error', (error) => settle(() => reject(error)));
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
}

/** Where the address leads to. */
export function placeOf(address: string): {
  readonly host: string;
  readonly port: number;
  readonly isSecure: boolean;
} {
  const url = new URL(address);
  return { host: hostOf(url), port: portOf(url), isSecure: isSecure(url) };
}

function isSecure({ protocol }: URL): boolean {
  return protocol === 'mqtts:' || protocol === 'wss:';
}

/** An answer begins with CONNACK or AUTH (MQTT 5, section 3.1.4). */
function foreignToMqtt(first: Buffer): Stranger | undefined {
  const stranger = strangerOf(first);
  if (stranger !== undefined) return stranger;
  return first[0] === 0x20 || first[0] === 0xf0 ? undefined : 'other';
}

function factsOf(options: MqttConnection, { watch }: Way): ConnectFacts {
  const url = new URL(options.url);
  const { clock, isClockSound, connectTimeoutMs = LIMITS.mqttConnectMs } = options;
  return {
    where: options.url,
    host: hostOf(url),
    protocol: 'MQTT',
    secure: isSecure(url),
    timeoutMs: connectTimeoutMs,
    watch,
    clock: {
      wallMs: systemClock.nowMs(),
      bestMs: clock.nowMs(),
      isSound: isClockSound?.() !== false,
    },
  };
}

function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[(.*)\]$/u, '$1');
}

const PORTS: Readonly<Record<string, number>> = {
  'mqtt:': 1883,
  'mqtts:': 8883,
  'ws:': 80,
  'wss:': 443,
};

function portOf({ port, protocol }: URL): number {
  return port === '' ? (PORTS[protocol] ?? 0) : Number(port);
}

function clientOptions(options: MqttConnection, way: Way): IClientOptions {
  const url = new URL(options.url);
  const { username, password } = options;
  return {
    protocol: url.protocol.slice(0, -1) as 'mqtt' | 'mqtts' | 'ws' | 'wss',
    host: hostOf(url),
    port: portOf(url),
    protocolVersion: options.protocol === '3.1.1' ? 4 : 5,
    clientId: clientIdOf(options),
    // The pump connects anew, from the position; the library must not resend on its own.
    reconnectPeriod: 0,
    resubscribe: false,
    connectTimeout: options.connectTimeoutMs ?? LIMITS.mqttConnectMs,
    keepalive: options.keepaliveSeconds ?? LIMITS.mqttKeepaliveSeconds,
    rejectUnauthorized: true,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...tlsOptions(options.tls),
    ...(url.protocol.startsWith('ws') ? webSocketOptions(url, options.tls, way) : {}),
  };
}

function sessionOptions(
  { protocol }: MqttConnection,
  continuation: Continuation | undefined,
): Partial<IClientOptions> {
  if (continuation === undefined) return { clean: true };
  const { clean, keepSeconds, ids, store } = continuation;
  const properties = { sessionExpiryInterval: keepSeconds };
  return {
    clean,
    messageIdProvider: ids,
    outgoingStore: store,
    ...(protocol === '3.1.1' || keepSeconds === 0 ? {} : { properties }),
  };
}

type TlsTexts = Partial<Record<'ca' | 'cert' | 'key' | 'passphrase' | 'servername', string>>;

export function tlsOptions(tls: MqttTls | undefined): TlsTexts {
  return {
    ...(tls?.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls?.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls?.key === undefined ? {} : { key: tls.key }),
    // Handed on to tls.connect, though the library's type does not name it.
    ...(tls?.passphrase === undefined ? {} : { passphrase: tls.passphrase }),
    ...(tls?.serverName === undefined ? {} : { servername: tls.serverName }),
  };
}

/** The library of WebSockets makes its socket where nobody sees it; here it is made for it. */
function webSocketOptions(url: URL, tls: MqttTls | undefined, way: Way): Partial<IClientOptions> {
  const host = hostOf(url);
  const servername = tls?.serverName ?? (isIP(host) === 0 ? host : '');
  const createConnection = (asked: object): Socket => {
    const socket = isSecure(url)
      ? tlsConnect({ ...asked, path: undefined, servername })
      : netConnect({ ...asked, host, port: portOf(url) });
    way.watch = new SocketWatch(socket, () => undefined);
    way.wire?.attach(socket);
    return socket;
  };
  return {
    path: url.pathname + url.search,
    // Packets are small, and each would be compressed for itself.
    wsOptions: { perMessageDeflate: false, createConnection },
  };
}
