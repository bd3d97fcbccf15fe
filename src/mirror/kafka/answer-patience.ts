import { MIRROR_LIMITS } from '../../mirror-limits.ts';
import { KAFKA_DEFAULTS } from './options.ts';

/**
 * For how long a session waits for an answer. A far side that always needs a little longer than
 * that would be hung up on for ever, each time with the work begun anew: so where two sessions in a
 * row ended over a missing answer and nothing was delivered in between, the next one waits twice as
 * long, up to a bound. Every session that delivers something, or whose probe was answered, takes a
 * step back. One black hole alone, or many with deliveries in between, make nothing slower.
 */
export class AnswerPatience {
  readonly #configuredMs: number;
  #lateSessions = 0;
  #wasLate = false;
  #progressed = false;

  constructor(configuredMs: number | undefined) {
    this.#configuredMs = configuredMs ?? KAFKA_DEFAULTS.requestTimeoutMs;
  }

  /** In ms, for a session that begins. */
  next(): number {
    if (this.#progressed) this.#lateSessions = Math.max(0, this.#lateSessions - 1);
    else if (this.#wasLate) this.#lateSessions = Math.min(this.#lateSessions + 1, MOST_STEPS + 1);
    this.#wasLate = false;
    this.#progressed = false;
    return this.#configuredMs * 2 ** Math.max(0, this.#lateSessions - 1);
  }

  /** A broker that took the connection did not answer in time. */
  noteLate(): void {
    this.#wasLate = true;
  }

  noteProgress(): void {
    this.#progressed = true;
  }
}

const MOST_STEPS = MIRROR_LIMITS.kafkaPatienceDoublings;
