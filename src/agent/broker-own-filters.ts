import { covers } from './acl-filter.ts';
import { emptyTable } from './broker-empty-table.ts';
import { TopicTree } from './broker-topic-tree.ts';

/** Up to here all are looked at: most clients have a few. */
const FEW = 16;

/**
 * What one client has subscribed to, by filter: an object, as aedes has it, beside which stands what finds those that
 * a topic matches. Looking through ten thousand for each message would be slower than everything else.
 */
class OwnFilters<T> implements ProxyHandler<Record<string, T>> {
  readonly #byFilter: Record<string, T>;
  #count = 0;
  /** Granted, and aedes has not noted them yet: those of a lasting session wait for the disk. */
  readonly #granted = new Set<string>();
  #tree: TopicTree<T> | undefined;

  constructor(byFilter: Record<string, T>) {
    this.#byFilter = byFilter;
  }

  set(_: Record<string, T>, filter: string, subscription: T): boolean {
    if (!Object.hasOwn(this.#byFilter, filter)) this.#count++;
    this.#granted.delete(filter);
    this.#byFilter[filter] = subscription;
    this.#tree?.set(filter, '', subscription);
    if (this.#tree === undefined && this.#count > FEW) this.#tree = treeOf(this.#byFilter);
    return true;
  }

  deleteProperty(_: Record<string, T>, filter: string): boolean {
    if (Object.hasOwn(this.#byFilter, filter)) this.#count--;
    Reflect.deleteProperty(this.#byFilter, filter);
    this.#tree?.delete(filter, '');
    return true;
  }

  /** False: there are so many. */
  grant(filter: string, most: number): boolean {
    if (Object.hasOwn(this.#byFilter, filter) || this.#granted.has(filter)) return true;
    if (this.#count + this.#granted.size >= most) return false;
    this.#granted.add(filter);
    return true;
  }

  /** Its SUBSCRIBE is answered: what is not here by now will not come. */
  answered(filter: string): void {
    this.#granted.delete(filter);
  }

  matching(topic: string): readonly T[] {
    return this.#tree === undefined ? amongFew(this.#byFilter, topic) : this.#tree.matching(topic);
  }
}

function treeOf<T>(byFilter: Readonly<Record<string, T>>): TopicTree<T> {
  const tree = new TopicTree<T>();
  for (const [filter, subscription] of Object.entries(byFilter)) tree.set(filter, '', subscription);
  return tree;
}

function amongFew<T>(byFilter: Readonly<Record<string, T>>, topic: string): T[] {
  const levels = topic.split('/');
  return Object.entries(byFilter).flatMap(([filter, subscription]) =>
    covers(filter.split('/'), levels) ? [subscription] : [],
  );
}

const known = new WeakMap<object, OwnFilters<unknown>>();

interface Subscriber<T> {
  subscriptions: Record<string, T>;
}

/** Before it subscribes; most clients never do. Names like `__proto__` are names. */
export function watchFilters<T>(client: Subscriber<T>): void {
  if (known.has(client.subscriptions)) return;
  const byFilter = emptyTable<T>();
  const filters = new OwnFilters(byFilter);
  client.subscriptions = new Proxy(byFilter, filters);
  known.set(client.subscriptions, filters);
}

/** May it be subscribed to, where so many may be? aedes notes it, or `answeredOwn` is called. */
export function grantOwn(
  subscriptions: Readonly<Record<string, unknown>>,
  filter: string,
  most: number,
): boolean {
  return known.get(subscriptions)?.grant(filter, most) ?? true;
}

export function answeredOwn(
  subscriptions: Readonly<Record<string, unknown>>,
  asked: readonly { readonly topic: string }[],
): void {
  const filters = known.get(subscriptions);
  for (const { topic } of asked) filters?.answered(topic);
}

/** Those of its subscriptions that the topic matches. */
export function matchingOwn<T>(
  subscriptions: Readonly<Record<string, T>>,
  topic: string,
): readonly T[] {
  const filters = known.get(subscriptions) as OwnFilters<T> | undefined;
  return filters?.matching(topic) ?? amongFew(subscriptions, topic);
}
