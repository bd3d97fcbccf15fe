import { messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { Random } from '../random.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import type { SpaceReserve } from './database.ts';

export interface DiskReserveOptions {
  /** undefined: the engine has no such thing. */
  readonly space: SpaceReserve | undefined;
  /** What is wished for; 0 for none. */
  readonly bytes: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/**
 * Space that is really taken, so that positions, ledger and recovery have it when the disk is full.
 * It is written in the background, a chunk at a time, and again after some of it was needed.
 */
export class DiskReserve {
  readonly #options: DiskReserveOptions;
  readonly #startedMs: number;
  readonly #ended = new AbortController();
  #growing: Promise<void> | undefined;
  #mayGrow = false;
  bytes = 0;
  targetBytes = 0;

  constructor(options: DiskReserveOptions) {
    this.#options = options;
    this.#startedMs = options.clock.monotonicMs();
  }

  get complete(): boolean {
    return this.bytes >= this.targetBytes;
  }

  /** What the log must leave free for it. */
  get missingBytes(): number {
    return Math.max(0, this.targetBytes - this.bytes);
  }

  /** Looks at what is there. `totalBytes`: of the disk, or of the cap; a small one has a small reserve. */
  async measure(totalBytes: number): Promise<void> {
    const { space, bytes } = this.#options;
    if (space === undefined) return;
    const target = Math.min(bytes, Math.floor(totalBytes * LIMITS.diskReserveShare));
    this.targetBytes = target;
    this.bytes = await space.bytes();
    if (this.bytes <= target || this.#growing !== undefined) return;
    await space.shrink(target);
    this.bytes = target;
  }

  /** Lets it be made, in the background, as long as it may. */
  tend(mayGrow: boolean): void {
    this.#mayGrow = mayGrow;
    if (!mayGrow || this.complete || this.#growing !== undefined) return;
    this.#growing = this.#grow().finally(() => {
      this.#growing = undefined;
    });
  }

  /** Resolves when nothing of it is being written any more. */
  async close(): Promise<void> {
    this.#ended.abort();
    await this.#growing;
  }

  async #grow(): Promise<void> {
    const { space, clock, logger, random } = this.#options;
    const { signal } = this.#ended;
    const waitMs = this.#startedMs + LIMITS.reserveDelayMs - clock.monotonicMs();
    if (waitMs > 0) await clock.sleep(waitMs, signal);
    if (space === undefined) return;
    // One for all chunks, as a fresh one for each stays in memory until the next collection. Nothing in it
    // repeats, so that no file system makes it smaller.
    const noise = new Uint8Array(LIMITS.reserveChunkBytes);
    try {
      while (this.#mayGrow && !this.complete && !signal.aborted) {
        const size = Math.min(LIMITS.reserveChunkBytes, this.targetBytes - this.bytes);
        random.fillBytes(noise);
        await space.grow(noise.subarray(0, size));
        this.bytes = await space.bytes();
        if (!this.complete) await clock.sleep(LIMITS.reserveChunkMs, signal);
      }
    } catch (error) {
      const { bytes, targetBytes } = this;
      logger.warn(
        { event: 'disk.reserve', error: messageOf(error), bytes, targetBytes },
        'the reserve on the disk could not be made whole; it is tried again',
      );
      return;
    }
    if (!this.complete) return;
    logger.info({ event: 'disk.reserve', bytes: this.bytes }, 'the reserve on the disk is whole');
  }
}
