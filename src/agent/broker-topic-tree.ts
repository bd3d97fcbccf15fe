/** A node of topics or filters, one level each. */
class Level<T> {
  readonly below = new Map<string, Level<T>>();
  readonly here = new Map<string, T>();
}

/**
 * Values under topics or under topic filters, each with a name of its own. `matching` looks from a
 * topic for the filters that it matches, `under` from a filter for the topics: both in time that
 * grows with what is looked at, not with what there is.
 */
export class TopicTree<T> {
  readonly #root = new Level<T>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  set(topic: string, name: string, value: T): void {
    let level = this.#root;
    for (const part of topic.split('/')) {
      let next = level.below.get(part);
      if (next === undefined) level.below.set(part, (next = new Level()));
      level = next;
    }
    if (!level.here.has(name)) this.#size++;
    level.here.set(name, value);
  }

  delete(topic: string, name: string): void {
    this.#deleteBelow(this.#root, topic.split('/'), 0, name);
  }

  /** Values of the filters that the topic matches. */
  matching(topic: string): T[] {
    const found: T[] = [];
    gatherFilters(this.#root, topic.split('/'), 0, found);
    return found;
  }

  /**
   * Values of the topics that the filter matches, one after the other as they are asked for, and `undefined` after
   * every so many levels that were looked at: it may be all of them, for nothing.
   */
  under(filter: string): Generator<T | undefined> {
    return new TopicWalk<T>(filter.split('/')).from(this.#root, 0);
  }

  /** Leaves no empty levels. */
  #deleteBelow(level: Level<T>, parts: readonly string[], at: number, name: string): void {
    const part = parts[at];
    if (part === undefined) {
      if (level.here.delete(name)) this.#size--;
      return;
    }
    const next = level.below.get(part);
    if (next === undefined) return;
    this.#deleteBelow(next, parts, at + 1, name);
    if (next.here.size === 0 && next.below.size === 0) level.below.delete(part);
  }
}

function gatherFilters<T>(level: Level<T>, topic: readonly string[], at: number, found: T[]): void {
  // [MQTT-4.7.2-1]: a wildcard at the front matches no topic that begins with `$`.
  const wild = at > 0 || topic[0]?.startsWith('$') !== true;
  // `a/#` matches `a` too [MQTT-4.7.1-2], so `#` is looked for before the end is.
  if (wild) gatherHere(level.below.get('#'), found);
  const part = topic[at];
  if (part === undefined) {
    gatherHere(level, found);
    return;
  }
  const any = wild ? level.below.get('+') : undefined;
  if (any !== undefined) gatherFilters(any, topic, at + 1, found);
  const same = level.below.get(part);
  if (same !== undefined) gatherFilters(same, topic, at + 1, found);
}

/** One by one: of a hundred thousand at once the call stack has no place. */
function gatherHere<T>(level: Level<T> | undefined, found: T[]): void {
  for (const value of level?.here.values() ?? []) found.push(value);
}

/** Levels between two pauses of a walk. */
const LEVELS_AT_ONCE = 256;

class TopicWalk<T> {
  readonly #filter: readonly string[];
  #levels = 0;

  constructor(filter: readonly string[]) {
    this.#filter = filter;
  }

  *from(level: Level<T>, at: number): Generator<T | undefined> {
    if (this.#isPauseDue()) yield undefined;
    const part = this.#filter[at];
    if (part === undefined || (part === '#' && at > 0)) yield* level.here.values();
    if (part === '#' || part === '+') {
      for (const [name, below] of level.below) {
        // [MQTT-4.7.2-1]
        if (at === 0 && name.startsWith('$')) continue;
        yield* part === '#' ? this.#all(below) : this.from(below, at + 1);
      }
    } else if (part !== undefined) {
      const same = level.below.get(part);
      if (same !== undefined) yield* this.from(same, at + 1);
    }
  }

  *#all(level: Level<T>): Generator<T | undefined> {
    if (this.#isPauseDue()) yield undefined;
    yield* level.here.values();
    for (const below of level.below.values()) yield* this.#all(below);
  }

  #isPauseDue(): boolean {
    this.#levels++;
    return this.#levels % LEVELS_AT_ONCE === 0;
  }
}
