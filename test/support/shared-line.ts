import type { Random } from '../../src/random.ts';

/** What waits to be put on a line. */
export interface Sender {
  /** Bytes of the next segment; undefined: nothing waits. */
  next(): number | undefined;
  /** The next segment was on the line until `atMs` (as performance.now); `heldMs`: arrives so much later. */
  carried(atMs: number, heldMs: number): void;
}

export interface LineOptions {
  readonly bytesPerSecond: number;
  /** Round trip of the link: what a lost segment is late by, when the next ones tell of its loss. */
  readonly roundTripMs?: number;
  /** Share of segments that are lost. */
  readonly loss?: number;
  readonly random?: Random;
}

/** Of lost segments, these are found by the sender's timer only (RFC 6298): a second and more. */
const TIMED_OUT_SHARE = 0.02;
/** TCP, IP and Ethernet headers of a segment. */
const HEADER_BYTES = 66;

/**
 * One direction of a link that several connections share: segments of all take turns. A lost segment
 * is put on the line again and arrives a round trip later; what came after it waits at the receiver,
 * as with selective acknowledgements (RFC 2018). No congestion control: the link is what is shaped,
 * not what a sender makes of it.
 */
export class SharedLine {
  readonly #options: LineOptions;
  readonly #senders: Sender[] = [];
  #freeAtMs = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Payload carried. */
  bytes = 0;

  constructor(options: LineOptions) {
    this.#options = options;
  }

  /** `sender` has something; told once, until it has nothing any more. */
  want(sender: Sender): void {
    if (!this.#senders.includes(sender)) this.#senders.push(sender);
    if (this.#timer !== undefined) return;
    this.#freeAtMs = Math.max(this.#freeAtMs, performance.now());
    this.#serve();
  }

  /** What a late timer missed is caught up with: the line was busy all the time. */
  #serve(): void {
    this.#timer = undefined;
    const now = performance.now();
    while (this.#freeAtMs <= now) {
      const sender = this.#senders.shift();
      if (sender === undefined) return;
      const size = sender.next();
      if (size === undefined) continue;
      this.#senders.push(sender);
      this.#carry(sender, size);
    }
    if (this.#senders.length === 0) return;
    this.#timer = setTimeout(() => this.#serve(), Math.max(this.#freeAtMs - now, 1));
  }

  #carry(sender: Sender, size: number): void {
    const { bytesPerSecond, roundTripMs = 0, loss = 0, random } = this.#options;
    const takesMs = ((size + HEADER_BYTES) / bytesPerSecond) * 1000;
    const isLost = random !== undefined && random.next() < loss;
    this.#freeAtMs += isLost ? 2 * takesMs : takesMs;
    this.bytes += size;
    const isLate = isLost && random.next() < TIMED_OUT_SHARE;
    sender.carried(this.#freeAtMs, isLost ? roundTripMs + (isLate ? 1000 : 0) : 0);
  }
}
