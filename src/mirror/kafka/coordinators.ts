import type { Address } from './address.ts';
import type { Cluster, Coordinator, CoordinatorOf } from './cluster.ts';
import { CODE, isBusy, isMoved } from './codes.ts';
import type { KnownCluster } from './known-cluster.ts';

/**
 * Which broker coordinates the group and each transactional id, for everything in one session that
 * asks one: they must ask the same connection, or what they send would not arrive in order.
 */
export class Coordinators {
  readonly #cluster: Cluster;
  readonly #known: KnownCluster;
  readonly #found = new Map<string, Promise<Coordinator>>();
  readonly #current = new Map<string, Address>();

  /** `early`: questions that are on their way already, by `coordinatorName`. */
  constructor(
    cluster: Cluster,
    known: KnownCluster,
    early: ReadonlyMap<string, Promise<Coordinator>>,
  ) {
    this.#cluster = cluster;
    this.#known = known;
    for (const [name, asked] of early) this.#found.set(name, asked);
  }

  /** Where it is, if that was found already. */
  current(of: CoordinatorOf, key: string): Address | undefined {
    return this.#current.get(coordinatorName(of, key));
  }

  /** Kafka's error code, and the address when that is 0. */
  async find(of: CoordinatorOf, key: string): Promise<Coordinator> {
    const name = coordinatorName(of, key);
    const early = this.#found.get(name);
    if (early !== undefined) {
      const answer = await early;
      if (answer.code === CODE.none) return this.#keep(name, answer);
      if (!isBusy(answer.code) && !isMoved(answer.code)) return answer;
    }
    // Others may have asked meanwhile.
    let asking = this.#found.get(name);
    if (asking === undefined || asking === early) {
      asking = this.#cluster.coordinator(of, key);
      this.#found.set(name, asking);
    }
    const answer = await asking;
    if (answer.code === CODE.none) return this.#keep(name, answer);
    if (this.#found.get(name) === asking) this.#found.delete(name);
    return answer;
  }

  /** It is not there any more: to be looked for again. */
  moved(of: CoordinatorOf, key: string): void {
    this.#found.delete(coordinatorName(of, key));
    this.#current.delete(coordinatorName(of, key));
  }

  #keep(name: string, answer: Coordinator): Coordinator {
    this.#current.set(name, answer.address);
    this.#known.coordinators.set(name, answer.address);
    return answer;
  }
}

export function coordinatorName(of: CoordinatorOf, key: string): string {
  return `${of} ${key}`;
}
