import type { AckLine } from './broker-ack-line.ts';
import { UNRETAINED } from './broker-acks.ts';
import type { AedesClient, LivePacket } from './broker-aedes.ts';
import type { LiveDelivery } from './broker-live.ts';
import type { Holds } from './broker-holds.ts';
import { LiveWindow } from './broker-live-window.ts';
import type { Delivery } from './broker-qos2-slots.ts';

/** Whose messages they are. */
export interface Settled {
  /** It could not be kept. */
  notKept(error: Error): void;
  /** After each that was kept for sessions: acknowledgements may have left. */
  roomForAcks(): void;
}

/**
 * What happens to messages of one connection that the log has: they go to who wants them, and their
 * acknowledgement leaves once all that stands behind it is on the disk.
 */
export class Settling {
  readonly #live: LiveDelivery;
  readonly #client: AedesClient;
  readonly #line: AckLine;
  readonly #window: LiveWindow;
  readonly #settled: Settled;

  constructor(
    live: LiveDelivery,
    client: AedesClient,
    line: AckLine,
    holds: Holds,
    settled: Settled,
  ) {
    this.#live = live;
    this.#client = client;
    this.#line = line;
    this.#window = new LiveWindow(holds);
    this.#settled = settled;
  }

  /** It is on its way to the log, and to who wants it after that. */
  begin(packet: LivePacket): void {
    this.#window.begin(packet);
  }

  /** The log did not take it. */
  failed(packet: LivePacket): void {
    this.#window.end(packet);
  }

  /** At once: nobody waits for an answer. */
  deliver(packet: LivePacket): void {
    this.#live.deliver(packet, this.#client, () => this.#window.end(packet));
  }

  /** It may be a repeat, of which something may still be on its way to sessions. */
  repeatable(code: number, last: number | undefined): void {
    const line = this.#line;
    if (this.#live.pending) void this.#live.durable(this.letGo(line.hold(code, last)));
    else line.push(code, last);
  }

  live(
    packet: LivePacket,
    code: number,
    offset: number,
    last: number | undefined,
    delivery: Delivery | undefined,
  ): void {
    const line = this.#line;
    const delivered = (): void => this.#window.end(packet);
    if (!this.#live.keeps(packet)) {
      line.push(code, last);
      this.#live.deliver(packet, this.#client, delivered);
      return;
    }
    this.#live.logged(packet, offset, delivery);
    const release = line.hold(code, last);
    const letGo = this.letGo(() => release(this.#live.isUnkept(packet) ? UNRETAINED : 0));
    this.#live.deliverKept(packet, this.#client, delivered, letGo);
  }

  /** Once it is on the disk; where that fails, the device has to send it again. */
  letGo(release: () => void): (error: Error | null) => void {
    return (error) => {
      if (error === null) release();
      else this.#line.clear();
      if (error !== null) this.#settled.notKept(error);
      this.#settled.roomForAcks();
    };
  }
}
