import { LINK_LIMITS } from '../../link-limits.ts';
import type { Clock, Timer } from '../../time.ts';

interface Waiting {
  readonly bytes: number;
  readonly go: () => void;
}

/**
 * Lets bytes leave at a rate. It holds what accrued while nobody took any, up to a small burst: in
 * any stretch of time no more is given than the burst and what the rate makes of it. Whoever waits
 * is served in order. What could not be foreseen is charged afterwards, and paid off before the next
 * is given.
 */
export class TokenBucket {
  readonly #clock: Clock;
  /** Bytes in a millisecond; undefined: as fast as it goes. */
  #perMs: number | undefined;
  #burst = 0;
  #level = 0;
  #levelAtMs: number;
  readonly #waiting: Waiting[] = [];
  #timer: Timer | undefined;

  constructor(clock: Clock, bitsPerSecond?: number) {
    this.#clock = clock;
    this.#levelAtMs = clock.monotonicMs();
    this.setRate(bitsPerSecond);
    if (bitsPerSecond !== undefined) this.#level = this.#burst;
  }

  get bitsPerSecond(): number | undefined {
    return this.#perMs === undefined ? undefined : this.#perMs * 8000;
  }

  /** What one taking is to be cut down to. */
  get pieceBytes(): number {
    if (this.#perMs === undefined) return Infinity;
    const { ratePieceMs, ratePieceBytesMin, ratePieceBytesMax } = LINK_LIMITS;
    const piece = Math.floor(this.#perMs * ratePieceMs);
    return Math.min(Math.max(piece, ratePieceBytesMin), ratePieceBytesMax);
  }

  get burstBytes(): number {
    return this.#burst;
  }

  setRate(bitsPerSecond: number | undefined): void {
    const perMs = bitsPerSecond === undefined ? undefined : bitsPerSecond / 8000;
    if (perMs === this.#perMs) return;
    this.#accrue();
    if (this.#perMs === undefined) this.#level = 0;
    this.#perMs = perMs;
    const { rateBurstMs, rateBurstBytesMin } = LINK_LIMITS;
    this.#burst = perMs === undefined ? 0 : Math.max(perMs * rateBurstMs, rateBurstBytesMin);
    this.#level = Math.min(this.#level, this.#burst);
    this.#serve();
  }

  /** Calls `go` once these bytes may leave: at once, where nobody waits and there is enough. */
  take(bytes: number, go: () => void): void {
    this.#waiting.push({ bytes, go });
    if (this.#waiting.length === 1) this.#serve();
  }

  /** Bytes that went by without asking; negative ones were charged and did not. */
  charge(bytes: number): void {
    if (this.#perMs === undefined) return;
    this.#accrue();
    this.#level = Math.min(this.#level - bytes, this.#burst);
    if (bytes < 0) this.#serve();
  }

  /** Until what was charged is paid off, in milliseconds. */
  get debtMs(): number {
    this.#accrue();
    if (this.#perMs === undefined) return 0;
    return Math.max(0, -this.#level / this.#perMs);
  }

  #accrue(): void {
    const nowMs = this.#clock.monotonicMs();
    if (this.#perMs !== undefined) {
      const level = this.#level + (nowMs - this.#levelAtMs) * this.#perMs;
      this.#level = Math.min(level, this.#burst);
    }
    this.#levelAtMs = nowMs;
  }

  #serve(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      const waitMs = this.#waitMs(first.bytes);
      this.#timer?.cancel();
      if (waitMs > 0) {
        this.#timer = this.#clock.after(waitMs, () => this.#serve());
        return;
      }
      this.#waiting.shift();
      if (this.#perMs !== undefined) this.#level -= first.bytes;
      first.go();
    }
  }

  /** One that is larger than the burst waits for a full bucket, and leaves it in debt. */
  #waitMs(bytes: number): number {
    if (this.#perMs === undefined) return 0;
    this.#accrue();
    const missing = Math.min(bytes, this.#burst) - this.#level;
    // Not by less than a clock can tell.
    return missing <= 1e-6 ? 0 : Math.max(missing / this.#perMs, 0.01);
  }
}
