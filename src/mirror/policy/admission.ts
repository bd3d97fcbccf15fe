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
  /** A batch goes that is too large for it. */
  readonly onOverdrawn: (budget: Budget, cost: number) => void;
}

interface Begun {
  readonly cost: number;
  /** Those that bound it, while they wait for it. */
  readonly bound: Budget[];
}

/**
 * Lets batches begin as far as the budgets reach. What was begun is set aside until its receipt, so
 * that nothing ends in the middle; what would overdraw a budget is not begun, and ends the budget. What
 * is large beside a whole budget goes all the same, in any period that is not over: it can not be made smaller,
 * and would block what stands behind it.
 */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #cost = new WireCost();
  readonly #begun = new Map<MirrorBatch, Begun>();
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
    this.left();
    this.#begun.clear();
    this.#cost.begin(this.#options.wireBytes());
    this.#wake();
  }

  /** A session is about to end: no budget waits for what it has under way. */
  left(): void {
    for (const begun of this.#begun.values()) release(begun);
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
      const bound = this.#bound(classes);
      const short = bound.filter((budget) => !this.#isEnough(budget, cost));
      if (short.length === 0) {
        this.#begin(batch, cost, bound);
        await this.#options.book.secure(this.#setAside());
        return !signal.aborted;
      }
      if (this.#begun.size === 0) {
        for (const budget of short) budget.end();
        this.#options.onEnded();
        // None is where another period has begun meanwhile.
        if (short.some(({ isOver }) => isOver)) return false;
        continue;
      }
      await this.#settledOr(signal);
    }
    return false;
  }

  settled(batch: MirrorBatch): void {
    this.#options.settleAccounts();
    const begun = this.#begun.get(batch);
    if (begun !== undefined) release(begun);
    this.#begun.delete(batch);
    this.#cost.settled(batch.bytes, this.#options.wireBytes(), this.#begun.size === 0);
    this.#wake();
  }

  #bound(classes: ReadonlySet<TopicClass>): Budget[] {
    return this.#options.book.budgets.filter(
      ({ rule }) => ![...classes].every((one) => rule.exempt.includes(one)),
    );
  }

  #isEnough(budget: Budget, cost: number): boolean {
    const rest = this.#restOf(budget);
    return rest >= cost || (budget.isTooSmallFor(cost) && rest > 0 && !budget.isOver);
  }

  #begin(batch: MirrorBatch, cost: number, bound: Budget[]): void {
    for (const budget of bound) {
      const beyond = cost - this.#restOf(budget);
      budget.begin(beyond);
      if (beyond > 0) this.#options.onOverdrawn(budget, cost);
    }
    this.#begun.set(batch, { cost, bound });
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
    for (const { cost } of this.#begun.values()) bytes += cost;
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

function release({ bound }: Begun): void {
  for (const budget of bound.splice(0)) budget.settle();
}
