import { seededRandom } from '../../../src/random.ts';

/**
 * What the devices of a hunt sent, and what they were promised. A message's payload is made from
 * its id alone, so that a reader anywhere can tell whether it is unaltered without a copy of it.
 */
export interface Message {
  readonly id: string;
  readonly device: string;
  /** Place in the device's own order of sending, from 0. */
  readonly sequence: number;
  readonly mqttTopic: string;
  readonly payloadBytes: number;
  readonly qos: 0 | 1 | 2;
  /** Sent before others that are older, as some devices do on a new connection. */
  isAhead?: boolean;
  /** Times the PUBLISH was put on a connection; every one of them may become a record. */
  attempts: number;
  /** PUBACK or PUBREC came back: it must be in the log. */
  acked: boolean;
  /** Records of the log that hold it, as counted by the oracle. */
  copies: number;
}

const FILLER_BYTES = 262_144;
const filler = Buffer.from(seededRandom(0x5eed).hex(FILLER_BYTES / 2), 'latin1');

/** Start of the filler for an id: two messages of one size still differ beyond their ids. */
function fillerStart(id: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < id.length; at++) hash = Math.imul(hash ^ id.charCodeAt(at), 0x01000193);
  return (hash >>> 0) % (FILLER_BYTES / 8);
}

export const PAYLOAD_BYTES_MAX: number = FILLER_BYTES - FILLER_BYTES / 8;

export function payloadOf(message: Pick<Message, 'id' | 'payloadBytes'>): Buffer {
  const head = Buffer.from(`${message.id} `, 'latin1');
  const start = fillerStart(message.id);
  const rest = Math.max(0, message.payloadBytes - head.length);
  return Buffer.concat([head, filler.subarray(start, start + rest)]);
}

export function idOf(payload: Uint8Array): string {
  const space = payload.indexOf(0x20);
  const end = space < 0 ? Math.min(payload.length, 40) : space;
  return Buffer.from(payload.subarray(0, end)).toString('latin1');
}

export class Ledger {
  readonly #owes: (message: Message) => boolean;
  readonly #messages = new Map<string, Message>();
  /** Promised and not yet found in the log. Empty after every complete check. */
  readonly #owed = new Set<Message>();
  #acked = 0;

  /** `owes`: whether an acknowledgement of this message promises that it is in the log. */
  constructor(owes: (message: Message) => boolean = () => true) {
    this.#owes = owes;
  }

  add(message: Message): void {
    this.#messages.set(message.id, message);
  }

  acknowledge(message: Message): void {
    if (message.acked) return;
    message.acked = true;
    this.#acked++;
    if (message.copies === 0 && this.#owes(message)) this.#owed.add(message);
  }

  /** A record of the log holds this message. */
  found(message: Message): void {
    message.copies++;
    this.#owed.delete(message);
  }

  get(id: string): Message | undefined {
    return this.#messages.get(id);
  }

  all(): IterableIterator<Message> {
    return this.#messages.values();
  }

  owed(): readonly Message[] {
    return [...this.#owed];
  }

  get ackedCount(): number {
    return this.#acked;
  }

  get sentCount(): number {
    return this.#messages.size;
  }

  /** Records beyond the first of a message: a device's own resends. */
  resendCopies(): number {
    let count = 0;
    for (const message of this.#messages.values()) count += Math.max(0, message.copies - 1);
    return count;
  }
}
