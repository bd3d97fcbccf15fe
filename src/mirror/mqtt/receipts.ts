import type { MqttClient } from 'mqtt';
import type { Clock } from '../../time.ts';
import type { LinkPace, Receipt } from '../upstream.ts';
import type { SendWindow } from './send-window.ts';
import type { Sending } from './sending.ts';

/**
 * What is told of a batch when all of it was answered, in the order in which batches came. The link was
 * busy with it from the end of the one before, or from its own beginning when that was later, less the time
 * that a small packet takes without a queue (once, or twice where something may have been lost).
 */
export class Receipts {
  readonly #client: Pick<MqttClient, 'stream'>;
  readonly #window: Pick<SendWindow, 'fastestMs'>;
  readonly #smallMs: number;
  readonly #clock: Clock;
  #bytesTold = 0;
  #answeredMs = Number.NEGATIVE_INFINITY;

  /** `smallMs`: what one at most takes, for all packets of the window may be large. */
  constructor(
    client: Pick<MqttClient, 'stream'>,
    window: Pick<SendWindow, 'fastestMs'>,
    smallMs: number,
    clock: Clock,
  ) {
    this.#client = client;
    this.#window = window;
    this.#smallMs = smallMs;
    this.#clock = clock;
  }

  of({ rejected, begunMs }: Pick<Sending, 'rejected' | 'begunMs'>): Receipt {
    const bytesSent = this.#newBytes();
    return begunMs === undefined
      ? { rejected, bytesSent }
      : { rejected, bytesSent, pace: this.#pace(begunMs) };
  }

  #pace(begunMs: number): LinkPace {
    const tripMs = Math.min(this.#window.fastestMs, this.#smallMs);
    const nowMs = this.#clock.monotonicMs();
    const since = (fromMs: number): number =>
      Math.max(nowMs - Math.max(fromMs, this.#answeredMs), 0);
    const pace = {
      leastMs: since(begunMs + 2 * tripMs),
      mostMs: since(begunMs + tripMs),
      idleMs: tripMs,
      tripMs,
      isAlone: this.#answeredMs <= begunMs,
      underWayMs: nowMs - begunMs,
      tooLongMs: Number.POSITIVE_INFINITY,
      answeredMs: nowMs,
    };
    this.#answeredMs = nowMs;
    return pace;
  }

  #newBytes(): number {
    const { stream } = this.#client;
    const written = 'bytesWritten' in stream ? Number(stream.bytesWritten) : 0;
    const fresh = written - this.#bytesTold;
    this.#bytesTold = written;
    return fresh;
  }
}
