/**
 * How urgently the person wants out. Every wish (q, Ctrl-C, a signal) is one step: finish well,
 * then do not wait for the mirror, then leave everything as it is.
 */
export class Quit {
  readonly #finish = new AbortController();
  readonly #hurry = new AbortController();
  readonly #abandon: () => void;
  #abandoned = false;

  constructor(abandon: () => void) {
    this.#abandon = abandon;
  }

  /** Finish: stop, drain, verify. */
  get finish(): AbortSignal {
    return this.#finish.signal;
  }

  /** Do not wait any longer for what is still to be mirrored. */
  get hurry(): AbortSignal {
    return this.#hurry.signal;
  }

  /** Leave everything as it is, without a report. */
  get abandoned(): boolean {
    return this.#abandoned;
  }

  /** A wish to end; the first one finishes, the second hurries, the third abandons. */
  readonly ask = (): void => {
    if (!this.#finish.signal.aborted) this.#finish.abort();
    else if (!this.#hurry.signal.aborted) this.#hurry.abort();
    else if (!this.#abandoned) {
      this.#abandoned = true;
      this.#abandon();
    }
  };

  /** The time that was set is over; no wish of a person, so that it hurries nobody. */
  readonly timeIsUp = (): void => this.#finish.abort();
}
