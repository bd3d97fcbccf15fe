import { LINK_LIMITS } from '../../link-limits.ts';
import type { MirrorBatch } from '../mirror-cursor.ts';
import type { TopicClass } from '../selection.ts';
import type { Budget } from './budget.ts';
import type { BudgetBook } from './budget-book.ts';
import { WireCost } from './wire-cost.ts';

export interface AdmissionOptions {
  readonly book: BudgetBook;
  /** Bytes on the wire so far, as of now. */
  readonly wireBytes: () => number;
  /** Books what went by since it was asked last. */
  readonly settleAccounts: () => void;
  /** A budget has ended: who holds back what must be thought over. */
  readonly onEnded: () => void;
}

/**
 * Lets batches begin as far as the budgets reach. What was begun is set aside until its receipt, so
 * that nothing ends in the middle; what would overdraw a budget is not begun, and ends the budget.
 */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #cost = new WireCost();
  readonly #begun = new Map<MirrorBatch, number>();
  #wake: () => void = () => {};

  constructor(options: AdmissionOptions) {
    this.#options = options;
  }

  /** What a batch may hold, as read from the log. */
  batchBytes(bytesPerSecond: number | undefined): number {
    const { rateBatchMs, policyBatchBytesMin } = LINK_LIMITS;
    const rated = bytesPerSecond === undefined ? Infinity : (bytesPerSecond * rateBatchMs) / 1000;
    const wire = Math.min(rated, this.#roomBytes() * LINK_LIMITS.budgetBatchShare);
    if (wire === Infinity) return Infinity;
    return Math.max(this.#cost.bytesFor(wire), policyBatchBytesMin);
  }

  /** A session begins: what another one left unanswered is on the account, as far as it was sent. */
  reset(): void {
    this.#begun.clear();
    this.#cost.begin(this.#options.wireBytes());
    this.#wake();
  }

  /**
   * Whether the batch may go. What it will cost is durably booked then. Waits for receipts where
   * those may leave enough. Rejects when it could not be booked.
   */
  async admit(
    batch: MirrorBatch,
    classes: ReadonlySet<TopicClass>,
    signal: AbortSignal,
  ): Promise<boolean> {
    const cost = this.#cost.of(batch.bytes);
    while (!signal.aborted) {
      this.#options.settleAccounts();
      const short = this.#bound(classes).filter((budget) => this.#restOf(budget) < cost);
      if (short.length === 0) {
        this.#begun.set(batch, cost);
        await this.#options.book.secure(this.#setAside());
        return !signal.aborted;
      }
      if (this.#begun.size === 0) {
        for (const budget of short) budget.end();
        this.#options.onEnded();
        return false;
      }
      await this.#settledOr(signal);
    }
    return false;
  }

  settled(batch: MirrorBatch): void {
    this.#options.settleAccounts();
    this.#begun.delete(batch);
    this.#cost.settled(batch.bytes, this.#options.wireBytes(), this.#begun.size === 0);
    this.#wake();
  }

  #bound(classes: ReadonlySet<TopicClass>): Budget[] {
    return this.#options.book.budgets.filter(
      ({ rule }) => ![...classes].every((one) => rule.exempt.includes(one)),
    );
  }

  #restOf(budget: Budget): number {
    return budget.leftBytes - this.#setAside();
  }

  /** A budget that is used up bounds nothing here: only what is exempt goes on then. */
  #roomBytes(): number {
    this.#options.settleAccounts();
    const rests = this.#options.book.budgets
      .filter(({ isOver }) => !isOver)
      .map((budget) => this.#restOf(budget));
    return Math.min(Infinity, ...rests);
  }

  #setAside(): number {
    let bytes = 0;
    for (const cost of this.#begun.values()) bytes += cost;
    return bytes;
  }

  #settledOr(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        signal.removeEventListener('abort', wake);
        this.#wake = () => {};
        resolve();
      };
      this.#wake = wake;
      signal.addEventListener('abort', wake, { once: true });
    });
  }
}
