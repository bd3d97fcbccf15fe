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
  /** CONNECT is being answered. */
  greeting: 32,
  /** It sends more than it may; see broker-rates.ts. */
  rate: 64,
  /** It has subscribed faster than it takes what is retained; see broker-answering.ts. */
  answers: 128,
  /** It publishes behind a SUBSCRIBE that is being answered; see broker-answering.ts. */
  subscribe: 256,
} as const;

/** Who reads, when nothing holds it. */
export interface Held {
  readonly isOpen: boolean;
}

/** Whether a connection reads: as long as nothing holds it. */
export class Holds {
  readonly #client: AedesClient;
  readonly #held: Held;
  #reasons = 0;

  constructor(client: AedesClient, held: Held) {
    this.#client = client;
    this.#held = held;
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
    if (this.#reasons === 0) process.nextTick(Holds.#readOn, this);
  }

  static readonly #readOn = (holds: Holds): void => {
    if (holds.#reasons === 0 && holds.#held.isOpen) holds.#client.resume();
  };
}
