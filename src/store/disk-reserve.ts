import { GatelogError, messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from '../time.ts';
import { formatSize } from '../units.ts';
import type { Engine } from './database.ts';

/**
 * Keeps a reserve free: LevelDB can't even be opened on a full disk, and a write that fails half
 * way costs a reopening. Below the reserve appends are refused, so devices keep their copies;
 * retention, which frees space, goes on.
 */
export class DiskReserve {
  readonly #engine: Engine;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #checkedMs: number;
  #checking = false;
  /** Why appends are refused at present; undefined when there is room. */
  refusal: GatelogError | undefined;

  constructor(engine: Engine, clock: Clock, logger: Logger) {
    this.#engine = engine;
    this.#clock = clock;
    this.#logger = logger;
    this.#checkedMs = clock.monotonicMs();
  }

  /** Measures in the background if the last measure is old. For once a commit, not once a record. */
  touch(): void {
    if (this.#checking || this.#clock.monotonicMs() - this.#checkedMs < LIMITS.diskFreeMs) return;
    void this.check();
  }

  /** Never rejects. */
  async check(): Promise<void> {
    if (this.#engine.room === undefined) return;
    this.#checking = true;
    try {
      const { freeBytes, totalBytes } = await this.#engine.room();
      const reserve = Math.min(LIMITS.diskReserveBytes, totalBytes * LIMITS.diskReserveShare);
      this.#decide(freeBytes, reserve);
    } catch (error) {
      this.#logger.warn({ error: messageOf(error) }, 'the free space on the disk is not known');
    }
    this.#checkedMs = this.#clock.monotonicMs();
    this.#checking = false;
  }

  #decide(freeBytes: number, reserve: number): void {
    const low = freeBytes < reserve;
    if (low === (this.refusal !== undefined)) return;
    if (low) {
      const { folder } = this.#engine;
      this.refusal = new GatelogError(
        'STORE_WRITE_FAILED',
        `the disk of ${folder} has ${formatSize(freeBytes)} left and ${formatSize(reserve)} are ` +
          `kept in reserve, so nothing is stored: free space, or lower the topics' retention`,
      );
      this.#logger.error({ freeBytes, reserve }, this.refusal.message);
    } else {
      this.refusal = undefined;
      this.#logger.info({ freeBytes }, 'the disk has room again; appends are taken');
    }
  }
}
