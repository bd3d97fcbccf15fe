/** Figures at even distances, the latest so many of them, in memory that never grows: 8 bytes each. */
export class HistoryRing {
  readonly stepMs: number;
  readonly #slots: number;
  readonly #width: number;
  readonly #values: Float64Array;
  #count = 0;

  /** `width`: figures of one moment. */
  constructor(stepMs: number, slots: number, width: number) {
    this.stepMs = stepMs;
    this.#slots = slots;
    this.#width = width;
    this.#values = new Float64Array(slots * width);
  }

  get bytes(): number {
    return this.#values.byteLength;
  }

  /** NaN: not known at that moment. */
  push(figures: readonly number[]): void {
    const at = (this.#count % this.#slots) * this.#width;
    for (let index = 0; index < this.#width; index++) {
      this.#values[at + index] = figures[index] ?? Number.NaN;
    }
    this.#count++;
  }

  /** The figure at `index` of each moment, oldest first; null: not known. */
  series(index: number): (number | null)[] {
    const length = Math.min(this.#count, this.#slots);
    return Array.from({ length }, (_, back) => {
      const slot = (this.#count - length + back) % this.#slots;
      const value = this.#values[slot * this.#width + index] ?? Number.NaN;
      return Number.isNaN(value) ? null : value;
    });
  }
}
