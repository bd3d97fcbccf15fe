import type { KafkaCluster } from '../kafka/cluster.ts';
import { API } from '../kafka/frames.ts';
import { type CutPoint, startTcpProxy, type TcpProxy } from '../tcp-proxy.ts';
import type { CutApi } from './faults.ts';
import { pause } from './wait.ts';

/** A request that another fault took away is waited for this long; then the next one is cut. */
const REARM_MS = 15_000;

/** The links between a gateway and the brokers: one proxy each. */
export class ProxiedLinks {
  readonly #proxies: ReadonlyMap<number, TcpProxy>;

  private constructor(proxies: ReadonlyMap<number, TcpProxy>) {
    this.#proxies = proxies;
  }

  static async start(cluster: KafkaCluster): Promise<ProxiedLinks> {
    const proxies = new Map<number, TcpProxy>();
    for (const { id, ports } of cluster.nodes) {
      proxies.set(id, await startTcpProxy({ targetPort: ports.proxied, listenPort: ports.proxy }));
    }
    return new ProxiedLinks(proxies);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#proxies.values()].map((proxy) => proxy.close()));
  }

  get brokers(): readonly number[] {
    return [...this.#proxies.keys()];
  }

  /** Resets what is open and refuses new connections, until `heal`. */
  async refuse(broker: number): Promise<void> {
    await this.#proxy(broker).setMode('refuse');
  }

  /** Resets what is open. */
  reset(broker: number): void {
    this.#proxy(broker).resetAll();
  }

  /** Holds bytes back both ways, until `heal`, when they arrive late. */
  async silence(broker: number): Promise<void> {
    await this.#proxy(broker).setMode('silent');
  }

  /** The brokers' sides are gone and the gateway never hears of it. */
  halfOpen(broker: number): void {
    this.#proxy(broker).halfOpenAll();
  }

  async heal(broker: number): Promise<void> {
    await this.#proxy(broker).setMode('open');
  }

  /** Cuts at the next request of that kind, on whichever link it comes; resolves when it did. */
  async cut(api: CutApi, point: CutPoint, withinMs: number): Promise<void> {
    const started = performance.now();
    while (performance.now() - started < withinMs) {
      if (await this.#cutOnce(api, point)) return;
    }
    throw new Error(`no ${api} came within ${withinMs} ms`);
  }

  async #cutOnce(api: CutApi, point: CutPoint): Promise<boolean> {
    const key = API[api];
    const cuts = [...this.#proxies.values()].map((proxy) =>
      proxy.cut(({ apiKey }) => apiKey === key, point),
    );
    const late = pause(REARM_MS).then(() => undefined);
    const hit = await Promise.race([late, ...cuts.map(({ done }) => done)]);
    for (const cut of cuts) cut.cancel();
    return hit !== undefined;
  }

  #proxy(broker: number): TcpProxy {
    const proxy = this.#proxies.get(broker);
    if (proxy === undefined) throw new Error(`no link to broker ${broker}`);
    return proxy;
  }
}
