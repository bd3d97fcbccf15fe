import { GatelogError, messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';

export interface PatienceOptions {
  /** Only its monotonic time counts. */
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Reads of one place that failed one after the other. */
interface Trial {
  readonly what: string;
  readonly place: number;
  readonly sinceMs: number;
  readonly lastMs: number;
  readonly failures: number;
}

const byFolder = new WeakMap<Clock, Map<string, Patience>>();

/**
 * How long a disk that does not answer is waited for. A cable that is loose, a card that hiccups, a
 * disk that was pulled out say nothing of what is stored, and a loss that was declared is never taken
 * back. So what can't be read counts as damaged only when it failed again and again for
 * LIMITS.unreadableMs, while the same disk takes and syncs other writes: then it is that place. It
 * outlives the store that it was made for, so that starts that fail are counted too.
 */
export class Patience {
  readonly #options: PatienceOptions;
  readonly #trials = new Map<string, Trial>();
  /** What was given up, and when it last failed since. */
  readonly #givenUp = new Map<string, number>();

  constructor(options: PatienceOptions) {
    this.#options = options;
  }

  /** The one of a data folder, however often it is opened in this process. */
  static over(folder: string, options: PatienceOptions): Patience {
    const known = byFolder.get(options.clock) ?? new Map<string, Patience>();
    byFolder.set(options.clock, known);
    const patience = known.get(folder) ?? new Patience(options);
    known.set(folder, patience);
    return patience;
  }

  /**
   * `what` (as `segment 12`) could not be read at `place`, opened anew. `answers`: whether the disk
   * does anything else. True when it is to be taken for damaged.
   */
  async spent(what: string, place: number, answers: () => Promise<boolean>): Promise<boolean> {
    const { clock, logger } = this.#options;
    const key = `${what} ${place}`;
    const trial = this.#trials.get(key);
    const givenUpMs = this.#givenUp.get(what) ?? -Infinity;
    const nowMs = clock.monotonicMs();
    // Beside a place that was given up: whole stretches go bad, and each would be waited for.
    const isBeside = nowMs - givenUpMs <= LIMITS.unreadableGapMs;
    const goesOn = trial !== undefined && nowMs - trial.lastMs <= LIMITS.unreadableGapMs;
    // Of a disk that is gone nothing counts.
    const isThere = (isBeside || goesOn) && (await answers());
    if (isBeside && isThere) {
      this.#givenUp.set(what, nowMs);
      return true;
    }
    const counts = goesOn && isThere;
    const sinceMs = counts ? trial.sinceMs : nowMs;
    const failures = counts ? trial.failures + 1 : 1;
    if (failures >= LIMITS.unreadableReads && nowMs - sinceMs >= LIMITS.unreadableMs) {
      this.#trials.delete(key);
      keep(this.#givenUp, what, nowMs);
      logger.error(
        { event: 'disk.unreadable', what, place, failures, forMs: Math.round(nowMs - sinceMs) },
        `the disk takes writes and has not read a place in ${what} for so long: that place counts as damaged`,
      );
      return true;
    }
    keep(this.#trials, key, { what, place, sinceMs, lastMs: nowMs, failures });
    if (failures === 1) {
      logger.warn(
        { event: 'disk.waiting', what, place },
        `the disk does not read ${what}: this is tried again, and nothing is given up`,
      );
    }
    return false;
  }

  /**
   * After the so manieth failure in one call. `again`: the time to try it at once has passed. `lost`: it
   * counts as damaged. `wait`: whoever reads comes again later.
   */
  async afterFailure(
    what: string,
    place: number,
    attempt: number,
    answers: () => Promise<boolean>,
  ): Promise<'again' | 'wait' | 'lost'> {
    const retries: readonly number[] = LIMITS.unreadableRetryMs;
    const waitMs = retries[attempt];
    if (waitMs === undefined) return (await this.spent(what, place, answers)) ? 'lost' : 'wait';
    await this.#options.clock.sleep(waitMs);
    return 'again';
  }

  /** Everything of `what` between the two places was read. */
  read(what: string, from: number, to: number): void {
    if (this.#trials.size === 0) return;
    for (const [key, trial] of this.#trials) {
      const isRead = trial.what === what && trial.place >= from && trial.place <= to;
      if (isRead) this.#trials.delete(key);
    }
  }
}

function keep<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key);
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > LIMITS.unreadablePlaces && oldest !== undefined) map.delete(oldest);
}

/** What a reader is told that has to wait. */
export function unreadableError(what: string, cause: unknown): GatelogError {
  return new GatelogError(
    'STORE_FAILING',
    `the disk does not read ${what} of the log (${messageOf(cause)}): nothing is given up, ` +
      `it is read again later; check the disk's cable and health`,
    { cause },
  );
}
