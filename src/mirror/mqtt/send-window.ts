import { MIRROR_LIMITS } from '../../mirror-limits.ts';

/** A packet on its way. */
export interface Flight {
  readonly bytes: number;
  readonly sentMs: number;
}

export interface SendWindowOptions {
  /** Packets without an answer, at most. */
  readonly packets: number;
  /** Bytes to begin with. */
  readonly bytes?: number | undefined;
}

/**
 * How much may be on its way without an answer: enough to fill the link at its round-trip time, and
 * hardly more, for what waits in a slow link's queue is what a record of another topic waits behind.
 * Judged by the delay, as TCP Vegas does: while answers take no longer than the fastest of late and
 * the queue that is allowed, it grows (doubling at first); beyond twice that queue it shrinks to
 * what would have kept it.
 */
export class SendWindow {
  readonly #mostPackets: number;
  #bytes: number;
  #packets = 0;
  #inFlight = 0;
  /** Without an answer, oldest first. */
  readonly #out = new Set<Flight>();
  #doubling = true;
  /** Fastest answers of this stretch of time and of the one before. */
  #fastestMs = Infinity;
  #fastestBeforeMs = Infinity;
  #stretchEndsMs = -Infinity;
  #shrunkMs = -Infinity;
  #slowestMs: number | undefined;

  constructor({ packets, bytes = MIRROR_LIMITS.mqttWindowBytesFirst }: SendWindowOptions) {
    this.#mostPackets = packets;
    this.#bytes = clamp(bytes);
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** What a packet takes when none waits before it; Infinity before the first answer. */
  get fastestMs(): number {
    return Math.min(this.#fastestMs, this.#fastestBeforeMs);
  }

  get hasRoom(): boolean {
    if (this.#packets >= this.#mostPackets) return false;
    return this.#packets < MIRROR_LIMITS.mqttWindowPacketsMin || this.#inFlight < this.#bytes;
  }

  /** The longest that an answer took; undefined while there was none. */
  get slowestMs(): number | undefined {
    return this.#slowestMs;
  }

  sent(bytes: number, nowMs: number): Flight {
    this.#packets++;
    this.#inFlight += bytes;
    const flight = { bytes, sentMs: nowMs };
    this.#out.add(flight);
    return flight;
  }

  /** What has waited longest for its answer. */
  get oldest(): Flight | undefined {
    return this.#out.values().next().value;
  }

  answered(flight: Flight, nowMs: number): void {
    const { bytes, sentMs } = flight;
    this.#out.delete(flight);
    const wasFull = this.#inFlight >= this.#bytes / 2;
    this.#packets--;
    this.#inFlight -= bytes;
    const tookMs = nowMs - sentMs;
    this.#slowestMs = Math.max(this.#slowestMs ?? 0, tookMs);
    this.#fastestMs = Math.min(this.#fastestMs, tookMs);
    if (nowMs >= this.#stretchEndsMs) this.#turn(nowMs);
    const { fastestMs } = this;
    const allowedMs = Math.max(MIRROR_LIMITS.mqttQueueMs, fastestMs / 2);
    const queuedMs = tookMs - fastestMs;
    if (queuedMs <= allowedMs) {
      const growth = this.#doubling ? 1 : MIRROR_LIMITS.mqttWindowGrowth;
      if (wasFull) this.#bytes = clamp(this.#bytes + bytes * growth);
    } else if (queuedMs > 2 * allowedMs && sentMs >= this.#shrunkMs) {
      this.#doubling = false;
      this.#shrunkMs = nowMs;
      this.#bytes = clamp((this.#bytes * (fastestMs + allowedMs)) / tookMs);
    }
  }

  /** The way may be another one now; and a queue of our own must not be taken for its length. */
  #turn(nowMs: number): void {
    const isFirst = this.#stretchEndsMs === -Infinity;
    this.#stretchEndsMs = nowMs + MIRROR_LIMITS.mqttFastestMs;
    if (isFirst) return;
    this.#fastestBeforeMs = this.#fastestMs;
    this.#fastestMs = Infinity;
    this.#bytes = clamp(this.#bytes / 2);
    this.#doubling = false;
  }
}

function clamp(bytes: number): number {
  const { mqttWindowBytesMin, mqttWindowBytesMax } = MIRROR_LIMITS;
  return Math.min(Math.max(bytes, mqttWindowBytesMin), mqttWindowBytesMax);
}
