import type { Clock, Timer } from '../../src/time.ts';

interface Waiting {
  readonly dueMs: number;
  readonly order: number;
  readonly task: () => void;
}

/**
 * Time that moves only when a test says so, and then straight to the next timer. Between two
 * timers everything that is ready runs to its end (`settle`), so a run is repeatable.
 */
export class SimClock implements Clock {
  #startMs: number;
  #elapsedMs = 0;
  #order = 0;
  readonly #waiting = new Set<Waiting>();

  constructor(startMs: number = Date.UTC(2026, 0, 1)) {
    this.#startMs = startMs;
  }

  nowMs(): number {
    return Math.floor(this.#startMs + this.#elapsedMs);
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  /** Somebody sets the wall clock. */
  set(wallMs: number): void {
    this.#startMs = wallMs - this.#elapsedMs;
  }

  after(delayMs: number, task: () => void): Timer {
    const entry = { dueMs: this.#elapsedMs + Math.max(0, delayMs), order: this.#order++, task };
    this.#waiting.add(entry);
    return { cancel: () => void this.#waiting.delete(entry) };
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted === true) {
        resolve();
        return;
      }
      const end = (): void => {
        signal?.removeEventListener('abort', end);
        timer.cancel();
        resolve();
      };
      const timer = this.after(delayMs, end);
      signal?.addEventListener('abort', end, { once: true });
    });
  }

  /** Lets everything that is ready run. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 3; turn++) {
      await new Promise<void>((resolve) => {
        setImmediate(resolve);
      });
    }
  }

  /** Moves to the next timer that is due within `limitMs` from now and fires it. */
  #step(untilMs: number): boolean {
    let next: Waiting | undefined;
    for (const entry of this.#waiting) {
      if (next === undefined || entry.dueMs < next.dueMs) next = entry;
    }
    if (next === undefined || next.dueMs > untilMs) return false;
    this.#waiting.delete(next);
    this.#elapsedMs = Math.max(this.#elapsedMs, next.dueMs);
    next.task();
    return true;
  }

  async advance(ms: number): Promise<void> {
    const untilMs = this.#elapsedMs + ms;
    await this.settle();
    while (this.#step(untilMs)) await this.settle();
    this.#elapsedMs = untilMs;
  }

  /** Runs until `reached` is true; throws when simulated time runs out first. */
  async until(reached: () => boolean, limitMs = 3_600_000): Promise<void> {
    const untilMs = this.#elapsedMs + limitMs;
    await this.settle();
    while (!reached()) {
      if (!this.#step(untilMs)) {
        throw new Error(
          `not reached within ${limitMs} simulated ms (or nothing was left to wait for)`,
        );
      }
      await this.settle();
    }
  }

  /** As `until`, for a promise. */
  async settled<T>(promise: Promise<T>, limitMs = 3_600_000): Promise<T> {
    let done = false;
    const mark = (): void => {
      done = true;
    };
    promise.then(mark, mark);
    await this.until(() => done, limitMs);
    return promise;
  }
}
