import { type AedesClient, pauseReading } from './broker-aedes.ts';

/** Reasons for which a connection does not read on; bits, for several may hold at once. */
export const HOLD = {
  /** The log can take no more for now. */
  store: 1,
  /** The peer does not read its acknowledgements. */
  acks: 2,
  /** Live subscribers are behind. */
  live: 4,
  /** Too many acknowledgements wait. */
  window: 8,
  /** The broker stops; for good. */
  stop: 16,
} as const;

/** Whether a connection reads: as long as nothing holds it. */
export class Holds {
  readonly #client: AedesClient;
  readonly #mayRead: () => boolean;
  #reasons = 0;

  constructor(client: AedesClient, mayRead: () => boolean) {
    this.#client = client;
    this.#mayRead = mayRead;
  }

  has(reason: number): boolean {
    return (this.#reasons & reason) !== 0;
  }

  add(reason: number): void {
    this.#reasons |= reason;
    pauseReading(this.#client);
  }

  remove(reason: number): void {
    if (!this.has(reason)) return;
    this.#reasons &= ~reason;
    // Not now: reading on appends, and we may be inside the log's own work.
    if (this.#reasons === 0) process.nextTick(this.#readOn);
  }

  readonly #readOn = (): void => {
    if (this.#reasons === 0 && this.#mayRead()) this.#client.resume();
  };
}
