import { assert } from '../assert.ts';
import { LIMITS } from '../limits.ts';
import { DAY_MS } from '../units.ts';
import type { StoreConfig } from './config-types.ts';

export interface WearBudgetOptions {
  readonly budgetBytesPerDay: number;
  /** What is waited while there is enough left; and the most that is ever waited. */
  readonly lingerMs: number;
  readonly maxLingerMs: number;
}

/**
 * How long a commit may wait for company so that the day's writes stay within a budget. An
 * allowance fills evenly through the day up to LIMITS.wearBurstShare of the budget, and what is
 * written empties it. Above half of that the configured wait holds; below, the wait grows with
 * what is missing, on a scale of ratios, up to the most allowed at nothing left.
 *
 * The wait follows from the level alone, and the level is the sum of what came in and went out:
 * longer waits mean less written, so the level comes to rest where both are equal, from one side,
 * without swinging; and a table that LevelDB writes at once moves it by little. As the allowance
 * fills by (1 − share) of the budget a day, no 24 hours exceed the budget while waiting helps.
 */
export class WearBudget {
  readonly #options: WearBudgetOptions;
  readonly #roomBytes: number;
  #leftBytes: number;

  constructor(options: WearBudgetOptions) {
    assert(
      options.lingerMs <= options.maxLingerMs,
      'the configured wait is within the most allowed',
    );
    this.#options = options;
    this.#roomBytes = options.budgetBytesPerDay * LIMITS.wearBurstShare;
    this.#leftBytes = this.#roomBytes;
  }

  /** Share of the allowance that is left, from 0 to 1. */
  get level(): number {
    return Math.max(0, this.#leftBytes / this.#roomBytes);
  }

  restore(level: number): void {
    this.#leftBytes = Math.min(1, Math.max(0, level)) * this.#roomBytes;
  }

  /** `ms` passed, in which so many bytes were written. */
  spend(ms: number, bytes: number): void {
    const perMs = (this.#options.budgetBytesPerDay * (1 - LIMITS.wearBurstShare)) / DAY_MS;
    const left = this.#leftBytes + ms * perMs - bytes;
    // Debt is remembered only so far that it is paid back within one more allowance.
    this.#leftBytes = Math.max(-this.#roomBytes, Math.min(this.#roomBytes, left));
  }

  /** Whole milliseconds, at least the configured wait and never more than the most allowed. */
  lingerMs(): number {
    const { lingerMs, maxLingerMs } = this.#options;
    const heat = 1 - Math.min(1, this.level * 2);
    const least = Math.max(1, lingerMs);
    if (heat === 0 || maxLingerMs <= least) return lingerMs;
    return Math.min(maxLingerMs, Math.round(least * (maxLingerMs / least) ** heat));
  }
}

/** undefined where none is configured. */
export function wearBudgetOf({ lingerMs, wear }: StoreConfig): WearBudget | undefined {
  const { budgetBytes: budgetBytesPerDay, maxLatencyMs: maxLingerMs } = wear;
  if (budgetBytesPerDay === undefined) return undefined;
  return new WearBudget({ budgetBytesPerDay, lingerMs, maxLingerMs });
}
