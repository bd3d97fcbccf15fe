import type { OwnRecords, Place } from './own-records.ts';
import type { Publication } from './publication.ts';
import type { Item, Sending } from './sending.ts';

interface First {
  readonly sending: Sending;
  readonly item: Item;
  readonly publication: Publication;
}

/** What was waited for has come. */
export interface Answered {
  /** Pending until the answers are noted. */
  readonly proved: Promise<void>;
  /** Of each of the first records; one that had several stands there as often. */
  readonly sendings: readonly Sending[];
}

/**
 * The first records of partitions, which go before the rest: all that are at hand go together, and
 * nothing else until every one of them was answered and that is noted.
 */
export class FirstRecords {
  readonly #own: OwnRecords;
  #toSend: First[] = [];
  readonly #unanswered = new Set<Item>();
  #proved: Place[] = [];
  #sendings: Sending[] = [];
  #noting = false;

  constructor(own: OwnRecords) {
    this.#own = own;
  }

  /** Some wait to be noted, sent or answered. */
  get pending(): boolean {
    return this.#noting || this.#unanswered.size > 0;
  }

  /** They may be sent when this has resolved. */
  async begin(firsts: readonly First[]): Promise<void> {
    for (const { item } of firsts) this.#unanswered.add(item);
    await this.#own.tries(
      firsts.map(({ item: { place, record } }) => ({ place, offset: record.offset })),
    );
    this.#toSend = [...firsts];
  }

  /** The next to be sent. */
  next(): First | undefined {
    return this.#toSend.shift();
  }

  has(item: Item): boolean {
    return this.#unanswered.has(item);
  }

  /** undefined while others are waited for. */
  answered(item: Item, sending: Sending, isProof: boolean): Answered | undefined {
    this.#unanswered.delete(item);
    this.#sendings.push(sending);
    if (isProof) this.#proved.push(item.place);
    if (this.#unanswered.size > 0) return undefined;
    const sendings = this.#sendings;
    this.#sendings = [];
    return { proved: this.#prove(), sendings };
  }

  async #prove(): Promise<void> {
    this.#noting = true;
    await this.#own.proved(this.#proved);
    this.#proved = [];
    this.#noting = false;
  }
}
