import type { Clock } from '../../time.ts';
import type { Taker } from './import-mark.ts';

/**
 * Being fenced has four causes, and only one of them is another machine:
 * - the coordinator gave up our transaction after its timeout and raised the epoch itself;
 * - an InitProducerId of our own past, whose answer never came, was carried out late (a stalled
 *   broker or link that woke up);
 * - records that were exported from here are imported at the centre, under our name;
 * - a clone of this gateway runs somewhere with the same transactional id.
 *
 * The first two are told by what we did ourselves. An excuse is for one transactional id, is used once
 * and grows stale, so that two clones can't throw each other out for ever. An import is told by the far
 * side (import-mark.ts), and is one only where something was exported. For one id: a gateway takes over
 * several at once, of coordinators on different brokers, and what one of them carries out late says
 * nothing of the others.
 */
export type FenceCause = 'timed-out' | 'own-past' | 'import' | 'clone';

/** Of one transactional id, however often connecting failed: two clones must not throw each other out for long. */
const MOST_EXCUSES = 2;
/**
 * Of the files of one export, where the brokers can't tell who took an id: they may be broken off, begun
 * again, and come once more from another stick.
 */
const IMPORTS_OF_EXPORT = 3;
/** A request that old is not still sitting in a stalled broker's socket. */
const EXCUSE_LASTS_MS = 600_000;

export class FenceJudge {
  readonly #clock: Clock;
  readonly #exports: () => Promise<number>;
  /** When, by transactional id. */
  readonly #unanswered = new Map<string, readonly number[]>();
  #excusedImports = 0;
  /** In this session one was. */
  #isImported = false;

  /** `exports`: so many were made here by now. */
  constructor(clock: Clock, exports: () => Promise<number>) {
    this.#clock = clock;
    this.#exports = exports;
  }

  /** A session begins: what was taken from the one before is ours again. */
  begin(): void {
    this.#isImported = false;
  }

  /** An InitProducerId was sent and its answer will never be seen. */
  noteUnanswered(transactionalId: string): void {
    const excuses = [...this.#excusesOf(transactionalId), this.#clock.monotonicMs()];
    this.#unanswered.set(transactionalId, excuses.slice(-MOST_EXCUSES));
  }

  /** Ids of which an InitProducerId of ours may still be carried out. */
  get unanswered(): string[] {
    return [...this.#unanswered.keys()].filter((id) => this.#excusesOf(id).length > 0);
  }

  /**
   * `openForMs`: how long our transaction was open, undefined when there was none. Files may be made, and
   * be brought to the centre, while a session stands; and an import takes over all ids of it.
   */
  async judge(
    transactionalId: string,
    openForMs: number | undefined,
    transactionTimeoutMs: number,
    takenBy: () => Promise<Taker>,
  ): Promise<FenceCause> {
    if (openForMs !== undefined && openForMs >= transactionTimeoutMs) return 'timed-out';
    const [excuse, ...others] = this.#excusesOf(transactionalId);
    this.#unanswered.set(transactionalId, others);
    if (excuse !== undefined) return 'own-past';
    const exports = await this.#exports();
    const taker = exports === 0 ? 'gateway' : await takenBy();
    if (taker !== 'unknown') return taker === 'import' ? 'import' : 'clone';
    if (this.#isImported) return 'import';
    if (this.#excusedImports >= exports * IMPORTS_OF_EXPORT) return 'clone';
    this.#excusedImports++;
    this.#isImported = true;
    return 'import';
  }

  /** Those that are not stale, the oldest first. */
  #excusesOf(transactionalId: string): readonly number[] {
    const now = this.#clock.monotonicMs();
    const all = this.#unanswered.get(transactionalId) ?? [];
    return all.filter((at) => now - at < EXCUSE_LASTS_MS);
  }
}
