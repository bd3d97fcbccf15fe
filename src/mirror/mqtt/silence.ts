import type { Clock, Timer } from '../../time.ts';

/**
 * Gives a session up over which nothing comes while something is due: receipts tell, not what TCP
 * says of itself. A far side that trickles, one answer at a time, is not given up.
 */
export class SilenceWatch {
  readonly #clock: Clock;
  readonly #patienceMs: number;
  readonly #isDue: () => boolean;
  readonly #onSilence: () => void;
  #timer: Timer | undefined;
  #progressMs: number;

  constructor(clock: Clock, patienceMs: number, isDue: () => boolean, onSilence: () => void) {
    this.#clock = clock;
    this.#patienceMs = patienceMs;
    this.#isDue = isDue;
    this.#onSilence = onSilence;
    this.#progressMs = clock.monotonicMs();
  }

  /** Something is due from now on, and nothing was before. */
  begin(): void {
    this.progress();
    this.#timer ??= this.#clock.after(this.#patienceMs, () => this.#check());
  }

  progress(): void {
    this.#progressMs = this.#clock.monotonicMs();
  }

  end(): void {
    this.#timer?.cancel();
  }

  #check(): void {
    this.#timer = undefined;
    if (!this.#isDue()) return;
    const leftMs = this.#progressMs + this.#patienceMs - this.#clock.monotonicMs();
    if (leftMs > 0) this.#timer = this.#clock.after(leftMs, () => this.#check());
    else this.#onSilence();
  }
}
