import type { FenceJudge } from './fencing.ts';
import type { Journal } from './journal.ts';
import type { TransactionClient } from './transaction.ts';

/** What of a client is used here. */
export type Initialised = Pick<TransactionClient, 'transactionalId' | 'unanswered' | 'initialise'>;

/**
 * Takes transactional ids over, several at once. Each is marked before, and stays marked while an
 * InitProducerId whose answer never came may still be carried out (fencing.ts): that fences us, across a
 * crash too, and must not be taken for a clone. One for all sessions of an upstream.
 */
export class Initialiser {
  readonly #journal: Journal;
  readonly #judge: FenceJudge;
  /** Being initialised, by how many at the moment. */
  readonly #pending = new Map<string, number>();
  #writing: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  constructor(journal: Journal, judge: FenceJudge) {
    this.#journal = journal;
    this.#judge = judge;
  }

  /** Kafka's error code. */
  async initialise(client: Initialised): Promise<number> {
    const { transactionalId } = client;
    this.#pending.set(transactionalId, (this.#pending.get(transactionalId) ?? 0) + 1);
    try {
      await this.#mark();
      return await client.initialise();
    } finally {
      const left = (this.#pending.get(transactionalId) ?? 0) - 1;
      if (left > 0) this.#pending.set(transactionalId, left);
      else this.#pending.delete(transactionalId);
      if (client.unanswered) this.#judge.noteUnanswered(transactionalId);
      // All together: marked for a little longer than need be costs nothing.
      if (this.#pending.size === 0) await this.#mark();
    }
  }

  /** Durable when resolved; calls of the same moment are one write. */
  #mark(): Promise<void> {
    this.#next ??= this.#writing
      .catch(() => {}) // Who asked for that one was told.
      .then(() => {
        this.#next = undefined;
        const ids = new Set([...this.#pending.keys(), ...this.#judge.unanswered]);
        this.#writing = this.#journal.markInitialising([...ids]);
        return this.#writing;
      });
    return this.#next;
  }
}
