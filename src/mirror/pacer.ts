import { LIMITS } from '../limits.ts';
import type { Random } from '../random.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import { formatDuration } from '../units.ts';
import { type BackoffLimits, backoffMs } from './backoff.ts';

export interface PacerOptions {
  readonly name: string;
  readonly backoff?: BackoffLimits;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

const BACKOFF: BackoffLimits = { firstMs: LIMITS.backoffFirstMs, maxMs: LIMITS.backoffMaxMs };

/** How long to wait after each failure in a row, and how loudly to say so. */
export class Pacer {
  readonly #options: PacerOptions;
  readonly #limits: BackoffLimits;
  #attempt = 0;
  #lastFailure = '';
  #waiting: AbortController | undefined;
  #standsSinceMs: number | undefined;

  constructor(options: PacerOptions) {
    this.#options = options;
    this.#limits = options.backoff ?? BACKOFF;
  }

  /** Something got through: the next failure is the first again. */
  succeeded(): void {
    this.#attempt = 0;
    this.#lastFailure = '';
  }

  /** A session stands. */
  stands(): void {
    this.#standsSinceMs = this.#options.clock.monotonicMs();
  }

  /**
   * The session is over, or none came about. One that outlived the longest wait was a good one, even
   * if it had nothing to send; the time until one stood says nothing good.
   */
  over(): void {
    const sinceMs = this.#standsSinceMs;
    this.#standsSinceMs = undefined;
    if (sinceMs === undefined) return;
    if (this.#options.clock.monotonicMs() - sinceMs > this.#limits.maxMs) this.#attempt = 0;
  }

  /** Something changed that may let the next try through: it is made now, and is the first again. */
  hurry(): void {
    this.#attempt = 0;
    this.#waiting?.abort();
  }

  async wait(
    failure: string,
    signal: AbortSignal,
    announce: (waitMs: number) => void,
  ): Promise<void> {
    const { name, clock, random, logger } = this.#options;
    const attempt = this.#attempt++;
    const waitMs = backoffMs(attempt, this.#limits, random);
    announce(waitMs);
    // The same trouble again is news only now and then.
    const isNews = failure !== this.#lastFailure || Number.isInteger(Math.log2(attempt + 1));
    this.#lastFailure = failure;
    logger[isNews ? 'warn' : 'debug'](
      { event: 'mirror.retry', mirror: name, attempt, waitMs },
      `mirror ${name}: ${failure}; next try in ${formatDuration(waitMs)}`,
    );
    this.#waiting = new AbortController();
    await clock.sleep(waitMs, AbortSignal.any([signal, this.#waiting.signal]));
    this.#waiting = undefined;
  }
}
