import type { Zone } from '../../calendar.ts';
import { messageOf } from '../../errors.ts';
import { LINK_LIMITS } from '../../link-limits.ts';
import type { KeyValue } from '../../store/log.ts';
import type { Logger } from '../../telemetry.ts';
import { between, Budget, type BudgetRule, type StoredBudget } from './budget.ts';

const KEY = 'budgets';

type Stored = Readonly<Record<string, StoredBudget>>;

export interface BudgetBookOptions {
  readonly space: KeyValue;
  readonly rules: readonly BudgetRule[];
  readonly zone: Zone;
  readonly logger: Logger;
}

/**
 * Keeps the use of all budgets of a link across restarts. What stands on disk is ahead of what was
 * used, so a crash counts too much by what was booked ahead and never too little: only what comes in
 * or goes out beside the batches between two ticks may be missing.
 */
export class BudgetBook {
  readonly budgets: readonly Budget[];
  readonly #space: KeyValue;
  readonly #logger: Logger;
  readonly #aheadBytes: number;
  /** What may be used before it must be stored again. */
  #left = 0;
  #writing: Promise<void> | undefined;

  private constructor(options: BudgetBookOptions, stored: Stored) {
    const { space, rules, zone, logger } = options;
    this.#space = space;
    this.#logger = logger;
    this.budgets = rules.map((rule) => new Budget(rule, zone, stored[nameOf(rule)]));
    const smallest = Math.min(...rules.map(({ bytes }) => bytes));
    const { budgetAheadShare, budgetAheadBytesMin, budgetAheadBytesMax } = LINK_LIMITS;
    this.#aheadBytes = between(
      smallest * budgetAheadShare,
      budgetAheadBytesMin,
      budgetAheadBytesMax,
    );
  }

  static async load(options: BudgetBookOptions): Promise<BudgetBook> {
    return new BudgetBook(options, options.rules.length === 0 ? {} : await storedIn(options.space));
  }

  /** Reads anew what stands there: who had the link before may have used it until now. */
  async begin(): Promise<void> {
    if (this.budgets.length === 0) return;
    const stored = await storedIn(this.#space);
    for (const budget of this.budgets) {
      const known = stored[nameOf(budget.rule)];
      if (known !== undefined) budget.restore(known);
    }
  }

  look(nowMs: number | undefined): void {
    for (const budget of this.budgets) budget.look(nowMs);
  }

  charge(bytes: number): void {
    if (this.budgets.length === 0 || bytes === 0) return;
    for (const budget of this.budgets) budget.charge(bytes);
    this.#left -= bytes;
    if (this.#left < this.#aheadBytes / 2) this.#store(this.#aheadBytes).catch(() => {});
  }

  /** Durable when resolved: `bytes` more may be used. Rejects when it could not be stored. */
  async secure(bytes: number): Promise<void> {
    if (this.budgets.length === 0) return;
    await this.#writing?.catch(() => {});
    // One that was begun meanwhile booked less.
    while (this.#left < bytes) await this.#store(bytes + this.#aheadBytes);
  }

  /** Writes what was really used. */
  async close(): Promise<void> {
    if (this.budgets.length === 0) return;
    await this.#writing?.catch(() => {});
    await this.#store(0).catch(() => {});
  }

  #store(ahead: number): Promise<void> {
    this.#writing ??= this.#write(ahead).finally(() => {
      this.#writing = undefined;
    });
    return this.#writing;
  }

  async #write(ahead: number): Promise<void> {
    const stored = Object.fromEntries(
      this.budgets.map((budget) => [nameOf(budget.rule), budget.stored(ahead)]),
    );
    const before = this.#left;
    // What is charged meanwhile is taken off what was booked ahead.
    this.#left = ahead;
    try {
      await this.#space.put(KEY, Buffer.from(JSON.stringify(stored)));
    } catch (error) {
      this.#left += before - ahead;
      this.#logger.warn(
        { event: 'mirror.budget-store', error: messageOf(error) },
        `the use of the budget could not be stored: ${messageOf(error)}`,
      );
      throw error;
    }
  }
}

async function storedIn(space: KeyValue): Promise<Stored> {
  const bytes = await space.get(KEY);
  return bytes === undefined ? {} : (JSON.parse(Buffer.from(bytes).toString('utf8')) as Stored);
}

/** A budget that is made larger or smaller goes on; one of other periods is another. */
function nameOf({ per, resets }: BudgetRule): string {
  return `${per} ${resets}`;
}
