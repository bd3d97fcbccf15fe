import type { AedesClient, AedesInner } from './broker-aedes.ts';
import type { SessionPersistence, WantedRetained } from './broker-persistence.ts';
import type { PublishOrder } from './broker-publish-order.ts';

/**
 * Retained messages that answer SUBSCRIBE, beside those that are delivered meanwhile: what came since the
 * subscription holds is delivered as it comes, and would be sent a second time, after newer ones. And who reads
 * slowly is not sent what was replaced since.
 */
export class RetainedAnswers {
  readonly #persistence: SessionPersistence;
  readonly #order: Pick<PublishOrder, 'emitted'>;
  /** By the function that delivers: number of the last message before it was listened for. */
  readonly #listening = new WeakMap<object, number>();
  /** By client and filter: number of the last message before it was asked for. */
  readonly #asked = new WeakMap<object, Map<string, number>>();
  /** Of the SUBSCRIBE that aedes answers next, by filter: the last message that was not delivered through it. */
  #answered: ReadonlyMap<string, number> = new Map();

  constructor(persistence: SessionPersistence, order: Pick<PublishOrder, 'emitted'>) {
    this.#persistence = persistence;
    this.#order = order;
    persistence.wantedRetained = () => this.#wanted();
  }

  watch(inner: AedesInner): void {
    const subscribe = inner.subscribe.bind(inner);
    inner.subscribe = (topic, deliver, done) => {
      this.#listening.set(deliver, this.#order.emitted);
      subscribe(topic, deliver, done);
    };
  }

  /** The client asks for a filter, and gets it. */
  asked(client: AedesClient, filter: string): void {
    if (client.subscriptions[filter] === undefined) return; // it is listened for from later on
    const filters = this.#asked.get(client) ?? new Map<string, number>();
    this.#asked.set(client, filters.set(filter, this.#order.emitted));
  }

  /** Its subscriptions hold: aedes asks for the retained messages now. */
  subscribed(client: AedesClient, asked: readonly { readonly topic: string }[]): void {
    const filters = this.#asked.get(client);
    this.#answered = new Map(
      asked.map(({ topic }) => {
        const { func } = client.subscriptions[topic] ?? {};
        const listening = func === undefined ? 0 : (this.#listening.get(func) ?? 0);
        // Who asks for what it has is answered with what came before that.
        return [topic, Math.max(listening, filters?.get(topic) ?? 0)];
      }),
    );
    for (const { topic } of asked) filters?.delete(topic);
  }

  /** It was replaced, or taken back, since it was looked for: that is delivered. */
  isPast({ topic, payload }: { readonly topic: string; readonly payload?: unknown }): boolean {
    if (topic.startsWith('$SYS/')) return false; // the broker's own, made when it is asked for
    return this.#persistence.store.retained.get(topic)?.payload !== payload;
  }

  /**
   * Whether a retained message is to be sent for one of the filters that aedes asks for now: not what is delivered
   * anyway.
   */
  #wanted(): WantedRetained {
    const own = this.#persistence.broker?.id;
    const answered = this.#answered;
    this.#answered = new Map();
    return (filter, { brokerId, brokerCounter }) =>
      brokerId !== own || brokerCounter <= (answered.get(filter) ?? Infinity);
  }
}
