/** Measures how long the mirror takes to send what had gathered while it could not. */
export class CatchUp {
  #goal: number | undefined;
  #fromMs = 0;
  #records = 0;

  /** Begins at `nowMs` with `mirrored` of `durable` records confirmed; replaces one that runs. */
  begin(nowMs: number, mirrored: number, durable: number): void {
    this.#fromMs = nowMs;
    this.#records = durable - mirrored;
    this.#goal = durable > mirrored ? durable : undefined;
  }

  /** The far side is out of reach again: what was begun is no catching up any more. */
  cancel(): void {
    this.#goal = undefined;
  }

  /** Once, when everything is confirmed that was there at the beginning. */
  check(nowMs: number, mirrored: number): { tookMs: number; records: number } | undefined {
    if (this.#goal === undefined || mirrored < this.#goal) return undefined;
    this.#goal = undefined;
    return { tookMs: nowMs - this.#fromMs, records: this.#records };
  }
}
