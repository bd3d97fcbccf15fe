import { MIRROR_LIMITS } from '../mirror-limits.ts';
import { type Clock, systemClock } from '../time.ts';

const MINUTE_MS = 60_000;

/**
 * Bounds how often one mirror tries to connect, whichever brokers and sessions the attempts are for:
 * a far side that refuses, or a list of brokers that are all gone, must not be hammered, nor a
 * metered link be used up by it. Attempts that came to something give their place back, and those of
 * before a change of the network say nothing of what comes now. Beyond the bound who connects waits.
 */
export class ConnectAttempts {
  readonly #clock: Clock;
  readonly #most: number;
  /** Monotonic times of attempts that came to nothing, or to nothing yet; oldest first. */
  readonly #begun: number[] = [];
  #forgivenMs = Number.NEGATIVE_INFINITY;
  /** Ends the waits of those that the bound holds up. */
  #changed = new AbortController();
  /** Those who wait come one after the other. */
  #turn: Promise<void> = Promise.resolve();

  constructor(clock: Clock = systemClock, most: number = MIRROR_LIMITS.connectAttemptsPerMinute) {
    this.#clock = clock;
    this.#most = most;
  }

  /**
   * Resolves when one more is allowed, with what to call when it came to something. Also resolves
   * soon after `signal` aborts: who connects looks at it anyway.
   */
  async take(signal?: AbortSignal): Promise<() => void> {
    const mine = this.#turn.then(() => this.#free(signal));
    this.#turn = mine;
    await mine;
    if (signal?.aborted === true) return () => {};
    const nowMs = this.#clock.monotonicMs();
    this.#begun.push(nowMs);
    return () => {
      const index = this.#begun.indexOf(nowMs);
      if (index >= 0) this.#begun.splice(index, 1);
    };
  }

  /** The network changed. One that does so all the time is no reason to try all the time. */
  forgive(): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#forgivenMs < MIRROR_LIMITS.connectForgiveMs) return;
    this.#forgivenMs = nowMs;
    this.#begun.length = 0;
    this.#changed.abort();
    this.#changed = new AbortController();
  }

  async #free(signal: AbortSignal | undefined): Promise<void> {
    for (;;) {
      if (signal?.aborted === true) return;
      const nowMs = this.#clock.monotonicMs();
      while ((this.#begun[0] ?? nowMs) <= nowMs - MINUTE_MS) this.#begun.shift();
      const oldest = this.#begun[0];
      if (oldest === undefined || this.#begun.length < this.#most) return;
      const { signal: changed } = this.#changed;
      const over = signal === undefined ? changed : AbortSignal.any([signal, changed]);
      await this.#clock.sleep(oldest + MINUTE_MS - nowMs, over);
    }
  }
}
