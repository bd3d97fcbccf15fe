import { LAST_PROPERTY } from '../identity.ts';

/** Control packet types that acknowledge, with the flags the protocol fixes. */
export const ACK = { puback: 0x40, pubrec: 0x50, pubcomp: 0x70 } as const;

/** `type` in the upper bits, packet id in the lower 16. */
export function ackCode(type: number, id: number): number {
  return type * 0x10000 + id;
}

/** Marks a code whose acknowledgement says "not authorized" instead of success (MQTT 5). */
export const REFUSED = 0x100_0000;

/** Marks a code whose acknowledgement says that the message's number could not be read (MQTT 5). */
export const UNREADABLE = 0x200_0000;

/** Marks a code whose message was stored, but could not be retained (MQTT 5). */
export const UNRETAINED = 0x400_0000;

/** Acknowledgements of success that leave together. */
export class Acks {
  #codes: number[] = [];
  /** Those of repeats, by place: the last offset of the same source partition. */
  #lasts: Map<number, number> | undefined;

  /** How many there are now. `last`: it was a repeat, and the peer takes properties (MQTT 5). */
  push(code: number, last: number | undefined): number {
    if (last !== undefined) (this.#lasts ??= new Map()).set(this.#codes.length, last);
    return this.#codes.push(code);
  }

  /** undefined when there are none. */
  take(): Buffer | undefined {
    const codes = this.#codes;
    const lasts = this.#lasts;
    if (codes.length === 0) return undefined;
    this.#codes = [];
    this.#lasts = undefined;
    if (lasts === undefined) return encodeAcks(codes);
    return Buffer.concat(
      codes.map((code, at) => {
        const last = lasts.get(at);
        return last === undefined ? encodeAcks([code]) : encodeRepeatAck(code, last);
      }),
    );
  }
}

/** Success, and one user property (MQTT 5, section 3.4.2.2.3). All of it is shorter than 128 bytes. */
function encodeRepeatAck(code: number, last: number): Buffer {
  const value = String(last);
  const property = Buffer.concat([Buffer.from([0x26]), text(LAST_PROPERTY), text(value)]);
  const { length } = property;
  const head = [code >>> 16, length + 4, (code >>> 8) & 0xff, code & 0xff, 0, length];
  return Buffer.concat([Buffer.from(head), property]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'utf8');
  return Buffer.concat([Buffer.from([bytes.length >>> 8, bytes.length & 0xff]), bytes]);
}

/** The bytes of acknowledgements that all say success: four each, in MQTT 5 too. */
function encodeAcks(codes: readonly number[]): Buffer {
  const target = Buffer.allocUnsafe(codes.length * 4);
  let at = 0;
  for (const code of codes) {
    target[at] = code >>> 16;
    target[at + 1] = 2;
    target[at + 2] = (code >>> 8) & 0xff;
    target[at + 3] = code & 0xff;
    at += 4;
  }
  return target;
}

/** An MQTT 5 acknowledgement with a reason code. */
export function encodeReasonAck(code: number, reasonCode: number): Buffer {
  return Buffer.from([(code >>> 16) & 0xff, 3, (code >>> 8) & 0xff, code & 0xff, reasonCode]);
}

/** Why it is not all that was asked for (MQTT 5, section 3.4.2.2.2). */
export function encodeAckWithReason(code: number, reason: string, reasonCode: number = 0): Buffer {
  const property = Buffer.concat([Buffer.from([0x1f]), text(reason)]);
  const properties = Buffer.concat([varint(property.length), property]);
  const ids = Buffer.from([(code >>> 8) & 0xff, code & 0xff, reasonCode]);
  const head = Buffer.concat([
    Buffer.from([(code >>> 16) & 0xff]),
    varint(ids.length + properties.length),
  ]);
  return Buffer.concat([head, ids, properties]);
}

/** Of less than 16,384. */
function varint(value: number): Buffer {
  return Buffer.from(value < 0x80 ? [value] : [(value & 0x7f) | 0x80, value >>> 7]);
}

export interface Flushable {
  flush(): void;
}

/**
 * Acknowledgements of one commit leave together: one write per connection, after the commit's last
 * `done` was called.
 */
export class AckRound {
  /** Acknowledgements that left, since start. */
  sent = 0;
  #waiting: Flushable[] = [];

  add(connection: Flushable): void {
    this.#waiting.push(connection);
    if (this.#waiting.length === 1) process.nextTick(this.#flush);
  }

  readonly #flush = (): void => {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const connection of waiting) connection.flush();
  };
}
