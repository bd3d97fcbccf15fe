import type { ProducerBook } from '../store/log.ts';
import { MARK_PREFIX, Qos2Session } from './broker-qos2.ts';
import { SlotBudget } from './broker-qos2-budget.ts';
import { HandshakeSlots } from './broker-qos2-slots.ts';
import type { SessionStore } from './broker-session-store.ts';
import type { Session } from './broker-session.ts';

/** Inbound QoS 2 of all sessions: of those that outlive their connections by the session's number. */
export class Qos2Sessions {
  readonly #store: SessionStore;
  readonly #producers: ProducerBook;
  /** Open messages of one session. */
  readonly #most: number;
  readonly #budget = new SlotBudget();
  readonly #lasting = new Map<string, Qos2Session>();
  /** Sequences in the log at the start, by session number and slot. */
  readonly #taken: ReadonlyMap<string, ReadonlyMap<number, number>>;

  constructor(store: SessionStore, producers: ProducerBook, most: number) {
    this.#store = store;
    this.#most = most;
    this.#producers = producers;
    this.#taken = bySession(producers.startingWith(MARK_PREFIX));
    const numbers = new Set([...store.sessions()].map((session) => session.number));
    for (const session of store.sessions()) this.#begin(session);
    for (const [session, slots] of this.#taken) {
      if (numbers.has(session)) continue;
      producers.forget([...slots.keys()].map((slot) => `${MARK_PREFIX}${session}/${slot}`));
    }
    store.onEnd((session) => this.#end(session));
  }

  /** The client's, if it has a session that outlived its last connection or will. */
  open(clientId: string): Qos2Session | undefined {
    const session = this.#store.session(clientId);
    if (session === undefined) return undefined;
    return this.#lasting.get(session.number) ?? this.#begin(session);
  }

  /** One for a session that ends with its connection; most devices never publish at QoS 2. */
  fleeting(): Qos2Session {
    return new Qos2Session(undefined, this.#most);
  }

  #begin(session: Session): Qos2Session {
    const { number, released, delivered } = session;
    const known = { taken: this.#taken.get(number) ?? new Map(), released, delivered };
    const names = { prefix: MARK_PREFIX, session: number };
    const slots = new HandshakeSlots(names, known, {
      journal: this.#store.journal,
      budget: this.#budget.share(() => session.owner),
      forget: (producers) => this.#producers.forget(producers),
    });
    const begun = new Qos2Session(slots, this.#most);
    this.#lasting.set(number, begun);
    return begun;
  }

  #end({ number }: Session): void {
    this.#lasting.get(number)?.slots?.end();
    this.#lasting.delete(number);
  }
}

function bySession(
  marks: Iterable<readonly [producer: string, sequence: number]>,
): Map<string, Map<number, number>> {
  const found = new Map<string, Map<number, number>>();
  for (const [producer, sequence] of marks) {
    const [session = '', slot = ''] = producer.slice(MARK_PREFIX.length).split('/');
    const slots = found.get(session) ?? new Map<number, number>();
    slots.set(Number(slot), sequence);
    found.set(session, slots);
  }
  return found;
}
