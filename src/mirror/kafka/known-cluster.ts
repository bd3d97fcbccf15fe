import type { Address } from './address.ts';

/**
 * What the sessions of this process have learned of their cluster, so that the next one opens its
 * connections in parallel and asks everything at once. Guesses, every one of them: each is asked
 * for again by the session that uses it, in the same round trip, and gives way to the answer.
 */
export class KnownCluster {
  /** The broker that answered the last session's first question. */
  seed: Address | undefined;
  /** Brokers that the last session asked, and those that it sent records to. */
  brokers: readonly Address[] = [];
  leaders: readonly Address[] = [];
  /** By `coordinatorName`. */
  readonly coordinators: Map<string, Address> = new Map();
  /** Numbers of the transactional ids that exist besides the first; see ring.ts. */
  lanes: readonly number[] = [];
  /** A broker of this cluster answers DescribeConfigs in the version that we speak. */
  tellsConfigs = false;
  /** TLS sessions by `addressName`: resuming one spares the certificates, with TLS 1.2 a round trip. */
  readonly tlsSessions: Map<string, Buffer> = new Map();
}
