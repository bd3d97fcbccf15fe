/** How long something took, counted by bounds: what a Prometheus histogram is made of. */
export interface LatencyCounts {
  /** How often it took at most LATENCY_BOUNDS_MS[i], and longer than the bound before; the last: longer than all. */
  readonly counts: readonly number[];
  readonly totalMs: number;
}

/** From a fast SSD to a card that is being collected; the last is where devices begin to repeat. */
export const LATENCY_BOUNDS_MS: readonly number[] = [
  0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000,
];

/** Nothing is kept of a single value. */
export class LatencyMeter {
  readonly #counts: number[] = Array.from({ length: LATENCY_BOUNDS_MS.length + 1 }, () => 0);
  #totalMs = 0;

  observe(ms: number): void {
    let at = 0;
    while (at < LATENCY_BOUNDS_MS.length && ms > (LATENCY_BOUNDS_MS[at] ?? Infinity)) at++;
    this.#counts[at] = (this.#counts[at] ?? 0) + 1;
    this.#totalMs += ms;
  }

  status(): LatencyCounts {
    return { counts: [...this.#counts], totalMs: this.#totalMs };
  }
}
