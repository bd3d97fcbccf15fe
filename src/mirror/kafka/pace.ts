import { MIRROR_LIMITS } from '../../mirror-limits.ts';
import type { Clock } from '../../time.ts';
import type { LinkPace } from '../upstream.ts';

/** Requests of a transaction that wait for each other: begin, produce, end. */
const ROUND_TRIPS = 3;

/**
 * How fast the link is, by the transactions that went over it. Several travel at once, so what one
 * took says little: the link was busy with a batch from the answer to the batch before it, or from
 * its own sending when that came later, until its own answer; of the latter a round trip is none of
 * the link's work, and another one may be TCP's, when something of it was lost on the way.
 */
export class Pace {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  /** The least that a small request took. */
  #roundTripMs = Number.POSITIVE_INFINITY;
  #answeredMs = Number.NEGATIVE_INFINITY;

  /** `timeoutMs`: of the transactions. */
  constructor(clock: Clock, timeoutMs: number) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  /** Times a request that carries next to nothing. */
  async ofSmall(request: Promise<void>): Promise<void> {
    const sentMs = this.#clock.monotonicMs();
    await request;
    this.#roundTripMs = Math.min(this.#roundTripMs, this.#clock.monotonicMs() - sentMs);
  }

  /** Times a batch; to be called in send order, when it is sent; its transaction was begun before. */
  async ofBatch(answers: Promise<unknown>, begunMs: number): Promise<LinkPace> {
    const sentMs = this.#clock.monotonicMs();
    await answers;
    const nowMs = this.#clock.monotonicMs();
    const tripMs = Number.isFinite(this.#roundTripMs) ? this.#roundTripMs : 0;
    const answeredMs = this.#answeredMs;
    const since = (fromMs: number): number => Math.max(nowMs - Math.max(fromMs, answeredMs), 0);
    this.#answeredMs = nowMs;
    const leastMs = since(sentMs + 2 * tripMs);
    return {
      leastMs,
      mostMs: since(sentMs + tripMs),
      idleMs: ROUND_TRIPS * tripMs,
      tripMs,
      isAlone: answeredMs <= sentMs,
      underWayMs: nowMs + tripMs - begunMs,
      tooLongMs: this.#timeoutMs * MIRROR_LIMITS.timeoutShare,
      answeredMs: nowMs,
    };
  }
}
