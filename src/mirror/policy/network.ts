import { execFile } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { kernelText } from '../../kernel-text.ts';
import { LINK_LIMITS } from '../../link-limits.ts';
import type { RouteFiles } from './route-table.ts';

/** What the machine tells of its network. Nothing here rejects. */
export interface Network {
  routes(): Promise<RouteFiles>;
  /**
   * The address that the kernel would speak from to a far one, as a connection would: with every
   * table and rule, and with its own addresses. undefined: there is no way, or it can't be asked.
   */
  localAddressTo(remoteAddress: string): Promise<string | undefined>;
  /** The interface that has an address; undefined: none has it. */
  interfaceOf(localAddress: string): string | undefined;
  /** NetworkManager's word on an interface; undefined: it is not there, or does not know. */
  askMetered(device: string): Promise<boolean | undefined>;
}

export const systemNetwork: Network = {
  routes: () =>
    Promise.resolve({
      ipv4: kernelText('/proc/net/route') ?? '',
      ipv6: kernelText('/proc/net/ipv6_route') ?? '',
    }),
  localAddressTo: sourceAddressTo,
  interfaceOf: (localAddress) => {
    const plain = localAddress.replace(/^::ffff:(?=\d+\.)/iu, '').replace(/%.*$/u, '');
    for (const [device, addresses] of Object.entries(networkInterfaces())) {
      if (addresses?.some(({ address }) => address === plain) === true) return device;
    }
    return undefined;
  },
  askMetered: async (device) => {
    const found = await busctl('call', MANAGER, SERVICE, 'GetDeviceByIpIface', 's', device);
    const path = /^o "(?<path>\/[\w/]+)"/u.exec(found)?.groups?.['path'];
    if (path === undefined) return undefined;
    return readMetered(await busctl('get-property', path, `${SERVICE}.Device`, 'Metered'));
  },
};

const SERVICE = 'org.freedesktop.NetworkManager';
const MANAGER = '/org/freedesktop/NetworkManager';

/** NMMetered: 0 unknown, 1 yes, 2 no, 3 yes by guess, 4 no by guess. */
export function readMetered(output: string): boolean | undefined {
  const value = /^u (\d)/u.exec(output)?.[1];
  if (value === '1' || value === '3') return true;
  return value === '2' || value === '4' ? false : undefined;
}

/** Empty when it failed. Nobody is started for being asked. */
function busctl(...[verb, path, ...args]: [string, string, ...string[]]): Promise<string> {
  const command = ['--system', '--auto-start=no', verb, SERVICE, path, ...args];
  const { kernelAskTimeoutMs: timeout, probeOutputBytes: maxBuffer } = LINK_LIMITS;
  return new Promise((resolve) => {
    execFile('busctl', command, { timeout, maxBuffer }, (error, stdout) =>
      resolve(error === null ? stdout : ''),
    );
  });
}

/** Any will do: to connect a socket of UDP sends nothing. */
const DISCARD_PORT = 9;

function sourceAddressTo(remoteAddress: string): Promise<string | undefined> {
  const version = isIP(remoteAddress);
  if (version === 0) return Promise.resolve(undefined); // A name would be looked up.
  return new Promise((resolve) => {
    const socket = createSocket(version === 6 ? 'udp6' : 'udp4');
    // Node's types leave out that it is told of a failure.
    const connected = (error?: Error): void => {
      resolve(error === undefined || error === null ? socket.address().address : undefined);
      socket.close();
    };
    socket.on('error', () => resolve(undefined));
    socket.connect(DISCARD_PORT, remoteAddress, connected);
  });
}
