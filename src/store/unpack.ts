/**
 * A reader of what `packed` writes in the log: lists of numbers, texts, binaries, nil and lists. It
 * stands between the disk and the rest, so it takes nothing on trust: it allocates no more than the
 * bytes it is given can hold (msgpackr allocates a list of the length that its header claims), goes
 * no deeper than we write, and knows no extensions.
 */
export type Unpacked = number | string | Uint8Array | null | readonly Unpacked[];

/** Topics in a head: the head, its topics, a topic, its streams. */
const DEPTH = 4;

class Malformed extends Error {}

/** The list that is all of `bytes`; its binaries are views of them. undefined: it is none of ours. */
export function unpackedList(bytes: Uint8Array): readonly Unpacked[] | undefined {
  const walk = new Walk(bytes);
  try {
    const value = walk.value(DEPTH);
    return walk.done && isList(value) ? value : undefined;
  } catch (error) {
    if (error instanceof Malformed) return undefined;
    throw error;
  }
}

export function isList(value: Unpacked | undefined): value is readonly Unpacked[] {
  return Array.isArray(value);
}

/** A whole number from 0 that JavaScript holds exactly. */
export function isWhole(value: Unpacked | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

class Walk {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get done(): boolean {
    return this.#at === this.#bytes.length;
  }

  value(depth: number): Unpacked {
    const type = this.#unsigned(1);
    if (type < 0x80) return type;
    if (type >= 0xe0) return type - 0x100;
    if (type >= 0xa0 && type < 0xc0) return this.#text(type & 0x1f);
    if (type >= 0x90 && type < 0xa0) return this.#list(type & 0x0f, depth);
    switch (type) {
      case 0xc0:
        return null;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.#binary(this.#unsigned(1 << (type - 0xc4)));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#text(this.#unsigned(1 << (type - 0xd9)));
      case 0xdc:
      case 0xdd:
        return this.#list(this.#unsigned(2 << (type - 0xdc)), depth);
      default:
        return this.#number(type);
    }
  }

  #number(type: number): number {
    switch (type) {
      case 0xca:
        return this.#view.getFloat32(this.#take(4));
      case 0xcb:
        return this.#view.getFloat64(this.#take(8));
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.#unsigned(1 << (type - 0xcc));
      case 0xcf:
        return Number(this.#view.getBigUint64(this.#take(8)));
      case 0xd0:
        return this.#view.getInt8(this.#take(1));
      case 0xd1:
        return this.#view.getInt16(this.#take(2));
      case 0xd2:
        return this.#view.getInt32(this.#take(4));
      case 0xd3:
        return Number(this.#view.getBigInt64(this.#take(8)));
      default:
        throw new Malformed(); // A map, an extension: nothing that is written in the log.
    }
  }

  #unsigned(width: number): number {
    const at = this.#take(width);
    if (width === 1) return this.#view.getUint8(at);
    return width === 2 ? this.#view.getUint16(at) : this.#view.getUint32(at);
  }

  #list(length: number, depth: number): readonly Unpacked[] {
    // Each value takes a byte at least.
    if (depth === 0 || length > this.#bytes.length - this.#at) throw new Malformed();
    const list: Unpacked[] = [];
    for (let index = 0; index < length; index++) list.push(this.value(depth - 1));
    return list;
  }

  #binary(length: number): Uint8Array {
    const at = this.#take(length);
    return this.#bytes.subarray(at, at + length);
  }

  #text(length: number): string {
    const at = this.#take(length);
    return Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + at, length).toString('utf8');
  }

  /** The place of the next `length` bytes, which are there. */
  #take(length: number): number {
    const at = this.#at;
    if (length > this.#bytes.length - at) throw new Malformed();
    this.#at = at + length;
    return at;
  }
}
