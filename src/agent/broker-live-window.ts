import { LIMITS } from '../limits.ts';
import type { LivePacket } from './broker-aedes.ts';
import { HOLD, type Holds } from './broker-holds.ts';
import { propertyBytes } from './property-bytes.ts';

/** Live copies of one connection's messages until they are delivered or dropped; at a bound it is not read. */
export class LiveWindow {
  readonly #holds: Holds;
  #open = 0;
  #bytes = 0;

  constructor(holds: Holds) {
    this.#holds = holds;
  }

  begin({ payload, properties }: LivePacket): void {
    this.#open++;
    this.#bytes += payload.length + propertyBytes(properties);
    if (this.#open >= LIMITS.liveDeliveries || this.#bytes >= LIMITS.liveBytes) {
      this.#holds.add(HOLD.live);
    }
  }

  end({ payload, properties }: LivePacket): void {
    this.#open--;
    this.#bytes -= payload.length + propertyBytes(properties);
    if (this.#open * 2 > LIMITS.liveDeliveries) return;
    if (this.#bytes * 2 <= LIMITS.liveBytes) this.#holds.remove(HOLD.live);
  }
}
