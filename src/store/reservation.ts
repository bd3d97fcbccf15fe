import { LIMITS } from '../limits.ts';
import { messageOf } from '../errors.ts';
import type { Logger } from '../telemetry.ts';

export interface ReservationOptions {
  /** Makes durable where the log stands now, and that it goes on from there. */
  readonly note: () => Promise<void>;
  /** Offsets given so far, whether or not their write was confirmed. */
  readonly given: () => number;
  readonly logger: Logger;
}

/**
 * No more records are appended after the last place that the state database remembers than
 * LIMITS.reservedRecords: so when the newest segment is lost, it is known how many offsets it may have
 * given. The place is noted ahead of need, off the write path.
 */
export class Reservation {
  readonly #options: ReservationOptions;
  #notedAt = 0;
  #noting: Promise<void> | undefined;

  constructor(options: ReservationOptions) {
    this.#options = options;
  }

  /** Opened: where the log stands is noted. */
  begin(): void {
    this.#notedAt = this.#options.given();
  }

  /** Before so many records are written. Rejects when the place can't be noted. */
  async allow(records: number): Promise<void> {
    if (this.#used() + records <= LIMITS.reservedRecords) return;
    await this.#noting;
    if (this.#used() + records > LIMITS.reservedRecords) await this.#note();
  }

  /** When all that was written is durable: notes the place if that is due, in the background. */
  renew(due: boolean): void {
    if (!due && this.#used() * 2 < LIMITS.reservedRecords) return;
    this.#noting ??= this.#note()
      .catch((error: unknown) => {
        this.#options.logger.warn(
          { error: messageOf(error) },
          'where the log stands could not be noted in the state database',
        );
      })
      .finally(() => {
        this.#noting = undefined;
      });
  }

  #used(): number {
    return this.#options.given() - this.#notedAt;
  }

  async #note(): Promise<void> {
    const at = this.#options.given();
    await this.#options.note();
    this.#notedAt = Math.max(this.#notedAt, at);
  }
}
