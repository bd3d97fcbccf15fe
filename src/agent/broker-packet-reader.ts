import { isUtf8 } from 'node:buffer';
import { ProtocolViolation, REASON } from './broker-reasons.ts';

const NOTHING = Buffer.alloc(0);

type PropertyKind = 'byte' | 'uint16' | 'uint32' | 'length' | 'text' | 'binary' | 'pair';

/** By identifier (MQTT 5, section 2.2.2.2). */
const PROPERTY_KINDS: Readonly<Record<PropertyKind, readonly number[]>> = {
  byte: [0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2a],
  uint16: [0x13, 0x21, 0x22, 0x23],
  uint32: [0x02, 0x11, 0x18, 0x27],
  length: [0x0b],
  text: [0x03, 0x08, 0x12, 0x15, 0x1a, 0x1c, 0x1f],
  binary: [0x09, 0x16],
  pair: [0x26],
};
const KIND_OF: ReadonlyMap<number, PropertyKind> = new Map(
  Object.entries(PROPERTY_KINDS).flatMap(([kind, ids]) =>
    ids.map((id): [number, PropertyKind] => [id, kind as PropertyKind]),
  ),
);

const USER_PROPERTY = 0x26;
/** Of which none may be 0. */
const POSITIVE: ReadonlySet<number> = new Set([0x21, 0x27]);

type PropertyHolder = 'connect' | 'will' | 'subscribe' | 'unsubscribe';

/** Properties that it may have, by identifier. Each once, but user properties. */
const PROPERTIES_OF: Readonly<Record<PropertyHolder, ReadonlySet<number>>> = {
  connect: new Set([0x11, 0x15, 0x16, 0x17, 0x19, 0x21, 0x22, USER_PROPERTY, 0x27]),
  will: new Set([0x01, 0x02, 0x03, 0x08, 0x09, 0x18, USER_PROPERTY]),
  subscribe: new Set([0x0b, USER_PROPERTY]),
  unsubscribe: new Set([USER_PROPERTY]),
};

/** [MQTT-1.5.4-1] and [MQTT-1.5.4-2] */
export function isText(bytes: Buffer): boolean {
  return isUtf8(bytes) && !bytes.includes(0);
}

/** What is not there is 0, and `short` says so. Throws for properties alone. */
export class PacketReader {
  readonly #bytes: Buffer;
  at: number;
  short = false;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  get done(): boolean {
    return this.at >= this.#bytes.length;
  }

  skip(count: number): void {
    if (this.at + count > this.#bytes.length) this.short = true;
    else this.at += count;
  }

  byte(): number {
    const from = this.at;
    this.skip(1);
    return this.short ? 0 : (this.#bytes[from] ?? 0);
  }

  uint16(): number {
    return this.byte() * 256 + this.byte();
  }

  /** A variable byte integer; the reader is short where it is longer than it may be. */
  length(): number {
    let value = 0;
    for (let scale = 1; scale <= 2_097_152; scale *= 128) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    this.short = true;
    return 0;
  }

  binary(): Buffer {
    const count = this.uint16();
    const from = this.at;
    this.skip(count);
    return this.short ? NOTHING : this.#bytes.subarray(from, this.at);
  }

  /**
   * Goes past a block of properties. Throws ProtocolViolation where they do not end with it: aedes's parser goes by
   * their own lengths, so that what follows would be another text to it than to us.
   */
  properties(of: PropertyHolder): void {
    const seen = new Set<number>();
    const length = this.length();
    const end = this.at + length;
    while (!this.short && this.at < end) {
      const id = this.byte();
      if (seen.has(id)) throw violation(`a packet has the property 0x${id.toString(16)} twice`);
      this.#property(id, PROPERTIES_OF[of]);
      if (id !== USER_PROPERTY) seen.add(id);
    }
    if (this.at === end && !this.short) return;
    throw malformed('the properties of a packet do not end where they should');
  }

  #property(id: number, allowed: ReadonlySet<number>): void {
    const from = this.at;
    switch (KIND_OF.get(id)) {
      case 'byte':
        if (this.byte() > 1) throw violation(`the property 0x${id.toString(16)} is not 0 or 1`);
        break;
      case 'uint16':
        this.skip(2);
        break;
      case 'uint32':
        this.skip(4);
        break;
      case 'length':
        this.length();
        break;
      case 'text':
        this.#text();
        break;
      case 'binary':
        this.binary();
        break;
      case 'pair':
        this.#text();
        this.#text();
        break;
      case undefined:
        throw malformed(`a packet has the unknown property 0x${id.toString(16)}`);
    }
    if (!allowed.has(id)) {
      throw malformed(`a packet has the property 0x${id.toString(16)} of another one`);
    }
    if (POSITIVE.has(id) && this.#bytes.subarray(from, this.at).every((byte) => byte === 0)) {
      throw violation(`the property 0x${id.toString(16)} is 0`);
    }
  }

  #text(): void {
    if (!isText(this.binary())) {
      throw malformed('a property is not UTF-8 text, or holds U+0000');
    }
  }
}

function violation(why: string): ProtocolViolation {
  return new ProtocolViolation(REASON.protocolError, why);
}

function malformed(why: string): ProtocolViolation {
  return new ProtocolViolation(REASON.malformed, why);
}
