import type { Random } from '../../../src/random.ts';
import { Device, type DeviceProfile } from './device.ts';
import type { Ledger } from './messages.ts';
import { until } from './wait.ts';

/** Many devices that publish at a bounded total rate, whatever becomes of the agent. */
export interface FleetOptions {
  readonly port: number;
  readonly devices: number;
  /** New messages a second, all devices together. */
  readonly ratePerSecond: number;
  readonly random: Random;
  readonly ledger: Ledger;
  profile(index: number, random: Random): DeviceProfile;
}

const TICK_MS = 20;

export class Fleet {
  readonly #devices: readonly Device[];
  readonly #ratePerTick: number;
  readonly #ledger: Ledger;
  #ticker: NodeJS.Timeout | undefined;
  #turn = 0;

  constructor(options: FleetOptions) {
    this.#ledger = options.ledger;
    this.#ratePerTick = (options.ratePerSecond * TICK_MS) / 1000;
    this.#devices = Array.from({ length: options.devices }, (_, index) => {
      const profile = options.profile(index, options.random);
      return new Device(profile, options.port, options.random, options.ledger);
    });
  }

  start(): void {
    for (const device of this.#devices) device.start();
    this.#ticker = setInterval(() => this.#tick(), TICK_MS);
  }

  /** No new messages; resolves when every message in flight is acknowledged. */
  async drain(withinMs: number): Promise<void> {
    for (const device of this.#devices) device.quiesce();
    await until(
      () => this.inFlight === 0,
      withinMs,
      () => `${this.inFlight} messages in flight`,
    );
  }

  stop(): void {
    clearInterval(this.#ticker);
    for (const device of this.#devices) device.stop();
  }

  /** After a kill: resolves when every acknowledgement that the agent sent has been read. */
  async disconnected(): Promise<void> {
    await until(
      () => this.#devices.every((device) => !device.open),
      10_000,
      () => 'open sockets',
    );
  }

  /** Resolves when `count` more messages than now are acknowledged. */
  async acknowledged(count: number, withinMs: number): Promise<void> {
    const goal = this.#ledger.ackedCount + count;
    await until(
      () => this.#ledger.ackedCount >= goal,
      withinMs,
      () => `${this.#ledger.ackedCount} of ${goal} acknowledgements`,
    );
  }

  get inFlight(): number {
    return this.#devices.reduce((sum, device) => sum + device.inFlight, 0);
  }

  get refused(): number {
    return this.#devices.reduce((sum, device) => sum + device.refused, 0);
  }

  get connections(): number {
    return this.#devices.reduce((sum, device) => sum + device.connections, 0);
  }

  #tick(): void {
    const { length } = this.#devices;
    let rest = this.#ratePerTick;
    for (let step = 0; step < length && rest > 0; step++) {
      const share = Math.max(1, Math.round(this.#ratePerTick / length));
      this.#devices[(this.#turn + step) % length]?.grant(share);
      rest -= share;
      if (rest <= 0) this.#turn = (this.#turn + step + 1) % length;
    }
  }
}
