import { join } from 'node:path';
import type { KafkaCluster } from '../kafka/cluster.ts';
import { type Running, runChecked, startProcess } from '../process.ts';
import { insideOf, type NetNamespace } from './namespace.ts';
import { Sockets } from './sockets.ts';

const INTERFACE = 'centre';
/** Each place in one direction: the interface is all that leads there. */
const ANSWERS = `iifname ${INTERFACE}`;
const REQUESTS = `oifname ${INTERFACE}`;
/** Of the two ends; nobody else is in these networks. */
const [NEAR, FAR] = ['10.214.0.1', '10.214.0.2'];

/**
 * The way from a network of its own to a cluster's `proxied` listener: over a pair of interfaces into a second
 * network, and from there through sockets in the file system, so that nothing of the machine's own
 * network is touched and nobody has to be root. The kernel in there drops what it is told to: no FIN, no
 * RST, no ICMP. The brokers advertise loopback, so addresses are translated on the way, as behind a NAT.
 */
export class WayToKafka {
  readonly #net: NetNamespace;
  readonly #ports: readonly number[];
  readonly #sockets: Sockets;
  readonly #relay: Running;

  private constructor(
    net: NetNamespace,
    ports: readonly number[],
    sockets: Sockets,
    relay: Running,
  ) {
    this.#net = net;
    this.#ports = ports;
    this.#sockets = sockets;
    this.#relay = relay;
  }

  static async open(net: NetNamespace, cluster: KafkaCluster): Promise<WayToKafka> {
    const beyond = await net.neighbour();
    await layWay(net, beyond);
    const ports = cluster.nodes.map((node) => node.ports.proxy);
    await translate(net, ports);
    const sockets = new Sockets();
    for (const node of cluster.nodes) await sockets.lead(node.ports.proxy, node.ports.proxied);
    const relay = await startProcess(
      insideOf(beyond, {
        command: process.execPath,
        args: [join(import.meta.dirname, 'relay.ts'), sockets.folder, FAR, ...ports.map(String)],
      }),
    );
    await relay.waitFor(/relays/u);
    return new WayToKafka(net, ports, sockets, relay);
  }

  async swallow(what: 'all' | 'requests' | 'answers'): Promise<void> {
    if (what !== 'answers') await this.#net.swallowSent(REQUESTS);
    if (what !== 'requests') await this.#net.swallow(ANSWERS);
  }

  /** What a NAT does that forgot the connections that there are: new ones pass. */
  async forgetConnections(): Promise<number> {
    const { stdout } = await this.#net.run('ss', '-tnH', 'state', 'established');
    const far = new Set(this.#ports.map((port) => `127.0.0.1:${port}`));
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
    await this.#relay.kill();
    await this.#sockets.close();
  }
}

/** The two ends see each other. */
async function layWay(net: NetNamespace, beyond: Running): Promise<void> {
  const there = (...args: string[]): Promise<unknown> =>
    runChecked(insideOf(beyond, { command: 'ip', args }));
  const peer = ['type', 'veth', 'peer', 'name', 'gateway', 'netns', String(beyond.pid)];
  await net.run('ip', 'link', 'add', INTERFACE, ...peer);
  await there('addr', 'add', `${FAR}/24`, 'dev', 'gateway');
  await there('link', 'set', 'gateway', 'up');
  await net.run('ip', 'addr', 'add', `${NEAR}/24`, 'dev', INTERFACE);
  await net.run('ip', 'link', 'set', INTERFACE, 'up');
}

/** What is meant for these ports of loopback goes over the way. */
async function translate(net: NetNamespace, ports: readonly number[]): Promise<void> {
  // Else the kernel lets nothing from or to loopback over an interface.
  await net.run('sh', '-c', 'echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet');
  const rules = [
    'add table ip way',
    'add chain ip way out { type nat hook output priority -100 ; }',
    'add chain ip way home { type nat hook postrouting priority 100 ; }',
    `add rule ip way out ip daddr 127.0.0.1 tcp dport { ${ports.join(', ')} } dnat to ${FAR}`,
    `add rule ip way home oifname ${INTERFACE} masquerade`,
  ];
  for (const rule of rules) await net.run('nft', rule);
}
