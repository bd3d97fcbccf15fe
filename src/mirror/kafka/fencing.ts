import type { Clock } from '../../time.ts';

/**
 * Being fenced has four causes, and only one of them is another machine:
 * - the coordinator gave up our transaction after its timeout and raised the epoch itself;
 * - an InitProducerId of our own past, whose answer never came, was carried out late (a stalled
 *   broker or link that woke up);
 * - records that were exported from here are imported at the centre, under our name;
 * - a clone of this gateway runs somewhere with the same transactional id.
 *
 * The first three are told by what we did ourselves. An excuse is used once and grows stale, so that
 * two clones can't throw each other out for ever.
 */
export type FenceCause = 'timed-out' | 'own-past' | 'import' | 'clone';

/** However often connecting failed: two clones must not throw each other out for long. */
const MOST_EXCUSES = 2;
/** A request that old is not still sitting in a stalled broker's socket. */
const EXCUSE_LASTS_MS = 600_000;

export class FenceJudge {
  readonly #clock: Clock;
  #unanswered: number[] = [];
  #exports = 0;
  #excusedExports = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** An InitProducerId was sent and its answer will never be seen. */
  noteUnanswered(): void {
    this.#unanswered = [...this.#unanswered, this.#clock.monotonicMs()].slice(-MOST_EXCUSES);
  }

  /** So many exports were made here. Each excuses one import. */
  noteExports(count: number): void {
    this.#exports = count;
  }

  /** `openForMs`: how long our transaction was open, undefined when there was none. */
  judge(openForMs: number | undefined, transactionTimeoutMs: number): FenceCause {
    if (openForMs !== undefined && openForMs >= transactionTimeoutMs) return 'timed-out';
    const now = this.#clock.monotonicMs();
    this.#unanswered = this.#unanswered.filter((at) => now - at < EXCUSE_LASTS_MS);
    if (this.#unanswered.shift() !== undefined) return 'own-past';
    if (this.#excusedExports >= this.#exports) return 'clone';
    this.#excusedExports++;
    return 'import';
  }
}
