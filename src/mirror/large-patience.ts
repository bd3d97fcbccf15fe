import { MIRROR_LIMITS } from '../mirror-limits.ts';

export interface LargePatienceOptions {
  /** What an answer may take where nothing large is under way. */
  readonly configuredMs: number;
  /** Nothing is waited for longer. */
  readonly mostMs: number;
}

/**
 * For how long the answer to one large record is waited for. A batch that a thin link does not carry in
 * time is sent again smaller; a record alone can not be, and would be broken off and begun anew for ever.
 * So each time that one was late the next session waits three times as long, until it gets through: the
 * waits in vain are at most half of the last one. The way back is by halves, and not below what
 * records took.
 *
 * A link that carried less than 8 kbit/s meanwhile counts as dead, not as slow: small records
 * in a black hole make nothing slower.
 */
export class LargePatience {
  readonly #configuredMs: number;
  readonly #mostMs: number;
  #ms: number;
  /** Of this session. */
  #nextMs: number | undefined;
  #longestMs: number | undefined;

  constructor({ configuredMs, mostMs }: LargePatienceOptions) {
    this.#configuredMs = configuredMs;
    this.#mostMs = Math.max(configuredMs, mostMs);
    this.#ms = configuredMs;
  }

  /** For the session that was begun last. */
  get ms(): number {
    return this.#ms;
  }

  get isRaised(): boolean {
    return this.#ms > this.#configuredMs;
  }

  /** A session begins. */
  begin(): number {
    const longestMs = this.#longestMs;
    if (this.#nextMs !== undefined) this.#ms = this.#nextMs;
    else if (longestMs !== undefined) {
      const { largeSpareFactor } = MIRROR_LIMITS;
      const lessMs = Math.max(this.#ms / 2, longestMs * largeSpareFactor, this.#configuredMs);
      this.#ms = Math.min(this.#ms, Math.ceil(lessMs));
    }
    this.#nextMs = undefined;
    this.#longestMs = undefined;
    return this.#ms;
  }

  /**
   * So many bytes that can not be made fewer were not answered in time. What the next session gives
   * them: the same again where no link is taken to be that slow; undefined where it was not their size.
   */
  late(bytes: number): number | undefined {
    const { largeLeastBytesPerSecond: least, largeGrowth } = MIRROR_LIMITS;
    const slowestMs = this.#configuredMs + (bytes / least) * 1000;
    if (bytes * 1000 < least * this.#configuredMs) return undefined;
    const mostMs = Math.min(this.#mostMs, slowestMs);
    this.#nextMs = Math.max(this.#ms, Math.floor(Math.min(this.#ms * largeGrowth, mostMs)));
    return this.#nextMs;
  }

  carried(tookMs: number): void {
    this.#longestMs = Math.max(this.#longestMs ?? 0, tookMs);
  }
}
