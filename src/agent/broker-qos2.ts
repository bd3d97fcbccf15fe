import { OWN_PRODUCER } from '../store/log.ts';
import type { Delivery, HandshakeSlots, SlotMark } from './broker-qos2-slots.ts';
import { ProtocolViolation, REASON } from './broker-reasons.ts';

export const MARK_PREFIX: string = `${OWN_PRODUCER}qos2/`;

interface Handshake {
  /** undefined: it is known in memory only. */
  readonly mark: SlotMark | undefined;
  /**
   * `waiting`: for its record. `durable`. `unknown`: its write failed, and may have arrived; or it is
   * of another life, and may not be queued for sessions. The resend is appended with the same mark
   * then, so that the log says, and handed on.
   */
  state: 'waiting' | 'durable' | 'unknown';
  /** Its record was a repeat of another gateway's: what the PUBREC said, for it may have to be said again. */
  last: number | undefined;
}

/** What is to be done with a message: log it and hand it on, or only acknowledge it. */
export type Taken = 'new' | 'waiting' | 'durable';

/**
 * Inbound QoS 2 of one session (method B of MQTT 5, section 4.3.3): which packet ids were taken and not
 * yet released. With slots the marks stand in the commits of the records, so that a resend is known
 * after a crash too; a session that ends with its connection has none.
 */
export class Qos2Session {
  readonly #open = new Map<number, Handshake>();
  readonly #slots: HandshakeSlots | undefined;
  readonly #most: number;

  constructor(slots: HandshakeSlots | undefined, most: number) {
    this.#slots = slots;
    this.#most = most;
    for (const mark of slots?.open() ?? []) {
      const state = mark.isDelivered ? 'durable' : 'unknown';
      this.#open.set(mark.id, { mark: mark.mark, state, last: undefined });
    }
  }

  get slots(): HandshakeSlots | undefined {
    return this.#slots;
  }

  take(id: number): Taken {
    const known = this.#open.get(id);
    if (known === undefined) {
      this.#begin(id);
      return 'new';
    }
    if (known.state !== 'unknown') return known.state;
    known.state = 'waiting';
    return 'new';
  }

  /** With which it is to be appended. */
  mark(id: number): SlotMark | undefined {
    return this.#open.get(id)?.mark;
  }

  /** What notes that sessions have it. */
  delivery(id: number): Delivery | undefined {
    const mark = this.mark(id);
    return mark?.used === true ? this.#slots?.delivery(mark) : undefined;
  }

  /** `last`: it was a repeat of a gateway's, and this we have last of its source. Gives what is known of that. */
  durable(id: number, last: number | undefined): number | undefined {
    const known = this.#open.get(id);
    if (known === undefined) return last;
    known.state = 'durable';
    // With a mark of ours the sequence is a slot's, which is nobody's business.
    if (known.mark?.used === true) return undefined;
    known.last = last ?? known.last;
    return known.last;
  }

  /** A failed append. What may have arrived nevertheless keeps its mark, for the resend. */
  failed(id: number): void {
    const known = this.#open.get(id);
    if (known?.mark?.used === true) known.state = 'unknown';
    else this.#forget(id, known);
  }

  /** PUBREL. `durable`: PUBCOMP stands on the journal. */
  release(id: number): 'unknown' | 'known' | 'durable' {
    const known = this.#open.get(id);
    if (known === undefined) return 'unknown';
    this.#forget(id, known);
    if (known.mark?.used !== true) return 'known';
    this.#slots?.released(known.mark);
    return 'durable';
  }

  #begin(id: number): void {
    if (this.#open.size >= this.#most) {
      throw new ProtocolViolation(
        REASON.receiveMaximumExceeded,
        `more than ${this.#most} QoS 2 messages are open in one session`,
      );
    }
    this.#open.set(id, { mark: this.#slots?.take(id), state: 'waiting', last: undefined });
  }

  #forget(id: number, known: Handshake | undefined): void {
    this.#open.delete(id);
    if (known?.mark !== undefined) this.#slots?.free(known.mark);
  }
}
