import type { KafkaCluster } from '../kafka/cluster.ts';
import { runChecked } from '../process.ts';
import { startTcpProxy, type TcpProxy } from '../tcp-proxy.ts';
import type { NetNamespace } from './namespace.ts';

const INTERFACE = 'centre';
/** Each place in one direction: the interface is all that leads there. */
const ANSWERS = `iifname ${INTERFACE}`;
const REQUESTS = `oifname ${INTERFACE}`;

let made = 0;

/**
 * The way from a network of its own to a cluster's `proxied` listener, over a pair of interfaces; the
 * kernel in there drops what it is told to: no FIN, no RST, no ICMP. The brokers advertise loopback, so
 * addresses are translated on the way, as behind a NAT. For root alone.
 */
export class WayToKafka {
  readonly #net: NetNamespace;
  readonly #proxies: readonly TcpProxy[];

  private constructor(net: NetNamespace, proxies: readonly TcpProxy[]) {
    this.#net = net;
    this.#proxies = proxies;
  }

  static async open(net: NetNamespace, cluster: KafkaCluster): Promise<WayToKafka> {
    const here = `gk${String(process.pid).slice(-6)}${made++}`;
    const block = `10.${150 + (process.pid % 50)}.${made % 250}`;
    const [near, far] = [`${block}.1`, `${block}.2`];
    const ip = (...args: string[]): Promise<unknown> => runChecked({ command: 'ip', args });
    const peer = ['type', 'veth', 'peer', 'name', INTERFACE, 'netns', String(net.pid)];
    await ip('link', 'add', here, ...peer);
    await ip('addr', 'add', `${near}/24`, 'dev', here);
    await ip('link', 'set', here, 'up');
    await net.run('ip', 'addr', 'add', `${far}/24`, 'dev', INTERFACE);
    await net.run('ip', 'link', 'set', INTERFACE, 'up');
    // Else the kernel lets nothing from or to loopback over an interface.
    await net.run('sh', '-c', 'echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet');
    const ports = cluster.nodes.map((node) => node.ports.proxy).join(', ');
    const rules = [
      'add table ip way',
      'add chain ip way out { type nat hook output priority -100 ; }',
      'add chain ip way home { type nat hook postrouting priority 100 ; }',
      `add rule ip way out ip daddr 127.0.0.1 tcp dport { ${ports} } dnat to ${near}`,
      `add rule ip way home oifname ${INTERFACE} masquerade`,
    ];
    for (const rule of rules) await net.run('nft', rule);
    const proxies: TcpProxy[] = [];
    for (const node of cluster.nodes) {
      const { proxy: listenPort, proxied: targetPort } = node.ports;
      proxies.push(await startTcpProxy({ listenHost: near, listenPort, targetPort }));
    }
    return new WayToKafka(net, proxies);
  }

  async swallow(what: 'all' | 'requests' | 'answers'): Promise<void> {
    if (what !== 'answers') await this.#net.swallowSent(REQUESTS);
    if (what !== 'requests') await this.#net.swallow(ANSWERS);
  }

  /** What a NAT does that forgot the connections that there are: new ones pass. */
  async forgetConnections(): Promise<number> {
    const { stdout } = await this.#net.run('ss', '-tnH', 'state', 'established');
    const far = new Set(this.#proxies.map(({ port }) => `127.0.0.1:${port}`));
    let forgotten = 0;
    for (const line of stdout.split('\n')) {
      const [, , local = '', peer = ''] = line.trim().split(/\s+/u);
      if (!far.has(peer)) continue;
      const port = local.slice(local.lastIndexOf(':') + 1);
      await this.#net.swallowSent(`tcp sport ${port}`);
      await this.#net.swallow(`tcp dport ${port}`);
      forgotten++;
    }
    return forgotten;
  }

  /** Nothing is swallowed any more. */
  heal(): Promise<void> {
    return this.#net.swallowNothing();
  }

  async close(): Promise<void> {
    await Promise.all(this.#proxies.map((proxy) => proxy.close()));
  }
}
