import type { SlotShare } from './broker-qos2-budget.ts';
import type { SessionJournal } from './broker-session-journal.ts';
import type { OnceMark } from './ingest.ts';

/** Packet ids are the lower part of a sequence. */
const IDS = 65_536;

export interface SlotMark extends OnceMark {
  readonly slot: number;
}

export interface OpenSlot {
  readonly id: number;
  readonly mark: SlotMark;
  /** What of it was for sessions stands in their queues. */
  readonly isDelivered: boolean;
}

/** What is known of a session's slots from another life, by slot. */
export interface KnownSlots {
  /** Sequences in the log. */
  readonly taken: ReadonlyMap<number, number>;
  readonly released: ReadonlyMap<number, number>;
  readonly delivered: ReadonlyMap<number, number>;
}

export interface Delivery {
  readonly key: string;
  readonly value: Buffer;
}

/**
 * A session's places for open QoS 2 messages. Each is a producer of the log, whose last sequence
 * stands in the commit of the record that it came with; the lowest free one is taken, so there are
 * as many as were ever open at one time. Released ones are noted in the journal.
 */
export class HandshakeSlots {
  readonly #prefix: string;
  readonly #number: string;
  readonly #journal: SessionJournal;
  readonly #budget: SlotShare;
  readonly #forget: (producers: readonly string[]) => void;
  readonly #known: KnownSlots;
  /** By slot: the greatest sequence given. */
  readonly #sequences: number[] = [];
  readonly #used = new Set<number>();
  #ended = false;

  constructor(
    names: { readonly prefix: string; readonly session: string },
    known: KnownSlots,
    shared: {
      readonly journal: SessionJournal;
      readonly budget: SlotShare;
      /** The log need not remember them any more. */
      readonly forget: (producers: readonly string[]) => void;
    },
  ) {
    this.#prefix = `${names.prefix}${names.session}/`;
    this.#number = names.session;
    this.#journal = shared.journal;
    this.#budget = shared.budget;
    this.#forget = shared.forget;
    this.#known = known;
    const { taken, released } = known;
    const count = Math.max(-1, ...taken.keys(), ...released.keys()) + 1;
    for (let slot = 0; slot < count; slot++) {
      this.#sequences.push(Math.max(taken.get(slot) ?? 0, released.get(slot) ?? 0));
      if (!this.#isOpen(slot)) continue;
      this.#used.add(slot);
      this.#budget.restore();
    }
  }

  open(): OpenSlot[] {
    return [...this.#used].map((slot) => {
      const sequence = this.#sequences[slot] ?? 0;
      const mark = { producer: this.#prefix + String(slot), sequence, slot, used: true };
      const isDelivered = this.#known.delivered.get(slot) === sequence;
      return { id: sequence % IDS, mark, isDelivered };
    });
  }

  /** undefined: the session is over, and only a connection is left of it. */
  take(id: number): SlotMark | undefined {
    if (this.#ended) return undefined;
    this.#budget.take();
    let slot = 0;
    while (this.#used.has(slot)) slot++;
    if (slot === this.#sequences.length) this.#sequences.push(0);
    const turn = Math.floor((this.#sequences[slot] ?? 0) / IDS) + 1;
    const sequence = turn * IDS + id;
    this.#sequences[slot] = sequence;
    this.#used.add(slot);
    return { producer: this.#prefix + String(slot), sequence, slot, used: false };
  }

  free({ slot }: SlotMark): void {
    if (this.#used.delete(slot) && !this.#ended) this.#budget.giveBack(1);
  }

  released(mark: SlotMark): void {
    if (this.#ended) return;
    this.#journal.put(this.#key('released', mark.slot), Buffer.from(String(mark.sequence)));
    void this.#forgetReleased(mark);
  }

  /** Once that is on the disk the log may forget it: what a checkpoint brings back is no greater. */
  async #forgetReleased({ slot, sequence, producer }: SlotMark): Promise<void> {
    try {
      await this.#journal.durable();
    } catch {
      return; // It is remembered for longer.
    }
    const isTakenAgain = this.#used.has(slot) || this.#sequences[slot] !== sequence;
    if (!isTakenAgain) this.#forget([producer]);
  }

  /** What says, in the write that queues the message for sessions, that it is queued. */
  delivery({ slot, sequence }: SlotMark): Delivery | undefined {
    if (this.#ended) return undefined;
    return { key: this.#key('delivered', slot), value: Buffer.from(String(sequence)) };
  }

  /** The session ended. */
  end(): void {
    this.#ended = true;
    this.#budget.giveBack(this.#used.size);
    for (const slot of this.#sequences.keys()) {
      this.#journal.remove(this.#key('released', slot));
      this.#journal.remove(this.#key('delivered', slot));
    }
    this.#forget([...this.#used].map((slot) => this.#prefix + String(slot)));
  }

  #isOpen(slot: number): boolean {
    const { taken, released } = this.#known;
    return (taken.get(slot) ?? 0) > (released.get(slot) ?? 0);
  }

  #key(kind: 'released' | 'delivered', slot: number): string {
    return `${kind}/${this.#number}/${slot}`;
  }
}
