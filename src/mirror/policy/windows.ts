import type { Zone } from '../../calendar.ts';
import { CronMoments } from '../../cron.ts';
import { DAY_MS } from '../../units.ts';
import type { TopicClass } from '../selection.ts';

/** A time in which something may be sent. */
export interface WindowRule {
  /** Cron expression of five fields: when it opens. */
  readonly from: string;
  /** How long it is open. */
  readonly forMs: number;
  /** Who waits for it; undefined: everything. */
  readonly classes: readonly TopicClass[] | undefined;
}

export interface WindowState {
  readonly rule: WindowRule;
  /** undefined: it is closed. */
  readonly openUntilMs: number | undefined;
  /** When it opens next; undefined: nobody knows the time, or it never does. */
  readonly opensMs: number | undefined;
}

/** Whether a class may be sent. */
export interface Opening {
  readonly isOpen: boolean;
  /** When that changes; undefined: nobody knows. */
  readonly untilMs: number | undefined;
}

/**
 * Times in which classes may be sent. A class that no window names is always free; one that several
 * name needs any of them. Windows go by time that is to be relied on: while nobody knows the time
 * none is open.
 */
export class Windows {
  readonly #windows: readonly Window[];

  constructor(rules: readonly WindowRule[], zone: Zone) {
    this.#windows = rules.map((rule) => new Window(rule, zone));
  }

  look(nowMs: number | undefined): void {
    for (const window of this.#windows) window.look(nowMs);
  }

  states(): readonly WindowState[] {
    return this.#windows.map(({ state }) => state);
  }

  /** undefined: no window is about this class. */
  of(topicClass: TopicClass): Opening | undefined {
    const states = this.states().filter(
      ({ rule }) => rule.classes === undefined || rule.classes.includes(topicClass),
    );
    if (states.length === 0) return undefined;
    const open = states.filter(({ openUntilMs }) => openUntilMs !== undefined);
    if (open.length > 0) {
      return { isOpen: true, untilMs: Math.max(...open.map((one) => one.openUntilMs ?? 0)) };
    }
    const opens = states.flatMap(({ opensMs }) => (opensMs === undefined ? [] : [opensMs]));
    return { isOpen: false, untilMs: opens.length === 0 ? undefined : Math.min(...opens) };
  }
}

class Window {
  readonly #rule: WindowRule;
  readonly #moments: CronMoments;
  #state: WindowState;
  /** From when until when the state holds. */
  #sinceMs = 0;
  #untilMs = 0;

  constructor(rule: WindowRule, zone: Zone) {
    this.#rule = rule;
    this.#moments = new CronMoments(rule.from, zone);
    this.#state = { rule, openUntilMs: undefined, opensMs: undefined };
  }

  get state(): WindowState {
    return this.#state;
  }

  look(nowMs: number | undefined): void {
    if (nowMs === undefined) {
      this.#state = { rule: this.#rule, openUntilMs: undefined, opensMs: undefined };
      this.#untilMs = 0;
      return;
    }
    // Searching costs: a state holds until its end, unless the clock goes back.
    if (nowMs >= this.#untilMs || nowMs < this.#sinceMs) this.#search(nowMs);
  }

  #search(nowMs: number): void {
    const { forMs } = this.#rule;
    const last = this.#moments.last(nowMs, forMs);
    const isOpen = last !== undefined && nowMs < last + forMs;
    this.#sinceMs = isOpen ? last : nowMs;
    const openUntilMs = isOpen ? last + forMs : undefined;
    const opensMs = this.#moments.next(nowMs);
    this.#untilMs = openUntilMs ?? opensMs ?? nowMs + DAY_MS;
    this.#state = { rule: this.#rule, openUntilMs, opensMs };
  }
}
