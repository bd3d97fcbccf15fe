import { LIMITS } from '../limits.ts';
import type { AedesClient, AedesInner, AedesPersistence, Deliver } from './broker-aedes.ts';
import { FilterTrie } from './broker-filter-trie.ts';
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
  #generation = 0;

  watch(inner: AedesInner): void {
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
  }

  /** Live and kept ones together are at their bound. */
  get full(): boolean {
    return this.#filters.size >= LIMITS.subscriptions;
  }

  /** Nobody is or will be interested in this topic. */
  quiet(entry: TopicEntry): boolean {
    if (this.#filters.size === 0) return true;
    if (entry.quietAt === this.#generation) return true;
    if (this.#filters.matches(entry.mqttTopic)) return false;
    entry.quietAt = this.#generation;
    return true;
  }

  #watchKept(persistence: AedesPersistence): void {
    const add = persistence.addSubscriptions.bind(persistence);
    const remove = persistence.removeSubscriptions.bind(persistence);
    const clean = persistence.cleanSubscriptions.bind(persistence);
    persistence.addSubscriptions = (client, subs) => {
      for (const { topic } of subs) this.#keep(client.id, topic);
      return add(client, subs);
    };
    persistence.removeSubscriptions = async (client, topics) => {
      await remove(client, topics);
      for (const topic of topics) this.#unkeep(client.id, topic);
    };
    persistence.cleanSubscriptions = async (client) => {
      await clean(client);
      for (const topic of this.#kept.get(client.id) ?? []) this.#unkeep(client.id, topic);
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
    this.#filters.add(filter);
    this.#generation++;
  }

  #remove(filter: string): void {
    this.#filters.remove(filter);
    this.#generation++;
  }
}

/** The highest QoS that the client's subscriptions to this topic allow [MQTT-3.3.4-2]. */
export function grantedQos(client: AedesClient, topic: string): Qos {
  const levels = topic.split('/');
  let highest: Qos = 0;
  for (const [filter, { qos }] of Object.entries(client.subscriptions)) {
    if (qos > highest && levelsMatch(filter.split('/'), levels)) highest = qos;
  }
  return highest;
}

function levelsMatch(filter: readonly string[], topic: readonly string[]): boolean {
  for (const [index, level] of filter.entries()) {
    if (level === '#') return true;
    if (index >= topic.length) return false;
    if (level !== '+' && level !== topic[index]) return false;
  }
  return filter.length === topic.length;
}
