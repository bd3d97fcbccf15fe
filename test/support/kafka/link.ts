import type { Shape } from '../tcp-pipe.ts';
import { type LinkMode, type LinkWitness, startTcpProxy, type TcpProxy } from '../tcp-proxy.ts';
import type { KafkaCluster } from './cluster.ts';
import { API, type ApiName } from './frames.ts';
import { type Cut, type CutPoint, KafkaRequests } from './requests.ts';

/**
 * The way to the cluster's `proxied` listener: one proxy a broker, at the addresses that the
 * brokers advertise there. One at a time for a cluster (the ports are fixed).
 */
export class KafkaLink {
  readonly #proxies: ReadonlyMap<number, TcpProxy>;
  readonly #requests: KafkaRequests;

  constructor(proxies: ReadonlyMap<number, TcpProxy>, requests: KafkaRequests) {
    this.#proxies = proxies;
    this.#requests = requests;
  }

  proxy(node: number): TcpProxy {
    const proxy = this.#proxies.get(node);
    if (proxy === undefined) throw new Error(`no node ${node}`);
    return proxy;
  }

  #some(nodes: readonly number[] | undefined): TcpProxy[] {
    return nodes === undefined
      ? [...this.#proxies.values()]
      : nodes.map((node) => this.proxy(node));
  }

  /** For the given nodes, or all. */
  async setMode(mode: LinkMode, nodes?: readonly number[]): Promise<void> {
    await Promise.all(this.#some(nodes).map((proxy) => proxy.setMode(mode)));
  }

  setShape(shape: Shape, nodes?: readonly number[]): void {
    for (const proxy of this.#some(nodes)) proxy.setShape(shape);
  }

  resetAll(nodes?: readonly number[]): void {
    for (const proxy of this.#some(nodes)) proxy.resetAll();
  }

  halfOpenAll(nodes?: readonly number[]): void {
    for (const proxy of this.#some(nodes)) proxy.halfOpenAll();
  }

  /** Requests of this kind seen on their way to any node. */
  requests(api: ApiName): number {
    return this.#requests.count(API[api]);
  }

  /** Cuts the next request of this kind, whichever node it goes to, once. */
  cut(api: ApiName, point: CutPoint): Cut {
    return this.#requests.cut((request) => request.apiKey === API[api], point);
  }

  async close(): Promise<void> {
    await Promise.all(this.#some(undefined).map((proxy) => proxy.close()));
  }
}

export async function openKafkaLink(
  cluster: KafkaCluster,
  witness?: LinkWitness,
): Promise<KafkaLink> {
  const requests = new KafkaRequests();
  const proxies = new Map<number, TcpProxy>();
  try {
    for (const { id, ports } of cluster.nodes) {
      const where = { listenPort: ports.proxy, targetPort: ports.proxied };
      proxies.set(id, await startTcpProxy({ ...where, requests, ...(witness && { witness }) }));
    }
  } catch (error) {
    await Promise.all([...proxies.values()].map((proxy) => proxy.close()));
    throw error;
  }
  return new KafkaLink(proxies, requests);
}
