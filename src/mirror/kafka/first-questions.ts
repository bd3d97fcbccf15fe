import { findCoordinatorV3 } from '@platformatic/kafka';
import { must } from '../../assert.ts';
import type { Coordinator, CoordinatorOf } from './cluster.ts';
import { coordinatorName } from './coordinators.ts';
import { isSameAddress } from './address.ts';
import type { KnownCluster } from './known-cluster.ts';
import type { Address } from './address.ts';
import type { Links, Versions } from './links.ts';
import { askPositions, type PositionsAnswer, type PositionsQuestion } from './offset-fetch.ts';
import { askTimeLimits, type TimeLimits } from './time-bounds.ts';

/**
 * What a session asks besides the metadata, all of it behind the first request and on the same
 * connection, so that it costs no round trip: on a long link each is half a second and more. What
 * fails here is asked again in the ordinary way by who needs it.
 */
export interface Wanted {
  readonly coordinators: readonly (readonly [CoordinatorOf, string])[];
  readonly timeTopics: readonly string[];
  /** Asked of the broker that coordinated the group last: it most likely still does. */
  readonly glance: PositionsQuestion | undefined;
}

export class FirstQuestions {
  readonly versions: Promise<Versions>;
  readonly coordinators: ReadonlyMap<string, Promise<Coordinator>>;
  /** undefined: it is not known whether this cluster's brokers know the request. */
  readonly timeLimits: Promise<ReadonlyMap<string, TimeLimits>> | undefined;
  readonly #glance: { readonly of: Address; readonly answer: Promise<PositionsAnswer> } | undefined;

  constructor(links: Links, broker: Address, wanted: Wanted, known: KnownCluster) {
    this.versions = quiet(links.versions(broker));
    this.coordinators = new Map(
      wanted.coordinators.map(([of, key]) => [
        coordinatorName(of, key),
        quiet(askCoordinator(links, broker, of, key)),
      ]),
    );
    if (known.tellsConfigs) this.timeLimits = askTimeLimits(links, broker, wanted.timeTopics);
    const { glance } = wanted;
    const of = glance && known.coordinators.get(coordinatorName('group', glance.group));
    if (glance === undefined || of === undefined) return;
    this.#glance = { of, answer: quiet(askPositions(links, of, glance)) };
  }

  /** The early answer, when it came from the one who is to be asked; undefined: ask again. */
  async glanceFrom(coordinator: Address): Promise<PositionsAnswer | undefined> {
    const glance = this.#glance;
    if (glance === undefined || !isSameAddress(glance.of, coordinator)) return undefined;
    return glance.answer.catch(() => undefined);
  }
}

async function askCoordinator(
  links: Links,
  broker: Address,
  of: CoordinatorOf,
  key: string,
): Promise<Coordinator> {
  const { api } = findCoordinatorV3;
  const { coordinators } = await links.call(broker, api, of === 'group' ? 0 : 1, [key]);
  const found = must(coordinators[0], 'FindCoordinator answers for the key asked for');
  return { code: found.errorCode, address: { host: found.host, port: found.port } };
}

/** Whoever awaits it hears of its failure; nobody has to. */
function quiet<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}
