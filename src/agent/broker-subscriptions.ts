import { LIMITS } from '../limits.ts';
import type {
  AedesClient,
  AedesInner,
  Deliver,
  SubscriptionRef,
  WatchedPersistence,
} from './broker-aedes.ts';
import { FilterTrie } from './broker-filter-trie.ts';
import { matchingOwn } from './broker-own-filters.ts';
import { matchedFilter } from './broker-share-filter.ts';
import type { SessionStore } from './broker-session-store.ts';
import type { TopicEntry } from './ingest-topics.ts';
import type { Qos } from './publication.ts';

/**
 * Knows who might want a message, so that one that nobody wants costs nothing: aedes would wrap,
 * look up and emit each. Counts every filter that is subscribed live (`broker.subscribe`) or kept
 * for a session without a connection (`persistence`), and answers per MQTT topic, remembered in
 * its entry until any subscription changes.
 *
 * Sound because it errs to one side: a filter counts from before aedes acts on it until after it
 * is gone, and matching here ignores the `$` rule, so it may say "somebody" for nobody, never the
 * other way.
 */
export class Subscriptions {
  readonly #filters = new FilterTrie();
  readonly #kept = new Map<string, Set<string>>();
  readonly #granted = new WeakSet<SubscriptionRef>();
  /** Filters that begin with `$SYS/`. */
  #system = 0;
  #generation = 0;

  /** `store`: with what sessions had subscribed when we were started. */
  watch(inner: AedesInner, store: SessionStore): void {
    const subscribe = inner.subscribe.bind(inner);
    const unsubscribe = inner.unsubscribe.bind(inner);
    inner.subscribe = (topic: string, deliver: Deliver, done?: () => void) => {
      this.#add(topic);
      subscribe(topic, deliver, done);
    };
    inner.unsubscribe = (topic: string, deliver: Deliver, done?: () => void) => {
      unsubscribe(topic, deliver, () => {
        this.#remove(topic);
        done?.();
      });
    };
    this.#watchKept(inner.persistence);
    for (const { clientId, subscriptions } of store.sessions()) {
      for (const filter of subscriptions.keys()) this.#keep(clientId, filter);
    }
    store.onEnd(({ clientId }) => {
      for (const topic of this.#kept.get(clientId) ?? []) this.#unkeep(clientId, topic);
    });
  }

  /** It may be kept: aedes hands over the whole SUBSCRIBE as soon as one of its filters is allowed. */
  granted(subscription: SubscriptionRef): void {
    this.#granted.add(subscription);
  }

  /** Live and kept ones together are at their bound. */
  get full(): boolean {
    return this.#filters.size >= LIMITS.subscriptions;
  }

  /** Somebody wants what the broker tells of itself. */
  get wantsSystem(): boolean {
    return this.#system > 0;
  }

  /** Nobody is or will be interested in this topic. */
  quiet(entry: TopicEntry): boolean {
    if (this.#filters.size === 0) return true;
    if (entry.quietAt === this.#generation) return true;
    if (this.#filters.matches(entry.mqttTopic)) return false;
    entry.quietAt = this.#generation;
    return true;
  }

  #watchKept(persistence: WatchedPersistence): void {
    const add = persistence.addSubscriptions.bind(persistence);
    const remove = persistence.removeSubscriptions.bind(persistence);
    persistence.addSubscriptions = (client, subs) => {
      const granted = subs.filter((one) => this.#granted.has(one));
      for (const { topic } of granted) this.#keep(client.id, topic);
      return add(client, granted);
    };
    persistence.removeSubscriptions = async (client, topics) => {
      await remove(client, topics);
      for (const topic of topics) this.#unkeep(client.id, topic);
    };
  }

  #keep(clientId: string, topic: string): void {
    const topics = this.#kept.get(clientId) ?? new Set<string>();
    if (topics.has(topic)) return;
    topics.add(topic);
    this.#kept.set(clientId, topics);
    this.#add(topic);
  }

  #unkeep(clientId: string, topic: string): void {
    const topics = this.#kept.get(clientId);
    if (topics?.delete(topic) !== true) return;
    if (topics.size === 0) this.#kept.delete(clientId);
    this.#remove(topic);
  }

  #add(filter: string): void {
    const matched = matchedFilter(filter);
    this.#filters.add(matched);
    if (matched.startsWith('$SYS/')) this.#system++;
    this.#generation++;
  }

  #remove(filter: string): void {
    const matched = matchedFilter(filter);
    this.#filters.remove(matched);
    if (matched.startsWith('$SYS/')) this.#system--;
    this.#generation++;
  }
}

/**
 * Identifiers of all of the client's subscriptions to this topic [MQTT-3.3.4-4]: aedes tells of one. Not of
 * shared ones, which have messages of their own.
 */
export function identifiersFor(client: AedesClient, topic: string): number[] {
  const found = matchingOwn(client.subscriptions, topic);
  return [...new Set(found.flatMap(({ si }) => si ?? []))];
}

/** The highest QoS that the client's subscriptions to this topic allow [MQTT-3.3.4-2]. */
export function grantedQos(client: AedesClient, topic: string): Qos {
  let highest: Qos = 0;
  for (const { qos } of matchingOwn(client.subscriptions, topic)) if (qos > highest) highest = qos;
  return highest;
}
