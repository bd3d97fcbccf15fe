import { ACCESS_LIMITS } from '../access-limits.ts';
import type { Clock, Timer } from '../time.ts';

/** Lines that strangers cause: a minute has so many, and what came beyond them is counted. */
export class MinuteLines {
  readonly #most: number;
  readonly #clock: Pick<Clock, 'after'>;
  readonly #unsaid: (count: number) => void;
  #said = 0;
  #beyond = 0;
  #minute: Timer | undefined;

  /** `unsaid`: told at the minute's end of those that were too many. */
  constructor(most: number, clock: Pick<Clock, 'after'>, unsaid: (count: number) => void) {
    this.#most = most;
    this.#clock = clock;
    this.#unsaid = unsaid;
  }

  /** False: this one is only counted. */
  admits(): boolean {
    this.#minute ??= this.#clock.after(ACCESS_LIMITS.auditMinuteMs, this.#end);
    if (this.#said >= this.#most) {
      this.#beyond++;
      return false;
    }
    this.#said++;
    return true;
  }

  /** Tells of the minute so far. */
  stop(): void {
    this.#minute?.cancel();
    this.#end();
  }

  readonly #end = (): void => {
    this.#minute = undefined;
    this.#said = 0;
    const count = this.#beyond;
    this.#beyond = 0;
    if (count > 0) this.#unsaid(count);
  };
}
