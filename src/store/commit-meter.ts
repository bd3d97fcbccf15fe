import { LatencyMeter } from '../latency-counts.ts';
import type { Clock } from '../time.ts';
import type { Batch } from './batch.ts';

/**
 * How long commits take, and how long what is in them waited: a few looks at the clock and two counts for
 * a whole commit, nothing for a record.
 */
export class CommitMeter {
  readonly commits: LatencyMeter = new LatencyMeter();
  readonly appends: LatencyMeter = new LatencyMeter();
  readonly #clock: Clock;
  #startMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Something in it is waited for, from now on unless it was before. */
  waits(batch: Batch): void {
    if (batch.sinceMs === -1) batch.sinceMs = this.#clock.monotonicMs();
  }

  /** Its write begins. */
  begins(): void {
    this.#startMs = this.#clock.monotonicMs();
  }

  /** It is as durable as it is to be, and not answered yet. */
  done({ records, sinceMs }: Batch): void {
    if (records === 0) return;
    const nowMs = this.#clock.monotonicMs();
    this.commits.observe(nowMs - this.#startMs);
    this.appends.observe(nowMs - (sinceMs === -1 ? this.#startMs : sinceMs));
  }
}
