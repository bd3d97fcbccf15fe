import { ACCESS_LIMITS } from '../access-limits.ts';
import type { Clock } from '../time.ts';

interface Attempts {
  /** When the last failures were; no more than count. */
  failures: number[];
  /** All of them since it is known. */
  failed: number;
  waiting: number;
}

/**
 * Slows down who guesses passwords: after some failures every answer to that address comes later,
 * also a good one, or the wrong ones would be those that are late.
 */
export class LoginDelays {
  readonly #clock: Clock;
  readonly #addresses = new Map<string, Attempts>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves when the attempt may be looked at; false: too many of that address wait already. */
  async admit(address: string): Promise<boolean> {
    const attempts = this.#addresses.get(address);
    if (attempts === undefined) return true;
    const delayMs = this.#delayMs(attempts);
    if (delayMs === 0) return true;
    if (attempts.waiting >= ACCESS_LIMITS.loginsDelayed) return false;
    attempts.waiting++;
    await this.#clock.sleep(delayMs);
    attempts.waiting--;
    return true;
  }

  /**
   * Asked when an attempt is admitted. The answer says whether so many failed since that it would have been
   * held up: those of a burst are all admitted before the first of them has failed.
   */
  burst(address: string): () => boolean {
    const failedOf = (): number => this.#addresses.get(address)?.failed ?? 0;
    const before = failedOf();
    return () => failedOf() - before >= ACCESS_LIMITS.loginFailures;
  }

  failed(address: string): void {
    const attempts = this.#addresses.get(address) ?? { failures: [], failed: 0, waiting: 0 };
    attempts.failed++;
    attempts.failures.push(this.#clock.monotonicMs());
    if (attempts.failures.length > MOST_FAILURES) attempts.failures.shift();
    // The one that failed last stands last.
    this.#addresses.delete(address);
    this.#addresses.set(address, attempts);
    if (this.#addresses.size <= ACCESS_LIMITS.loginAddresses) return;
    const [oldest] = this.#addresses.keys();
    if (oldest !== undefined) this.#addresses.delete(oldest);
  }

  #delayMs(attempts: Attempts): number {
    const { loginFailures, loginFailuresMs, loginDelayFirstMs, loginDelayMaxMs } = ACCESS_LIMITS;
    const sinceMs = this.#clock.monotonicMs() - loginFailuresMs;
    attempts.failures = attempts.failures.filter((atMs) => atMs > sinceMs);
    const over = attempts.failures.length - loginFailures;
    return over < 0 ? 0 : Math.min(loginDelayFirstMs * 2 ** over, loginDelayMaxMs);
  }
}

/** As many as the longest delay asks for. */
const MOST_FAILURES =
  ACCESS_LIMITS.loginFailures +
  Math.ceil(Math.log2(ACCESS_LIMITS.loginDelayMaxMs / ACCESS_LIMITS.loginDelayFirstMs));

/** Whoever has one IPv6 address has its whole /64; IPv4 within IPv6 is itself; '' is this machine's Unix socket. */
export function addressGroup(address: string | undefined): string {
  if (address === undefined) return '';
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/iu.exec(address);
  if (mapped !== null) return mapped[1] ?? address;
  if (!address.includes(':')) return address;
  const [head = '', tail] = address.replace(/%.*$/u, '').split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length;
  const groups = [...before, ...Array.from({ length: Math.max(zeros, 0) }, () => '0'), ...after];
  return groups.slice(0, 4).join(':');
}
