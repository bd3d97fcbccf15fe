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
  /** The most that later periods save for batches that were too large for this one. */
  readonly owed?: number;
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
  #accounts: OpenAccount[] = [];
  #unsure = 0;
  #period: Period | undefined;
  /** Held until the next period: the rest was too little for what had to be sent. */
  #isOver = false;
  #isSure = false;
  /** Batches that it bounds, begun and not settled. */
  #underWay = 0;

  constructor(rule: BudgetRule, zone: Zone, stored: StoredBudget = NOTHING) {
    this.rule = rule;
    this.#zone = zone;
    this.restore(stored);
  }

  /** Before it is looked at and charged. */
  restore(stored: StoredBudget): void {
    this.#accounts = stored.accounts.map((account) => ({ owed: 0, ...account }));
    this.#unsure = stored.unsure;
    if (this.#accounts.length === 0) this.#accounts = [{ startMs: null, used: 0, owed: 0 }];
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
    this.#endUsedUp();
  }

  /**
   * Whether a batch at this cost is not to wait for a period in which it fits: there may never be one. It
   * goes in any that has something left.
   */
  isTooSmallFor(cost: number): boolean {
    return cost > this.rule.bytes * LINK_LIMITS.budgetLargeShare;
  }

  /**
   * A batch that it bounds is under way: what was begun ends, so the budget is over only after it. What it
   * takes beyond what is left, later periods save.
   */
  begin(beyondBytes: number): void {
    this.#underWay++;
    if (beyondBytes > 0) this.#account.owed += beyondBytes;
  }

  /** It was settled, or its session is over. */
  settle(): void {
    this.#underWay--;
    this.#endUsedUp();
  }

  /** Nothing more is begun in this period that is not exempt. */
  end(): void {
    this.#isOver = true;
  }

  get isOver(): boolean {
    return this.#isOver || this.#isUsedUp;
  }

  get usedBytes(): number {
    return this.#account.used;
  }

  get leftBytes(): number {
    return this.rule.bytes - this.#account.used;
  }

  /** A batch took more than was left, in this period or before it, and that is not saved yet. */
  get isOverdrawn(): boolean {
    return this.#account.owed > 0;
  }

  /** undefined while the time was never known. */
  get period(): Period | undefined {
    return this.#period;
  }

  /** With `ahead` booked already, which may be used before this is stored again. */
  stored(ahead: number): StoredBudget {
    const last = this.#accounts.length - 1;
    const accounts = this.#accounts.map(({ startMs, used, owed }, index) => ({
      startMs,
      used: Math.round(index === last ? used + ahead : used),
      ...(owed > 0 && { owed: Math.round(owed) }),
    }));
    return { accounts, unsure: Math.round(this.#isSure ? this.#unsure : this.#unsure + ahead) };
  }

  get #isUsedUp(): boolean {
    return this.leftBytes <= 0 && this.#underWay === 0;
  }

  #endUsedUp(): void {
    if (this.#isUsedUp) this.#isOver = true;
  }

  get #account(): OpenAccount {
    const last = this.#accounts.at(-1);
    if (last !== undefined) return last;
    const first = { startMs: null, used: 0, owed: 0 };
    this.#accounts.push(first);
    return first;
  }

  #enter(period: Period): void {
    this.#period = period;
    const before = this.#account;
    if (before.startMs !== period.startMs) {
      const known = this.#accounts.find(({ startMs }) => startMs === period.startMs);
      const owed = this.#owedIn(period);
      const account = known ?? { startMs: period.startMs, used: owed, owed };
      account.used += this.#unsure;
      // Of what was used while nobody knew the time, all counts here.
      if (before.startMs === null) account.owed += before.owed;
      const others = this.#accounts.filter((one) => one !== account && one.startMs !== null);
      this.#accounts = [...others, account].slice(-LINK_LIMITS.budgetPeriods);
      this.#isOver = false;
    }
    this.#unsure = 0;
  }

  /** What the last period before this one took beyond its budget, less what those between could save. */
  #owedIn({ startMs, endMs }: Period): number {
    const earlier = this.#accounts.filter((one) => (one.startMs ?? Infinity) < startMs);
    const last = earlier.toSorted((one, other) => (one.startMs ?? 0) - (other.startMs ?? 0)).at(-1);
    if (last === undefined || last.startMs === null) return 0;
    const passed = Math.round((startMs - last.startMs) / (endMs - startMs)) - 1;
    const owed = Math.min(last.owed, last.used - this.rule.bytes);
    return Math.max(0, owed - passed * this.rule.bytes);
  }
}

type OpenAccount = { -readonly [Key in keyof Account]-?: Account[Key] };

export function between(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most);
}
