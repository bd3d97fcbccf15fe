import { LINK_LIMITS } from '../../link-limits.ts';

/**
 * What a batch of so many bytes, as read from the log, makes on the wire: so much for each batch, and
 * a share of its bytes. Learned from those before. What goes by cannot be told apart while several
 * are under way, so it learns from stretches: from one moment without any to the next.
 */
export class WireCost {
  #fixedBytes: number = LINK_LIMITS.batchCostBytes;
  #ratio: number = LINK_LIMITS.batchCostRatio;
  #batches = 0;
  #bytes = 0;
  #fromWireBytes = 0;

  of(bytes: number): number {
    return this.#fixedBytes + bytes * this.#ratio;
  }

  /** The bytes of a batch that makes so many on the wire. */
  bytesFor(wireBytes: number): number {
    return Math.floor((wireBytes - this.#fixedBytes) / this.#ratio);
  }

  begin(wireBytes: number): void {
    this.#batches = 0;
    this.#bytes = 0;
    this.#fromWireBytes = wireBytes;
  }

  /** `isLast`: none is under way now. */
  settled(bytes: number, wireBytes: number, isLast: boolean): void {
    this.#batches++;
    this.#bytes += bytes;
    // In a long stretch what is under way counts little, and too much.
    if (!isLast && this.#batches < LINK_LIMITS.batchCostBatches) return;
    this.#learn(wireBytes - this.#fromWireBytes);
    this.begin(wireBytes);
  }

  /** Small batches tell what every one costs, large ones what their bytes do. */
  #learn(wireBytes: number): void {
    const {
      batchCostShare: share,
      batchCostSmallBytes: small,
      batchCostRatioMin: least,
    } = LINK_LIMITS;
    if (this.#bytes < small * this.#batches) {
      const fixed = Math.max(0, wireBytes - this.#bytes * this.#ratio) / this.#batches;
      this.#fixedBytes += (Math.min(fixed, small) - this.#fixedBytes) * share;
      return;
    }
    const ratio = Math.max(least, (wireBytes - this.#fixedBytes * this.#batches) / this.#bytes);
    // One that cost more counts at once: a budget is not to be overdrawn.
    this.#ratio = ratio > this.#ratio ? ratio : this.#ratio + (ratio - this.#ratio) * share;
  }
}
