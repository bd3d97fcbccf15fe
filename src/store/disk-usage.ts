import { messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import type { Engine } from './database.ts';
import type { Segments } from './segments.ts';

/** The newest ones grow; the others keep their size, nearly. */
const GROWING = 2;

/** Bytes that the segments occupy, measured anew when asked for and the last measure is old. */
export class DiskUsage {
  readonly #engine: Engine;
  readonly #segments: Segments;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #known = new Map<number, number>();
  #turn = 0;
  #bytes = 0;
  #measuredMs = -Infinity;
  #measuring: Promise<void> | undefined;

  constructor(engine: Engine, segments: Segments, clock: Clock, logger: Logger) {
    this.#engine = engine;
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

  /** Resolves when the last measure is not old. Never rejects. */
  async measured(): Promise<void> {
    this.bytes();
    await this.#measuring;
  }

  /** It takes another size now. */
  changed(first: number): void {
    this.#known.delete(first);
  }

  /** Everything in the data folder, measured now. */
  async folderBytes(): Promise<number> {
    await this.measure();
    return this.#bytes + ((await this.#engine.otherBytes?.()) ?? 0);
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
      this.#bytes = await this.#sum();
    } catch (error) {
      this.#logger.warn({ error: messageOf(error) }, 'the space that the log takes is not known');
    }
  }

  /** Looks at few segments at a time, however many there are: in turn at those that do not grow. */
  async #sum(): Promise<number> {
    const { firsts } = this.#segments;
    const present = new Set(firsts);
    for (const first of this.#known.keys()) if (!present.has(first)) this.#known.delete(first);
    const sealed = firsts.slice(0, -GROWING);
    const again = sealed[this.#turn++ % Math.max(1, sealed.length)];
    let bytes = 0;
    for (const [index, first] of firsts.entries()) {
      const grows = index >= firsts.length - GROWING;
      const known = grows || first === again ? undefined : this.#known.get(first);
      const size = known ?? (await this.#engine.segmentBytes(first));
      if (!grows) this.#known.set(first, size);
      bytes += size;
    }
    return bytes;
  }
}
