import type { ClientLimits } from '../client-limits.ts';
import { LIMITS } from '../limits.ts';
import type { Clock, Timer } from '../time.ts';
import { TokenBucket } from './token-bucket.ts';

/** A bound on messages, one on bytes, or both. */
class Buckets {
  readonly #messages: TokenBucket | undefined;
  readonly #bytes: TokenBucket | undefined;

  constructor(messages: number | undefined, bytes: number | undefined, clock: Clock) {
    this.#messages = messages === undefined ? undefined : new TokenBucket(messages, clock);
    this.#bytes = bytes === undefined ? undefined : new TokenBucket(bytes, clock);
  }

  take(messages: number, bytes: number): void {
    this.#messages?.take(messages);
    this.#bytes?.take(bytes);
  }

  waitMs(): number {
    return Math.max(this.#messages?.waitMs() ?? 0, this.#bytes?.waitMs() ?? 0);
  }

  get full(): boolean {
    return (this.#messages?.full ?? true) && (this.#bytes?.full ?? true);
  }
}

/** What a connection does about its rate. */
export interface Slowed {
  slow(): void;
  goOn(): void;
  touch(): void;
  /** It was slowed for too long. */
  tooFast(): void;
}

/** `mqtt.limits`: how much a second, of one client and of all. */
export class Rates {
  readonly #clock: Clock;
  #limits: ClientLimits;
  #total: Buckets;

  constructor(limits: ClientLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
    this.#total = this.#totalOf(limits);
  }

  /** From now on; who is connected asks `anew`. */
  change(limits: ClientLimits): void {
    this.#limits = limits;
    this.#total = this.#totalOf(limits);
  }

  /** Instead of one of before, which holds nobody up any more. */
  anew(before: ClientRate | undefined, slowed: Slowed): ClientRate | undefined {
    before?.end();
    slowed.goOn();
    return this.of(slowed);
  }

  /** Undefined: there is no bound. */
  of(slowed: Slowed): ClientRate | undefined {
    if (isUnbound(this.#limits)) return undefined;
    const { messagesPerSecond, bytesPerSecond, slowedMs } = this.#limits;
    const own = new Buckets(messagesPerSecond, bytesPerSecond, this.#clock);
    return new ClientRate(own, this.#total, slowedMs, this.#clock, slowed);
  }

  #totalOf({ totalMessagesPerSecond, totalBytesPerSecond }: ClientLimits): Buckets {
    return new Buckets(totalMessagesPerSecond, totalBytesPerSecond, this.#clock);
  }
}

function isUnbound(limits: ClientLimits): boolean {
  const { messagesPerSecond, bytesPerSecond } = limits;
  const { totalMessagesPerSecond, totalBytesPerSecond } = limits;
  const all = [messagesPerSecond, bytesPerSecond, totalMessagesPerSecond, totalBytesPerSecond];
  return all.every((rate) => rate === undefined);
}

/**
 * One client's rate. Who sends too much is not read until it is paid for, so that TCP holds the rest back
 * at the client; who keeps that up for too long goes. The share of all alone sends nobody away.
 */
export class ClientRate {
  readonly #own: Buckets;
  readonly #total: Buckets;
  readonly #slowedMs: number;
  readonly #clock: Clock;
  readonly #slowed: Slowed;
  #sinceMs: number | undefined;
  #timer: Timer | undefined;

  constructor(
    own: Buckets,
    total: Buckets,
    slowedMs: number | undefined,
    clock: Clock,
    slowed: Slowed,
  ) {
    this.#own = own;
    this.#total = total;
    this.#slowedMs = slowedMs ?? Infinity;
    this.#clock = clock;
    this.#slowed = slowed;
  }

  took(messages: number, bytes: number): void {
    if (this.#own.full) this.#sinceMs = undefined;
    this.#own.take(messages, bytes);
    this.#total.take(messages, bytes);
    if (this.#timer !== undefined) return;
    const ownMs = this.#own.waitMs();
    if (ownMs > 0) this.#sinceMs ??= this.#clock.monotonicMs();
    const waitMs = Math.max(ownMs, this.#total.waitMs());
    if (waitMs === 0) return;
    this.#slowed.slow();
    this.#wait(waitMs);
  }

  end(): void {
    this.#timer?.cancel();
  }

  #wait(waitMs: number): void {
    this.#timer = this.#clock.after(Math.min(Math.ceil(waitMs), LIMITS.touchMs), () =>
      this.#look(),
    );
  }

  #look(): void {
    this.#timer = undefined;
    // It may wait for what others owe, long after it has paid.
    if (this.#own.full) this.#sinceMs = undefined;
    const nowMs = this.#clock.monotonicMs();
    if (this.#sinceMs !== undefined && nowMs - this.#sinceMs >= this.#slowedMs) {
      this.#slowed.tooFast();
      return;
    }
    // It is we who do not listen.
    this.#slowed.touch();
    const waitMs = Math.max(this.#own.waitMs(), this.#total.waitMs());
    if (waitMs > 0) this.#wait(waitMs);
    else this.#slowed.goOn();
  }
}
