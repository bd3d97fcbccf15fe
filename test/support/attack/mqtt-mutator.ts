import type { Random } from '../../../src/random.ts';
import {
  corpus,
  encode,
  type Field,
  type FieldPacket,
  type Property,
  varint,
  type Version,
} from './mqtt-fields.ts';

const TRAPS: readonly Buffer[] = [
  Buffer.from([0]),
  Buffer.from([0xed, 0xa0, 0x80]), // a surrogate
  Buffer.from([0xef, 0xbb, 0xbf]), // a byte order mark
  Buffer.from([0xc0, 0x80]), // U+0000 in two bytes
  Buffer.from([0xf4, 0x90, 0x80, 0x80]), // beyond the last character
  Buffer.from([0xff]),
  Buffer.from('\uFFFD'),
  Buffer.from('__proto__'),
  Buffer.from('constructor'),
  Buffer.from('/'.repeat(200)),
  Buffer.from('a/'.repeat(2000)),
  Buffer.alloc(65_535, 'x'),
  Buffer.from('+'),
  Buffer.from('#'),
  Buffer.from('$SYS/broker'),
  Buffer.from('$share/g/#'),
  Buffer.from(''),
];
const PROPERTY_IDS = [
  0x01, 0x02, 0x03, 0x08, 0x09, 0x0b, 0x11, 0x12, 0x13, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1c,
  0x1f, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x00, 0x7f,
];
const LENGTHS = [0, 1, 2, 127, 128, 16_383, 16_384, 983_039, 2_097_151, 268_435_455];
const IDS = [0, 1, 2, 0xff, 0x7fff, 0xffff];

/** Packets as clients send them, with something wrong: in a field, in the bytes, or both. */
export class MqttMutator {
  readonly #random: Random;
  readonly #corpora: Readonly<Record<Version, readonly FieldPacket[]>>;

  constructor(random: Random) {
    this.#random = random;
    this.#corpora = { 3: corpus(3), 4: corpus(4), 5: corpus(5) };
  }

  below(count: number): number {
    return Math.floor(this.#random.next() * count);
  }

  /** A packet of the corpus; one in eight as it is. */
  packet(version: Version): Buffer {
    const packet = this.#one(this.#corpora[version]);
    return this.below(8) === 0 ? encode(packet) : this.mutated(packet, version);
  }

  mutated(packet: FieldPacket, version: Version): Buffer {
    const way = this.below(3);
    const changed = way === 1 ? packet : this.#fields(packet, version);
    const bytes = encode(changed);
    return way === 0 ? bytes : this.#bytes(bytes, version);
  }

  #one<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }

  /** Exchanges, repeats, leaves out or changes a field. */
  #fields({ first, fields }: FieldPacket, version: Version): FieldPacket {
    const at = this.below(fields.length);
    const field = fields[at];
    if (field === undefined || this.below(10) === 0) {
      return { first: (first & 0xf0) | this.below(16), fields };
    }
    const others = this.#one(this.#corpora[version]).fields;
    switch (this.below(5)) {
      case 0:
        return { first, fields: fields.toSpliced(at, 1) };
      case 1:
        return { first, fields: fields.toSpliced(at, 0, field, field) };
      case 2:
        return others.length === 0
          ? { first, fields: [] }
          : { first, fields: fields.toSpliced(at, 1, this.#one(others)) };
      default:
        return { first, fields: fields.toSpliced(at, 1, this.#field(field)) };
    }
  }

  #field(field: Field): Field {
    if (field.kind === 'properties') {
      return { kind: 'properties', list: this.#properties(field.list) };
    }
    if (field.kind === 'id') {
      const id = this.#one(IDS);
      return { kind: 'id', bytes: Buffer.from([id >> 8, id & 0xff]) };
    }
    if (field.kind === 'byte') {
      return { kind: 'byte', bytes: Buffer.from(field.bytes.map(() => this.below(256))) };
    }
    const trap = this.#one(TRAPS);
    if (this.below(2) === 0) return { kind: field.kind, bytes: trap };
    const at = this.below(field.bytes.length + 1);
    const parts = [field.bytes.subarray(0, at), trap, field.bytes.subarray(at)];
    return { kind: field.kind, bytes: Buffer.concat(parts).subarray(0, 65_535) };
  }

  #properties(list: readonly Property[]): Property[] {
    const at = this.below(list.length);
    const property = list[at] ?? { id: this.#one(PROPERTY_IDS), value: Buffer.from([0, 1, 0x61]) };
    switch (this.below(4)) {
      case 0:
        return list.toSpliced(at, 1, { ...property, id: this.#one(PROPERTY_IDS) });
      case 1:
        return Array.from({ length: 1 + this.below(300) }, () => property);
      case 2:
        return list.toSpliced(at, 1, { ...property, value: this.#one(TRAPS) });
      default:
        return list.toSorted(() => this.below(3) - 1);
    }
  }

  #bytes(bytes: Buffer, version: Version): Buffer {
    const at = this.below(bytes.length);
    switch (this.below(7)) {
      case 0: {
        const flipped = Buffer.from(bytes);
        for (let times = 1 + this.below(4); times > 0; times--) {
          const place = this.below(flipped.length);
          flipped[place] = (flipped[place] ?? 0) ^ (1 << this.below(8));
        }
        return flipped;
      }
      case 1: // another length of the packet, or one of five bytes
        return Buffer.concat([
          bytes.subarray(0, 1),
          this.below(6) === 0
            ? Buffer.from([0xff, 0xff, 0xff, 0xff, 0x7f])
            : varint(this.#one(LENGTHS)),
          bytes.subarray(2),
        ]);
      case 2:
        return bytes.subarray(0, at);
      case 3:
        return Buffer.concat([bytes, bytes.subarray(at)]);
      case 4: {
        const other = encode(this.#one(this.#corpora[version]));
        return Buffer.concat([bytes.subarray(0, at), other.subarray(this.below(other.length))]);
      }
      case 5: {
        // A length within: two bytes become another number.
        const changed = Buffer.from(bytes);
        if (at + 2 <= changed.length) changed.writeUInt16BE(this.#one(IDS), at);
        return changed;
      }
      default:
        return Buffer.from(bytes.map((value, place) => (place < at ? value : this.below(256))));
    }
  }
}
