import { assert } from './assert.ts';

/**
 * Record headers in the byte layout of Kafka's record format v2 (KIP-82): zigzag varint count,
 * then for each: varint key length, key (UTF-8), varint value length (-1 is null), value. The log
 * stores these bytes as they are and the Kafka mirror copies them, so nothing is re-encoded on
 * the way. Order and repeats are kept.
 */
export interface Header {
  readonly key: string;
  readonly value: Uint8Array | null;
}

export const NO_HEADERS: Uint8Array = new Uint8Array(0);

export function varintSize(value: number): number {
  let rest = zigzag(value);
  let size = 1;
  while (rest >= 0x80) {
    rest = Math.floor(rest / 128);
    size++;
  }
  return size;
}

/** Writes a zigzag varint at `at`; returns the place after it. */
export function writeVarint(target: Uint8Array, value: number, at: number): number {
  let rest = zigzag(value);
  let place = at;
  while (rest >= 0x80) {
    target[place++] = (rest % 128) | 0x80;
    rest = Math.floor(rest / 128);
  }
  target[place++] = rest;
  return place;
}

function zigzag(value: number): number {
  return value >= 0 ? value * 2 : value * -2 - 1;
}

export function encodeHeaders(headers: readonly Header[]): Uint8Array {
  if (headers.length === 0) return NO_HEADERS;
  const keys = headers.map((header) => Buffer.from(header.key, 'utf8'));
  let size = varintSize(headers.length);
  for (const [index, header] of headers.entries()) {
    const keyLength = keys[index]?.length ?? 0;
    const valueLength = header.value?.length ?? -1;
    size += varintSize(keyLength) + keyLength + varintSize(valueLength) + Math.max(valueLength, 0);
  }
  const target = Buffer.allocUnsafe(size);
  let at = writeVarint(target, headers.length, 0);
  for (const [index, header] of headers.entries()) {
    const key = keys[index] ?? Buffer.alloc(0);
    at = writeVarint(target, key.length, at);
    target.set(key, at);
    at += key.length;
    at = writeVarint(target, header.value?.length ?? -1, at);
    if (header.value !== null) {
      target.set(header.value, at);
      at += header.value.length;
    }
  }
  assert(at === size, 'encoded headers fill exactly the size computed for them');
  return target;
}

/** Reads what encodeHeaders wrote; throws a RangeError on bytes that are not such headers. */
export function decodeHeaders(bytes: Uint8Array): Header[] {
  if (bytes.length === 0) return [];
  const reader = new VarintReader(bytes);
  const count = reader.varint();
  const headers: Header[] = [];
  for (let index = 0; index < count; index++) {
    const key = Buffer.from(reader.take(reader.varint())).toString('utf8');
    const length = reader.varint();
    headers.push({ key, value: length < 0 ? null : reader.take(length) });
  }
  return headers;
}

/** Reads what `writeVarint` wrote, and bytes; throws a RangeError where there is no more. */
export class VarintReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  varint(): number {
    let raw = 0;
    let scale = 1;
    for (;;) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw new RangeError('record headers end inside a varint');
      raw += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
      scale *= 128;
    }
    return raw % 2 === 0 ? raw / 2 : -(raw + 1) / 2;
  }

  take(length: number): Uint8Array {
    if (length < 0 || this.#at + length > this.#bytes.length) {
      throw new RangeError('record headers end inside a field');
    }
    const part = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return part;
  }
}
