/** Control packet types that acknowledge, with the flags the protocol fixes. */
export const ACK = { puback: 0x40, pubrec: 0x50, pubcomp: 0x70 } as const;

/** `type` in the upper bits, packet id in the lower 16. */
export function ackCode(type: number, id: number): number {
  return type * 0x10000 + id;
}

/** Marks a code whose acknowledgement says "not authorized" instead of success (MQTT 5). */
export const REFUSED = 0x100_0000;

/** The bytes of acknowledgements that all say success: four each, in MQTT 5 too. */
export function encodeAcks(codes: readonly number[]): Buffer {
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

export interface Flushable {
  flush(): void;
}

/**
 * Acknowledgements of one commit leave together: one write per connection, after the commit's last
 * `done` was called.
 */
export class AckRound {
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
