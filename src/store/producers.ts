import { LIMITS } from '../limits.ts';

/**
 * The last sequence of every producer that appends idempotently. What is written and what only
 * waits are kept apart, so that a failed commit forgets exactly its own. Beyond the bound the
 * producer that was silent longest is forgotten.
 */
export class Producers {
  readonly #committed = new Map<string, number>();
  readonly #pending = new Map<string, number>();
  #changed = new Map<string, number>();

  last(producer: string): number {
    return this.#pending.get(producer) ?? this.#committed.get(producer) ?? -1;
  }

  note(producer: string, sequence: number): void {
    this.#pending.set(producer, sequence);
  }

  commit(producers: Iterable<readonly [string, number]>): void {
    for (const [producer, sequence] of producers) {
      this.restore(producer, sequence);
      this.#changed.set(producer, sequence);
      if (this.#pending.get(producer) === sequence) this.#pending.delete(producer);
    }
  }

  /** As `commit`, for what a checkpoint holds already. */
  restore(producer: string, sequence: number): void {
    this.#committed.delete(producer);
    this.#committed.set(producer, sequence);
    if (this.#committed.size <= LIMITS.producers) return;
    for (const oldest of this.#committed.keys()) {
      this.#committed.delete(oldest);
      break;
    }
  }

  /**
   * On opening. What no checkpoint of the log holds, the next one has to: those after it point to it,
   * and one before it knows older sequences.
   */
  restoreAll(producers: Iterable<readonly [string, number]>, isHeld: boolean): void {
    if (!isHeld) this.commit(producers);
    else for (const [producer, sequence] of producers) this.restore(producer, sequence);
  }

  forgetPending(): void {
    this.#pending.clear();
  }

  all(): [string, number][] {
    return [...this.#committed];
  }

  /** Those changed since the last checkpoint. */
  changed(): [string, number][] {
    return [...this.#changed];
  }

  /** A checkpoint holds what was changed. */
  checkpointed(): void {
    this.#changed = new Map();
  }
}
