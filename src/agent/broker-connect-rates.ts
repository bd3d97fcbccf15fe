import { ACCESS_LIMITS } from '../access-limits.ts';
import type { ClientLimits } from '../client-limits.ts';
import type { Clock } from '../time.ts';
import { addressGroup } from './broker-login-delays.ts';
import { TokenBucket } from './token-bucket.ts';

type Limits = Pick<ClientLimits, 'connectsPerSecond' | 'addressConnectsPerSecond'>;

/** New connections a second, of all addresses and of one. A second's worth may come at once. */
export class ConnectRates {
  readonly #clock: Clock;
  readonly #all: TokenBucket | undefined;
  readonly #ofAddress: number | undefined;
  /** The one that came last stands last. */
  readonly #byAddress = new Map<string, TokenBucket>();

  constructor({ connectsPerSecond, addressConnectsPerSecond }: Limits, clock: Clock) {
    this.#clock = clock;
    this.#ofAddress = addressConnectsPerSecond;
    if (connectsPerSecond !== undefined) this.#all = new TokenBucket(connectsPerSecond, clock);
  }

  /** One address's surplus takes nothing of what all may have. */
  admits(address: string | undefined): boolean {
    const own =
      this.#ofAddress === undefined ? true : this.#bucket(this.#ofAddress, address).admits();
    return own && (this.#all?.admits() ?? true);
  }

  #bucket(perSecond: number, address: string | undefined): TokenBucket {
    const group = addressGroup(address);
    const bucket = this.#byAddress.get(group) ?? new TokenBucket(perSecond, this.#clock);
    this.#byAddress.delete(group);
    this.#byAddress.set(group, bucket);
    if (this.#byAddress.size > ACCESS_LIMITS.loginAddresses) {
      const [oldest] = this.#byAddress.keys();
      if (oldest !== undefined) this.#byAddress.delete(oldest);
    }
    return bucket;
  }
}
