import { LIMITS } from '../limits.ts';
import { MIRROR_LIMITS } from '../mirror-limits.ts';
import type { LinkPace } from './upstream.ts';

/** How much may be under way at once, by how long it was: what is under way for too long is given up. */
export class Bearable {
  /** Larger ones would not take too long. */
  hasRoom = true;
  #bytes: number | undefined;
  /** Batches still to come that were under way when it changed. */
  #skip = 0;
  #recent: number[] = [];

  /** `predicted`: as long as nothing is known. */
  bytesOr(predicted: number): number {
    return (this.#bytes ??= predicted);
  }

  /** The link carries more than it was taken for. */
  scale(by: number): void {
    if (this.#bytes !== undefined) this.#bytes *= by;
  }

  /** A batch was under way for so long, beside others: so many at most, of `size` bytes. */
  add(
    { underWayMs, tooLongMs }: LinkPace,
    { size, window }: { readonly size: number; readonly window: number },
  ): void {
    if (this.#skip > 0) {
      this.#skip--;
      return;
    }
    const { underWaySample, shortShare } = MIRROR_LIMITS;
    this.#recent.push(underWayMs);
    if (this.#recent.length > underWaySample) this.#recent.shift();
    // Thin links never go by it, and others not at first.
    if (this.#recent.length < underWaySample || this.#bytes === undefined) return;
    const middle = this.#recent.toSorted((a, b) => a - b)[Math.floor(underWaySample / 2)] ?? 0;
    this.#recent = [];
    this.hasRoom = middle < tooLongMs * shortShare;
    if (middle > tooLongMs) this.#bytes = size * Math.max(window - 1, LIMITS.mirrorWindow);
    else if (this.hasRoom) this.#bytes = size * Math.min(window + 1, MIRROR_LIMITS.window);
    else return;
    this.#skip = window;
  }
}
