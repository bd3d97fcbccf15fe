import { hostname, networkInterfaces } from 'node:os';

/** Whether an address of MQTT leads to one that this agent listens on, however either is written. */
const PORTS: Readonly<Record<string, string>> = { 'mqtts:': '8883', 'ws:': '80', 'wss:': '443' };
const LOOPBACK = ['127.0.0.1', '::1'];
const ANY: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

export function hostAndPort(url: string): { readonly host: string; readonly port: string } {
  const { protocol, hostname: host, port } = new URL(url);
  return { host, port: port === '' ? (PORTS[protocol] ?? '1883') : port };
}

/** `own`: the machine's addresses, without those of loopback. Names but its own are not looked up. */
export function leadsTo(
  url: string,
  listened: string,
  own: readonly string[] = ownAddresses(),
): boolean {
  const [to, at] = [hostAndPort(url), hostAndPort(listened)];
  if (to.port !== at.port) return false;
  const [host, listenHost] = [plain(to.host), plain(at.host)];
  if (host === listenHost) return true;
  const reached = addressesOf(host, own);
  const heard = addressesOf(listenHost, own);
  const hearsAll = ANY.has(listenHost);
  return reached.some((one) => heard.includes(one) || (hearsAll && one.startsWith('127.')));
}

function addressesOf(host: string, own: readonly string[]): readonly string[] {
  if (host === 'localhost' || host.endsWith('.localhost')) return LOOPBACK;
  if (ANY.has(host) || host === hostname().toLowerCase()) return [...LOOPBACK, ...own];
  return [host];
}

function plain(host: string): string {
  return host
    .toLowerCase()
    .replace(/^\[(.*)\]$/u, '$1')
    .replace(/\.$/u, '');
}

function ownAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((addresses = []) =>
    addresses.map(({ address }) => address.toLowerCase()),
  );
}
