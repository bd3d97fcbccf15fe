/** No snappy text unpacks to more than so many times its bytes: a copy of 64 takes at least three. */
const GROWTH = 32;

/** Unpacks a block as LevelDB packs it; undefined when it can't be. */
export function unsnappied(packed: Uint8Array): Buffer | undefined {
  const reader = new Reader(packed);
  const length = reader.varint();
  if (length === undefined || length > packed.length * GROWTH) return undefined;
  const target = Buffer.allocUnsafe(length);
  let at = 0;
  while (reader.at < packed.length) {
    if (!reader.element() || at + reader.size > length) return undefined;
    const { size, back } = reader;
    if (back === 0) {
      target.set(packed.subarray(reader.at, reader.at + size), at);
      reader.at += size;
      at += size;
      continue;
    }
    if (back > at) return undefined;
    // One by one: it may copy what it has just written.
    for (const end = at + size; at < end; at++) target[at] = target[at - back] as number;
  }
  return at === length ? target : undefined;
}

/** Through bytes that may be anything. */
export interface Walk {
  /** Steps that may still be taken. */
  left: number;
  /** Where the last one ended. */
  at: number;
}

/**
 * Goes through a packed text without unpacking it; true when it is whole. One that does not unpack to
 * something that begins with a zero is none.
 */
export function walkPacked(bytes: Uint8Array, from: number, walk: Walk): boolean {
  walk.at = from;
  const reader = new Reader(bytes, from);
  const length = reader.varint();
  if (length === undefined || length > (bytes.length - from) * GROWTH) return false;
  let at = 0;
  while (at < length) {
    if (walk.left-- <= 0 || !reader.element() || reader.back > at) return false;
    if (at === 0 && bytes[reader.at] !== 0) return false;
    if (reader.back === 0) reader.at += reader.size;
    at += reader.size;
    walk.at = reader.at;
  }
  return at > 0 && at === length;
}

/** Bytes of the offset by kind of copy. */
const COPY_BYTES = [0, 1, 2, 4] as const;
const LITERAL_INLINE = 60;

/** Bytes behind a tag that tell a literal's size, where it does not stand in the tag. */
export function literalSizeBytes(told: number): number {
  return Math.max(0, told - LITERAL_INLINE + 1);
}

class Reader {
  readonly #bytes: Uint8Array;
  at: number;
  /** Of the element that was read last: bytes that it unpacks to. */
  size = 0;
  /** How far back they stand in what is unpacked; 0: they stand here. */
  back = 0;

  constructor(bytes: Uint8Array, at: number = 0) {
    this.#bytes = bytes;
    this.at = at;
  }

  /** False when there is none. */
  element(): boolean {
    const tag = this.number(1);
    if (tag === undefined) return false;
    const kind = tag & 3;
    if (kind === 0) return this.#literal(tag >>> 2);
    const low = this.number(COPY_BYTES[kind] ?? 0);
    this.size = kind === 1 ? ((tag >>> 2) & 7) + 4 : (tag >>> 2) + 1;
    this.back = kind === 1 ? ((tag >>> 5) << 8) | (low ?? 0) : (low ?? 0);
    return low !== undefined && this.back > 0;
  }

  #literal(told: number): boolean {
    const sizeBytes = literalSizeBytes(told);
    const more = sizeBytes === 0 ? told : this.number(sizeBytes);
    this.size = (more ?? 0) + 1;
    this.back = 0;
    return more !== undefined && this.at + this.size <= this.#bytes.length;
  }

  /** Little-endian. */
  number(bytes: number): number | undefined {
    if (this.at + bytes > this.#bytes.length) return undefined;
    let value = 0;
    for (let index = 0; index < bytes; index++) {
      value += (this.#bytes[this.at++] as number) * 2 ** (8 * index);
    }
    return value;
  }

  varint(): number | undefined {
    let value = 0;
    for (let shift = 0; shift <= 28; shift += 7) {
      const byte = this.number(1);
      if (byte === undefined) return undefined;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    return undefined;
  }
}
