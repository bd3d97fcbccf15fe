import { isIPv4, isIPv6 } from 'node:net';

/** Which interface leads to an address, read off the kernel's routing tables as `/proc/net` shows them. */
export interface RouteFiles {
  /** `/proc/net/route`; empty where there is none. */
  readonly ipv4: string;
  /** `/proc/net/ipv6_route`. */
  readonly ipv6: string;
}

interface Route {
  readonly device: string;
  readonly network: bigint;
  /** How many leading bits must be the network's. */
  readonly prefix: number;
  readonly metric: number;
}

const RTF_UP = 0x0001;
const RTF_REJECT = 0x0200;

/**
 * The interface of the longest prefix that fits, and of those with one the lowest metric. Without an
 * address: of the default route. undefined: no way leads there. Rules that choose among several
 * tables (`ip rule`) are not known here.
 */
export function interfaceTo(address: string | undefined, files: RouteFiles): string | undefined {
  if (address === undefined) {
    return best(ipv4Routes(files.ipv4), 0n, 32, 0) ?? best(ipv6Routes(files.ipv6), 0n, 128, 0);
  }
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/iu.exec(address)?.[1] ?? address;
  if (isIPv4(mapped)) return best(ipv4Routes(files.ipv4), ipv4Number(mapped), 32, 32);
  if (isIPv6(address)) return best(ipv6Routes(files.ipv6), ipv6Number(address), 128, 128);
  return undefined;
}

function best(
  routes: readonly Route[],
  address: bigint,
  bits: number,
  longest: number,
): string | undefined {
  const fitting = routes.filter(
    ({ network, prefix }) =>
      prefix <= longest && (address ^ network) >> BigInt(bits - prefix) === 0n,
  );
  const [first] = fitting.toSorted(
    (one, other) => other.prefix - one.prefix || one.metric - other.metric,
  );
  return first?.device;
}

/** Iface Destination Gateway Flags RefCnt Use Metric Mask …; addresses in the machine's byte order. */
function ipv4Routes(text: string): Route[] {
  return rowsOf(text).flatMap((row) => {
    const [device = '', destination = '', , flags = '', , , metric = '', mask = ''] = row;
    if (!/^[0-9A-F]{8}$/iu.test(destination) || !isUsable(flags)) return [];
    const prefix = swapped(mask).toString(2).replaceAll('0', '').length;
    return [{ device, network: swapped(destination), prefix, metric: Number(metric) }];
  });
}

/** Destination, prefix length, source, its prefix length, next hop, metric, …, flags, device. */
function ipv6Routes(text: string): Route[] {
  return rowsOf(text).flatMap((row) => {
    const [destination = '', prefix = '', , , , metric = '', , , flags = '', device = ''] = row;
    if (!/^[0-9a-f]{32}$/iu.test(destination) || !isUsable(flags) || device === 'lo') return [];
    const network = BigInt(`0x${destination}`);
    return [{ device, network, prefix: parseInt(prefix, 16), metric: parseInt(metric, 16) }];
  });
}

function rowsOf(text: string): string[][] {
  return text.split('\n').map((line) => line.trim().split(/\s+/u));
}

function isUsable(flags: string): boolean {
  const bits = parseInt(flags, 16);
  return (bits & RTF_UP) !== 0 && (bits & RTF_REJECT) === 0;
}

/** The kernel writes these numbers as a little-endian machine sees network order. */
function swapped(hex: string): bigint {
  const bytes = hex.match(/../gu) ?? [];
  return BigInt(`0x${bytes.toReversed().join('')}`);
}

function ipv4Number(address: string): bigint {
  return address.split('.').reduce((sum, part) => sum * 256n + BigInt(part), 0n);
}

function ipv6Number(address: string): bigint {
  const [plain = ''] = address.split('%');
  const [head = '', tail] = plain.split('::');
  const front = head === '' ? [] : head.split(':');
  const back = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = Array.from({ length: 8 - front.length - back.length }, () => '0');
  const groups = tail === undefined ? front : [...front, ...zeros, ...back];
  return groups.reduce((sum, group) => sum * 65_536n + BigInt(parseInt(group, 16)), 0n);
}
