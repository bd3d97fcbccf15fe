import { KAFKA_DEFAULTS } from './options.ts';

/**
 * For how long the coordinator leaves a transaction open. As configured, or short, because it is
 * also for how long a broken link holds readers back; and longer for the next session where a
 * transaction took longer although nothing was broken, as one with a single large record may. It is
 * halved again after a session that carried as many bytes as that one had, and after every later one
 * that carried anything. Sessions that do not come to stand, or carry only little beside the large
 * record before the link breaks, say nothing of how long that one takes.
 */
export class TransactionTimeout {
  readonly #configured: number | undefined;
  #ms: number = KAFKA_DEFAULTS.transactionTimeoutMs;
  #wasTooShort = false;
  /** Bytes of the largest transaction that took too long; none once so many were carried. */
  #owedBytes = 0;
  /** Committed since the last session began. */
  #carriedBytes = 0;

  constructor(configuredMs: number | undefined) {
    this.#configured = configuredMs;
  }

  /** In ms, for a session that begins. */
  next(): number {
    if (this.#configured !== undefined) return this.#configured;
    if (this.#wasTooShort) this.#ms *= 2;
    else if (this.#carriedBytes > 0 && this.#carriedBytes >= this.#owedBytes) {
      this.#ms /= 2;
      this.#owedBytes = 0;
    }
    const { transactionTimeoutMs: least, transactionTimeoutMaxMs: most } = KAFKA_DEFAULTS;
    this.#ms = Math.min(Math.max(this.#ms, least), most);
    this.#wasTooShort = false;
    this.#carriedBytes = 0;
    return this.#ms;
  }

  /** A transaction with so many bytes of records was given up over it. */
  noteTooShort(bytes: number): void {
    this.#owedBytes = this.#wasTooShort ? Math.max(this.#owedBytes, bytes) : bytes;
    this.#wasTooShort = true;
  }

  /** One with so many was committed. */
  noteCommitted(bytes: number): void {
    this.#carriedBytes += bytes;
  }
}
