import { messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import type { Segments } from './segments.ts';

/** Bytes that the segments occupy, measured anew when asked for and the last measure is old. */
export class DiskUsage {
  readonly #segments: Segments;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #bytes = 0;
  #measuredMs = -Infinity;
  #measuring: Promise<void> | undefined;

  constructor(segments: Segments, clock: Clock, logger: Logger) {
    this.#segments = segments;
    this.#clock = clock;
    this.#logger = logger;
    void this.measure();
  }

  /** The last measure; an old one is renewed for the next call. */
  bytes(): number {
    if (this.#clock.monotonicMs() - this.#measuredMs > LIMITS.diskUsageMs) void this.measure();
    return this.#bytes;
  }

  /** Never rejects. */
  measure(): Promise<void> {
    this.#measuring ??= this.#measure().finally(() => {
      this.#measuring = undefined;
    });
    return this.#measuring;
  }

  async settled(): Promise<void> {
    await this.#measuring;
  }

  async #measure(): Promise<void> {
    this.#measuredMs = this.#clock.monotonicMs();
    try {
      this.#bytes = await this.#segments.bytes();
    } catch (error) {
      this.#logger.warn({ error: messageOf(error) }, 'the space that the log takes is not known');
    }
  }
}
