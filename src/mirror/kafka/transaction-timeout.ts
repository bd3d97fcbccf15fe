import { KAFKA_DEFAULTS } from './options.ts';

/**
 * For how long the coordinator leaves a transaction open. As configured, or short, because it is
 * also for how long a broken link holds readers back; and longer for the next session where a
 * transaction took longer although nothing was broken, as one with a single large record may. Every
 * session without such a one halves it again. It never ends before a large record may have arrived.
 */
export class TransactionTimeout {
  readonly #configured: number | undefined;
  #ms: number = KAFKA_DEFAULTS.transactionTimeoutMs;
  #wasTooShort = false;

  constructor(configuredMs: number | undefined) {
    this.#configured = configuredMs;
  }

  /** In ms, for a session that begins, which gives one large record up to `largeMs`. */
  next(largeMs = 0): number {
    if (this.#configured !== undefined) return this.#configured;
    const { transactionTimeoutMs: least, transactionTimeoutMaxMs: most } = KAFKA_DEFAULTS;
    const factor = this.#wasTooShort ? 2 : 0.5;
    this.#ms = Math.min(Math.max(this.#ms * factor, least), most);
    this.#wasTooShort = false;
    return Math.max(this.#ms, Math.min(largeMs, most));
  }

  /** A transaction was given up over it. */
  noteTooShort(): void {
    this.#wasTooShort = true;
  }
}
