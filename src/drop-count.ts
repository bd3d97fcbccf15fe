import { messageOf } from './errors.ts';
import { LIMITS } from './limits.ts';
import type { Loss } from './loss.ts';
import type { Logger } from './telemetry.ts';
import type { Clock, Timer } from './time.ts';

export interface DropCountOptions {
  /** The ledger's: durable when resolved. */
  readonly record: (losses: readonly Loss[]) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Dropped {
  readonly topic: string;
  readonly detail: string;
  records: number;
  bytes: number;
}

/**
 * Counts messages that nobody will send again and that were not stored, by topic, and puts the
 * counts into the ledger every few seconds: what a kill can take of them is bounded by that.
 */
export class DropCount {
  readonly #options: DropCountOptions;
  #waiting = new Map<string, Dropped>();
  #writing: Promise<void> = Promise.resolve();
  #timer: Timer | undefined;
  #closed = false;
  /** Since start. */
  records = 0;

  constructor(options: DropCountOptions) {
    this.#options = options;
  }

  add(topic: string, bytes: number, detail: string, records: number = 1): void {
    this.records += records;
    this.#add({ topic, detail, records, bytes });
    if (this.#closed) return;
    this.#timer ??= this.#options.clock.after(LIMITS.dropCountMs, () => void this.flush());
  }

  /** Never rejects: what can't be written waits for the next time. */
  flush(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#writing = this.#writing.then(() => this.#write());
    return this.#writing;
  }

  /** Writes the last counts. */
  close(): Promise<void> {
    this.#closed = true;
    return this.flush();
  }

  #add({ topic, detail, records, bytes }: Dropped): void {
    const kind = `${topic} ${detail}`;
    const known = this.#waiting.get(kind);
    if (known === undefined) this.#waiting.set(kind, { topic, detail, records, bytes });
    else {
      known.records += records;
      known.bytes += bytes;
    }
  }

  async #write(): Promise<void> {
    const counts = [...this.#waiting.values()];
    if (counts.length === 0) return;
    this.#waiting = new Map();
    const nowhere = { partition: undefined, fromOffset: undefined, toOffset: undefined };
    const losses = counts.map((count): Loss => ({
      ...nowhere,
      ...count,
      reason: 'pressure',
      mirror: undefined,
    }));
    try {
      await this.#options.record(losses);
    } catch (error) {
      for (const count of counts) this.#add(count);
      const { logger, clock } = this.#options;
      logger.warn({ error: messageOf(error) }, 'counts of dropped messages wait for the ledger');
      if (!this.#closed) this.#timer ??= clock.after(LIMITS.dropCountMs, () => void this.flush());
    }
  }
}
