import type { Zone } from '../../calendar.ts';
import { LINK_LIMITS } from '../../link-limits.ts';
import type { TopicClass } from '../selection.ts';
import { periodAt, type Period, type PeriodRule } from './period.ts';

export interface BudgetRule extends PeriodRule {
  /** On the wire, both ways. */
  readonly bytes: number;
  /** What they send is counted, and never held back. */
  readonly exempt: readonly TopicClass[];
}

/** What was used in one period; without a start it is not known which. */
export interface Account {
  readonly startMs: number | null;
  readonly used: number;
}

/** What outlives a restart. */
export interface StoredBudget {
  /** The one that is booked on last. */
  readonly accounts: readonly Account[];
  /** Of the last account, what was used while nobody knew the time. */
  readonly unsure: number;
}

const NOTHING: StoredBudget = { accounts: [], unsure: 0 };

/**
 * What may go over a link in a period. Periods go by time that is to be relied on: while nobody
 * knows the time the period stays as it is, and goes on being used. Each period has its own account,
 * also when the clock comes back to it, so that a clock which jumps ahead and back makes no period
 * twice. What is used while the time is not known counts in the period that it turns out to be, too.
 */
export class Budget {
  readonly rule: BudgetRule;
  readonly #zone: Zone;
  #accounts: { startMs: number | null; used: number }[];
  #unsure: number;
  #period: Period | undefined;
  /** Held until the next period: the rest was too little for what had to be sent. */
  #isOver = false;
  #isSure = false;

  constructor(rule: BudgetRule, zone: Zone, stored: StoredBudget = NOTHING) {
    this.rule = rule;
    this.#zone = zone;
    this.#accounts = stored.accounts.map((account) => ({ ...account }));
    this.#unsure = stored.unsure;
    if (this.#accounts.length === 0) this.#accounts = [{ startMs: null, used: 0 }];
  }

  /** undefined: nobody knows the time. */
  look(nowMs: number | undefined): void {
    this.#isSure = nowMs !== undefined;
    if (nowMs === undefined) return;
    const period = this.#period;
    if (period !== undefined && nowMs >= period.startMs && nowMs < period.endMs) return;
    this.#enter(periodAt(this.rule, this.#zone, nowMs));
  }

  charge(bytes: number): void {
    const account = this.#account;
    const used = Math.max(0, account.used + bytes);
    if (!this.#isSure) this.#unsure = Math.max(0, this.#unsure + used - account.used);
    account.used = used;
    if (this.leftBytes <= 0) this.#isOver = true;
  }

  /** Nothing more is begun in this period that is not exempt. */
  end(): void {
    this.#isOver = true;
  }

  get isOver(): boolean {
    return this.#isOver || this.leftBytes <= 0;
  }

  get usedBytes(): number {
    return this.#account.used;
  }

  get leftBytes(): number {
    return this.rule.bytes - this.#account.used;
  }

  /** undefined while the time was never known. */
  get period(): Period | undefined {
    return this.#period;
  }

  /** With `ahead` booked already, which may be used before this is stored again. */
  stored(ahead: number): StoredBudget {
    const last = this.#accounts.length - 1;
    const accounts = this.#accounts.map(({ startMs, used }, index) => ({
      startMs,
      used: Math.round(index === last ? used + ahead : used),
    }));
    return { accounts, unsure: Math.round(this.#isSure ? this.#unsure : this.#unsure + ahead) };
  }

  get #account(): { startMs: number | null; used: number } {
    const last = this.#accounts.at(-1);
    if (last !== undefined) return last;
    const first = { startMs: null, used: 0 };
    this.#accounts.push(first);
    return first;
  }

  #enter(period: Period): void {
    this.#period = period;
    const before = this.#account;
    if (before.startMs !== period.startMs) {
      const known = this.#accounts.find(({ startMs }) => startMs === period.startMs);
      const account = known ?? { startMs: period.startMs, used: 0 };
      account.used += this.#unsure;
      const others = this.#accounts.filter((one) => one !== account && one.startMs !== null);
      this.#accounts = [...others, account].slice(-LINK_LIMITS.budgetPeriods);
      this.#isOver = false;
    }
    this.#unsure = 0;
  }
}

export function between(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most);
}
