import type { Clock } from '../../time.ts';

/**
 * Being fenced has three causes, and only one of them is another machine:
 * - the coordinator gave up our transaction after its timeout and raised the epoch itself;
 * - an InitProducerId of our own past, whose answer never came, was carried out late (a stalled
 *   broker or link that woke up);
 * - a clone of this gateway runs somewhere with the same transactional id.
 *
 * The first two are told by what we did ourselves. An excuse is used once and grows stale, so that
 * two clones can't throw each other out for ever.
 */
export type FenceCause = 'timed-out' | 'own-past' | 'clone';

/** However often connecting failed: two clones must not throw each other out for long. */
const MOST_EXCUSES = 2;
/** A request that old is not still sitting in a stalled broker's socket. */
const EXCUSE_LASTS_MS = 600_000;

export class FenceJudge {
  readonly #clock: Clock;
  #unanswered: number[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** An InitProducerId was sent and its answer will never be seen. */
  noteUnanswered(): void {
    this.#unanswered = [...this.#unanswered, this.#clock.monotonicMs()].slice(-MOST_EXCUSES);
  }

  /** `openForMs`: how long our transaction was open, undefined when there was none. */
  judge(openForMs: number | undefined, transactionTimeoutMs: number): FenceCause {
    if (openForMs !== undefined && openForMs >= transactionTimeoutMs) return 'timed-out';
    const now = this.#clock.monotonicMs();
    this.#unanswered = this.#unanswered.filter((at) => now - at < EXCUSE_LASTS_MS);
    return this.#unanswered.shift() === undefined ? 'clone' : 'own-past';
  }
}
