import { readFileSync } from 'node:fs';
import { runChecked } from './process.ts';

/** A network of its own behind a pair of interfaces, made and removed by the test. */
export interface Veth {
  /** Where in it the far end runs; undefined without root, who alone can make one: on loopback. */
  readonly far: { readonly namespace: string; readonly address: string } | undefined;
  /** Bytes of IP packets that went through, both ways; undefined without root. */
  bytes(): number | undefined;
  stop(): Promise<void>;
}

const NONE: Veth = { far: undefined, bytes: () => undefined, stop: () => Promise.resolve() };

/** Ethernet's own header, which the interface counts. */
const ETHERNET_HEAD = 14;

let made = 0;

/** Segments leave as they would on a wire: without offloading, so that each counts with its headers. */
export async function startVeth(): Promise<Veth> {
  if (process.getuid?.() !== 0 || process.env['GATELOG_NO_MOUNTS'] !== undefined) return NONE;
  const unique = `${process.pid}`.slice(-5) + String(made++);
  const namespace = `gatelog-${unique}`;
  const [near, far] = [`gl${unique}a`, `gl${unique}b`];
  const net = `10.${200 + (process.pid % 50)}.${made % 250}`;
  const [nearAddress, address] = [`${net}.1`, `${net}.2`];
  const ip = (...args: string[]): Promise<unknown> => runChecked({ command: 'ip', args });
  await ip('netns', 'add', namespace);
  await ip('link', 'add', near, 'type', 'veth', 'peer', 'name', far, 'netns', namespace);
  // Nothing but the traffic itself is to be counted.
  await ip('link', 'set', near, 'addrgenmode', 'none');
  await ip('-n', namespace, 'link', 'set', far, 'addrgenmode', 'none');
  await ip('link', 'set', near, 'gso_max_segs', '1');
  await ip('-n', namespace, 'link', 'set', far, 'gso_max_segs', '1');
  await ip('addr', 'add', `${nearAddress}/24`, 'dev', near);
  await ip('-n', namespace, 'addr', 'add', `${address}/24`, 'dev', far);
  await ip('link', 'set', near, 'up');
  await ip('-n', namespace, 'link', 'set', 'lo', 'up');
  await ip('-n', namespace, 'link', 'set', far, 'up');
  const figure = (name: string): number =>
    Number(readFileSync(`/sys/class/net/${near}/statistics/${name}`, 'utf8'));
  return {
    far: { namespace, address },
    bytes: () =>
      figure('rx_bytes') +
      figure('tx_bytes') -
      ETHERNET_HEAD * (figure('rx_packets') + figure('tx_packets')),
    stop: async () => {
      await ip('netns', 'del', namespace);
    },
  };
}
