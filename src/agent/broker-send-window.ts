import type { OutgoingPacket, WriteOptions } from './broker-packet-writer.ts';
import { propertyBytes } from './property-bytes.ts';

/** What a held packet costs besides its topic and payload. */
const HELD_BYTES = 256;
/** And as many wait: ids must be left, also beside those of a session's queue. */
const MOST_UNDER_WAY = 16_000;

export interface HeldPacket {
  readonly packet: OutgoingPacket;
  readonly options: WriteOptions;
}

/** Packets that wait for devices to acknowledge others, of all connections together and of each. */
export class HeldForDevices {
  readonly #perDevice: number;
  readonly #total: number;
  readonly #dropped: () => void;
  #bytes = 0;

  constructor(perDevice: number, total: number, dropped: () => void) {
    this.#perDevice = perDevice;
    this.#total = total;
    this.#dropped = dropped;
  }

  /** False: it is given up. `held`: what that device has waiting. */
  admits(held: number, bytes: number): boolean {
    if (held + bytes <= this.#perDevice && this.#bytes + bytes <= this.#total) return true;
    this.#dropped();
    return false;
  }

  change(bytes: number): void {
    this.#bytes += bytes;
  }
}

/**
 * Messages of QoS 1 and 2 on their way to one device: no more at a time than it takes (Receive Maximum,
 * [MQTT-3.3.4-9]), the rest in order after them. An id is under way until PUBACK, PUBCOMP or a PUBREC that
 * refuses.
 */
export class SendWindow {
  readonly #maximum: number;
  readonly #common: HeldForDevices;
  readonly #underWay = new Set<number>();
  readonly #heldIds = new Set<number>();
  #held: HeldPacket[] = [];
  #bytes = 0;

  constructor(maximum: number, common: HeldForDevices) {
    this.#maximum = Math.min(maximum, MOST_UNDER_WAY);
    this.#common = common;
  }

  /** So many more may be sent now. */
  get room(): number {
    return this.#held.length > 0 ? 0 : Math.max(this.#maximum - this.#underWay.size, 0);
  }

  isTaken(id: number): boolean {
    return this.#underWay.has(id) || this.#heldIds.has(id);
  }

  /** There is room for it. */
  begin({ messageId = 0 }: OutgoingPacket): void {
    this.#underWay.add(messageId);
  }

  /** True: it may be sent now. Else it waits here. */
  admit(packet: OutgoingPacket, options: WriteOptions): boolean {
    const id = packet.messageId ?? 0;
    if (this.room > 0) {
      this.begin(packet);
      return true;
    }
    const bytes = bytesOf(packet);
    const held = this.#held.length < MOST_UNDER_WAY ? this.#bytes : Infinity;
    if (this.#common.admits(held, bytes)) {
      this.#held.push({ packet, options });
      this.#heldIds.add(id);
      this.#count(bytes);
    }
    return false;
  }

  end(id: number): void {
    this.#underWay.delete(id);
  }

  /** The next that may be sent. */
  take(): HeldPacket | undefined {
    if (this.#underWay.size >= this.#maximum) return undefined;
    const next = this.#held.shift();
    if (next === undefined) return undefined;
    this.#count(-bytesOf(next.packet));
    const id = next.packet.messageId ?? 0;
    this.#heldIds.delete(id);
    this.#underWay.add(id);
    return next;
  }

  clear(): void {
    this.#count(-this.#bytes);
    this.#held = [];
    this.#heldIds.clear();
    this.#underWay.clear();
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    this.#common.change(bytes);
  }
}

function bytesOf({ topic = '', payload = '', properties }: OutgoingPacket): number {
  return topic.length + payload.length + propertyBytes(properties) + HELD_BYTES;
}
