import { CLIENT_BOUNDS } from '../client-limits.ts';
import type { Clock } from '../time.ts';

/** So much a second, and what was not used of the last second. What is taken beyond it is owed. */
export class TokenBucket {
  readonly #perMs: number;
  readonly #most: number;
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  #left: number;
  #atMs: number;

  constructor(perSecond: number, clock: Pick<Clock, 'monotonicMs'>) {
    this.#perMs = perSecond / 1000;
    this.#most = this.#perMs * CLIENT_BOUNDS.burstMs;
    this.#clock = clock;
    this.#left = this.#most;
    this.#atMs = clock.monotonicMs();
  }

  take(count: number): void {
    this.#refill();
    this.#left -= count;
  }

  /** Takes one, if there is one. */
  admits(): boolean {
    this.#refill();
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }

  /** Until nothing is owed. */
  waitMs(): number {
    this.#refill();
    return this.#left >= 0 ? 0 : -this.#left / this.#perMs;
  }

  get full(): boolean {
    this.#refill();
    return this.#left === this.#most;
  }

  #refill(): void {
    const nowMs = this.#clock.monotonicMs();
    this.#left = Math.min(this.#most, this.#left + (nowMs - this.#atMs) * this.#perMs);
    this.#atMs = nowMs;
  }
}
