interface Node {
  readonly children: Map<string, Node>;
  /** Subscriptions whose filter ends here. */
  count: number;
}

function node(): Node {
  return { children: new Map(), count: 0 };
}

/**
 * A multiset of topic filters, answering "does any match?" in time that grows with the topic's
 * levels and not with the number of filters: thousands of devices each listen to a topic of their
 * own. The `$` rule of MQTT 4.7.2 is left out, so it may say yes for a topic that begins with `$`.
 */
export class FilterTrie {
  readonly #root = node();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(filter: string): void {
    let at = this.#root;
    for (const level of filter.split('/')) {
      let next = at.children.get(level);
      if (next === undefined) {
        next = node();
        at.children.set(level, next);
      }
      at = next;
    }
    at.count++;
    this.#size++;
  }

  remove(filter: string): void {
    if (this.#removeBelow(this.#root, filter.split('/'), 0)) this.#size--;
  }

  matches(topic: string): boolean {
    return this.#size > 0 && matchesBelow(this.#root, topic.split('/'), 0);
  }

  /** False when the filter is not there. Leaves no empty nodes. */
  #removeBelow(at: Node, levels: readonly string[], index: number): boolean {
    const level = levels[index];
    if (level === undefined) {
      if (at.count === 0) return false;
      at.count--;
      return true;
    }
    const next = at.children.get(level);
    if (next === undefined || !this.#removeBelow(next, levels, index + 1)) return false;
    if (next.count === 0 && next.children.size === 0) at.children.delete(level);
    return true;
  }
}

function matchesBelow(at: Node, topic: readonly string[], index: number): boolean {
  // `a/#` matches `a` too [MQTT-4.7.1-2], so `#` is looked for before the end is.
  if (at.children.has('#')) return true;
  const level = topic[index];
  if (level === undefined) return at.count > 0;
  const same = at.children.get(level);
  if (same !== undefined && matchesBelow(same, topic, index + 1)) return true;
  const any = at.children.get('+');
  return any !== undefined && matchesBelow(any, topic, index + 1);
}
