import { KAFKA_DEFAULTS } from './options.ts';

/** Where the longest transaction took this share of the time-out, half of it would nearly be too short. */
const HALVED_BELOW = 0.4;

/**
 * For how long the coordinator leaves a transaction open. As configured, or short, because it is
 * also for how long a broken link holds readers back; and longer for the next session where a
 * transaction took longer although nothing was broken, as one with a single large record may. It is
 * halved again after a session that carried as many bytes as that one had, and after every later one
 * that carried anything. Sessions that do not come to stand, or carry only little beside the large
 * record before the link breaks, say nothing of how long that one takes. Nor
 * where a transaction came near the half. It never ends before a large record may have arrived.
 */
export class TransactionTimeout {
  readonly #configured: number | undefined;
  #ms: number = KAFKA_DEFAULTS.transactionTimeoutMs;
  #wasTooShort = false;
  /** Bytes of the largest transaction that took too long; none once so many were carried. */
  #owedBytes = 0;
  /** Committed since the last session began. */
  #carriedBytes = 0;
  #longestMs = 0;

  constructor(configuredMs: number | undefined) {
    this.#configured = configuredMs;
  }

  /** In ms, for a session that begins, which gives one large record up to `largeMs`. */
  next(largeMs = 0): number {
    if (this.#configured !== undefined) return this.#configured;
    if (this.#wasTooShort) this.#ms *= 2;
    else if (this.#mayHalve()) {
      this.#ms /= 2;
      this.#owedBytes = 0;
    }
    const { transactionTimeoutMs: least, transactionTimeoutMaxMs: most } = KAFKA_DEFAULTS;
    this.#ms = Math.min(Math.max(this.#ms, least), most);
    this.#wasTooShort = false;
    this.#carriedBytes = 0;
    this.#longestMs = 0;
    return Math.max(this.#ms, Math.min(largeMs, most));
  }

  /** A transaction with so many bytes of records was given up over it. */
  noteTooShort(bytes: number): void {
    this.#owedBytes = this.#wasTooShort ? Math.max(this.#owedBytes, bytes) : bytes;
    this.#wasTooShort = true;
  }

  /** One with so many was committed, after it was open for so long. */
  noteCommitted(bytes: number, openMs: number): void {
    this.#carriedBytes += bytes;
    this.#longestMs = Math.max(this.#longestMs, openMs);
  }

  #mayHalve(): boolean {
    if (this.#carriedBytes === 0 || this.#carriedBytes < this.#owedBytes) return false;
    return this.#longestMs < this.#ms * HALVED_BELOW;
  }
}
