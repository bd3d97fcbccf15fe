/**
 * The one user of Date and of timers in the product; everything else is handed a Clock, so that a
 * simulation decides what time it is and when a wait ends.
 */
export interface Timer {
  /** Stops the timer; calling it again, or after it fired, does nothing. */
  cancel(): void;
}

export interface Clock {
  /** Wall clock, milliseconds since 1970 (may jump both ways). For record timestamps. */
  nowMs(): number;
  /** Monotonic milliseconds since some fixed moment, with fractions. For durations. */
  monotonicMs(): number;
  /** Calls `task` once, `delayMs` from now. The timer does not keep the process alive. */
  after(delayMs: number, task: () => void): Timer;
  /** Resolves `delayMs` from now, or at once when `signal` aborts (it never rejects). */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

function sleepWith(after: Clock['after'], delayMs: number, signal?: AbortSignal): Promise<void> {
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
    const timer = after(delayMs, end);
    signal?.addEventListener('abort', end, { once: true });
  });
}

const systemAfter: Clock['after'] = (delayMs, task) => {
  const handle = setTimeout(task, delayMs);
  handle.unref();
  return { cancel: () => clearTimeout(handle) };
};

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after: systemAfter,
  sleep: (delayMs, signal) => sleepWith(systemAfter, delayMs, signal),
};

/**
 * Until the next beat of so many ms, which is the same for everybody who looks that often: looks that need not be
 * at a moment of their own wake the processor together. Half a beat at least, so that a timer that fired early does
 * not fire twice.
 */
export function untilBeat(clock: Pick<Clock, 'monotonicMs'>, everyMs: number): number {
  const leftMs = everyMs - (clock.monotonicMs() % everyMs);
  return leftMs < everyMs / 2 ? leftMs + everyMs : leftMs;
}

/** The kernel's CLOCK_MONOTONIC in microseconds, which other processes of this boot read alike. */
export function kernelMonotonicUs(): bigint {
  return process.hrtime.bigint() / 1000n;
}

/** As libraries want it that know calendars and time zones. */
export function dateOf(ms: number): Date {
  return new Date(ms);
}

/** ISO 8601 in UTC, for messages and logs. */
export function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}

/** Milliseconds since 1970 of an ISO 8601 time, or undefined when it is none. */
export function parseIsoTime(text: string): number | undefined {
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? undefined : ms;
}

/**
 * Keeps the process alive until cancelled. A Clock's timers do not, so whoever awaits one while
 * nothing else is open (an agent that drains) must hold this.
 */
export function holdProcess(): Timer {
  const handle = setInterval(() => {}, 2_147_483_647);
  return { cancel: () => clearInterval(handle) };
}
