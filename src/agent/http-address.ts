import { isLoopback } from './listen-address.ts';

/** An address that the HTTP side listens on, taken apart. */
export interface HttpAddress {
  readonly secure: boolean;
  /** Without the brackets of IPv6. */
  readonly host: string;
  readonly port: number;
  /** Only this machine reaches it. */
  readonly isLocal: boolean;
}

export const HTTP_PORT = 9680;
export const HTTP_ADDRESS_EXPECTED: string = `an address such as http://127.0.0.1:${HTTP_PORT} (or https)`;

/** Undefined where it is none. A port that is not written is ours, not 80: no agent is root. */
export function parseHttpAddress(url: string): HttpAddress | undefined {
  const parsed = URL.parse(url);
  if (parsed === null || !['http:', 'https:'].includes(parsed.protocol)) return undefined;
  const { username, password, pathname, search, hash, hostname } = parsed;
  if (username !== '' || password !== '' || pathname !== '/') return undefined;
  if (search !== '' || hash !== '') return undefined;
  const host = hostname.replace(/^\[(.*)\]$/u, '$1');
  return {
    secure: parsed.protocol === 'https:',
    host,
    port: portOf(url, parsed),
    isLocal: isLoopback(host),
  };
}

/** The parser leaves out a port that is the scheme's own, though it was written. */
function portOf(url: string, { port, protocol }: URL): number {
  if (port !== '') return Number(port);
  const own = protocol === 'https:' ? ':443' : ':80';
  return url.replace(/\/$/u, '').endsWith(own) ? Number(own.slice(1)) : HTTP_PORT;
}

export function formatHttpAddress({ secure, host, port }: HttpAddress): string {
  return `${secure ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}
