import { BlockList, isIP } from 'node:net';
import { LIMITS } from '../limits.ts';

export type ListenKind = 'mqtt' | 'mqtts' | 'ws' | 'wss' | 'unix';

/** An address to listen on, taken apart. */
export interface ListenAddress {
  readonly kind: ListenKind;
  /** Without the brackets of IPv6; empty for a Unix socket. */
  readonly host: string;
  readonly port: number;
  /** Of a WebSocket: that of its URL. Of a Unix socket: its file. */
  readonly path: string;
}

/**
 * The ports of MQTT are IANA's. Those of WebSockets are what browsers and clients go to when a URL
 * has none: one URL must mean one place to both sides. (9001 with Mosquitto and 8083 with EMQX are
 * custom, and must be written.)
 */
const DEFAULT_PORTS = { 'mqtt:': 1883, 'mqtts:': 8883, 'ws:': 80, 'wss:': 443 } as const;
const DEFAULT_PATH = '/mqtt';

/** Undefined where it is none. */
export function parseListen(url: string): ListenAddress | undefined {
  const parsed = URL.parse(url);
  if (parsed === null || parsed.search !== '' || parsed.hash !== '') return undefined;
  if (parsed.username !== '' || parsed.password !== '') return undefined;
  if (parsed.protocol === 'unix:') return unixAddress(parsed);
  const { protocol, hostname, pathname } = parsed;
  if (!isNetProtocol(protocol) || hostname === '') return undefined;
  const host = hostname.replace(/^\[(.*)\]$/u, '$1');
  const port = parsed.port === '' ? DEFAULT_PORTS[protocol] : Number(parsed.port);
  const kind = protocol.slice(0, -1) as ListenKind;
  if (kind === 'mqtt' || kind === 'mqtts') {
    return ['', '/'].includes(pathname) ? { kind, host, port, path: '' } : undefined;
  }
  // The parser makes a slash of no path at all; who writes one means it.
  const path = pathname === '/' && !url.endsWith('/') ? DEFAULT_PATH : pathname;
  return { kind, host, port, path };
}

export function formatListen({ kind, host, port, path }: ListenAddress): string {
  if (kind === 'unix') return `unix://${encodeURI(path)}`;
  return `${kind}://${host.includes(':') ? `[${host}]` : host}:${port}${path}`;
}

export function isSecure({ kind }: Pick<ListenAddress, 'kind'>): boolean {
  return kind === 'mqtts' || kind === 'wss';
}

export function isWebSocket({ kind }: Pick<ListenAddress, 'kind'>): boolean {
  return kind === 'ws' || kind === 'wss';
}

/** Whether only this machine gets there. */
export function isLocal({ kind, host }: Pick<ListenAddress, 'kind' | 'host'>): boolean {
  return kind === 'unix' || isLoopback(host);
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

export function isLoopback(host: string): boolean {
  if (host.toLowerCase() === 'localhost') return true;
  const family = isIP(host);
  return family !== 0 && LOOPBACK.check(host, family === 6 ? 'ipv6' : 'ipv4');
}

function isNetProtocol(protocol: string): protocol is keyof typeof DEFAULT_PORTS {
  return Object.hasOwn(DEFAULT_PORTS, protocol);
}

function unixAddress({ host, pathname }: URL): ListenAddress | undefined {
  let path: string;
  try {
    path = decodeURIComponent(pathname);
  } catch {
    return undefined;
  }
  const fits = Buffer.byteLength(path) <= LIMITS.socketPathBytes && !path.includes('\0');
  if (host !== '' || !fits || path.endsWith('/') || !path.startsWith('/')) return undefined;
  return { kind: 'unix', host: '', port: 0, path };
}
