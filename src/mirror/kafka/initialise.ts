import type { FenceJudge } from './fencing.ts';
import type { Journal } from './journal.ts';
import type { TransactionClient } from './transaction.ts';

/**
 * Takes transactional ids over, several at once. Marked before and after, so that an
 * InitProducerId whose answer never came is remembered across a crash too: carried out late it
 * fences us, and that must not be taken for a clone.
 */
export class Initialiser {
  readonly #journal: Journal;
  readonly #judge: FenceJudge;
  #marked: Promise<void> = Promise.resolve();
  #pending = 0;
  #isOneUnanswered = false;

  constructor(journal: Journal, judge: FenceJudge) {
    this.#journal = journal;
    this.#judge = judge;
  }

  /** Kafka's error code. */
  async initialise(client: TransactionClient): Promise<number> {
    if (this.#pending++ === 0) this.#marked = this.#journal.markInitialising();
    try {
      await this.#marked;
      return await client.initialise();
    } finally {
      this.#pending--;
      if (client.unanswered) {
        this.#isOneUnanswered = true;
        this.#judge.noteUnanswered();
      } else if (this.#pending === 0 && !this.#isOneUnanswered) {
        await this.#journal.clearInitialising();
      }
    }
  }
}
