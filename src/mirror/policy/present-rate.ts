import { LINK_LIMITS } from '../../link-limits.ts';
import type { Clock } from '../../time.ts';

/** The rate over the last ticks, from a count that is looked at now and then. */
export class PresentRate {
  readonly #clock: Clock;
  readonly #seen: { readonly atMs: number; readonly bytes: number }[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  note(bytes: number): void {
    this.#seen.push({ atMs: this.#clock.monotonicMs(), bytes });
    if (this.#seen.length > LINK_LIMITS.rateShownTicks) this.#seen.shift();
  }

  get bitsPerSecond(): number {
    const [first] = this.#seen;
    const last = this.#seen.at(-1);
    if (first === undefined || last === undefined || last.atMs <= first.atMs) return 0;
    const perMs = Math.max(0, last.bytes - first.bytes) / (last.atMs - first.atMs);
    return Math.round(perMs * 8000);
  }
}
