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

  /**
   * A stretch tells one sum, of what its batches cost and of what their bytes do. Batches of other sizes
   * tell the two apart; while all are alike, what is learned is true of such as these.
   */
  #learn(wireBytes: number): void {
    const { batchCostSmallBytes: small, batchCostShare: share } = LINK_LIMITS;
    const [batches, bytes] = [this.#batches, this.#bytes];
    const isSmall = bytes < small * batches;
    // Beyond this it was not the batches: a link that rests carries something, too.
    const most = isSmall ? small * batches + this.#ratio * bytes : Infinity;
    const off = Math.min(wireBytes, most) - this.#fixedBytes * batches - this.#ratio * bytes;
    // At once: a budget is not to be overdrawn.
    if (off > 0 && !isSmall) this.#ratio += off / bytes;
    else this.#spread(off * share);
  }

  /**
   * The least change of both that accounts for so many bytes of a stretch: of small batches it is mostly
   * what every one costs, of large ones what their bytes do.
   */
  #spread(off: number): void {
    const { batchCostEvenBytes, batchCostRatio, batchCostRatioMin } = LINK_LIMITS;
    const [batches, bytes] = [this.#batches, this.#bytes];
    const byByte = bytes / batchCostEvenBytes;
    const step = off / (batches ** 2 + byByte ** 2);
    const fixed = this.#fixedBytes + batches * step;
    this.#fixedBytes = Math.max(0, fixed);
    // What batches can not cost less for themselves, their bytes do.
    const rest = bytes === 0 ? 0 : ((this.#fixedBytes - fixed) * batches) / bytes;
    const ratio = this.#ratio + (byByte * step) / batchCostEvenBytes - rest;
    // Only large ones tell of bytes that cost more than they are.
    const most = Math.max(this.#ratio, batchCostRatio);
    this.#ratio = Math.min(Math.max(batchCostRatioMin, ratio), most);
  }
}
