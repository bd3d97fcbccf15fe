import { crc32c, masked } from './crc32c.ts';
import { unsnappied } from './snappy.ts';

/**
 * LevelDB's table files, as far as it is needed to look at their blocks before LevelDB does: blocks of
 * data, a filter, a block that names it, an index of the data blocks, a footer. LevelDB writes a
 * checksum after each block, never looks at it, and ends the process over some of what it misreads.
 */
export interface Handle {
  readonly offset: number;
  /** Without the trailer. */
  readonly size: number;
}

export interface BlockEntry {
  /** LevelDB's own: ours, and eight bytes of its. */
  readonly key: Buffer;
  readonly value: Buffer;
}

/** After each block: how it is packed, and a checksum over it and that. */
export const TRAILER_BYTES = 5;
export const FOOTER_BYTES = 48;
export const PLAIN = 0;
export const SNAPPY = 1;
/** LevelDB tells a block of this kind as damaged, and looks no further into it. */
export const UNREADABLE = 0xff;
const MAGIC = Buffer.from('57fb808b247547db', 'hex');
export const NUMBER_BYTES = 4;
/** Of a key: LevelDB's own end, a sequence number and a kind. */
export const KEY_END_BYTES = 8;

/** The footer's handles; undefined when the bytes are none. */
export function readFooter(
  footer: Buffer,
): { readonly metaindex: Handle; readonly index: Handle } | undefined {
  if (!isTable(footer)) return undefined;
  const cursor = new Cursor(footer);
  const metaindex = cursor.handle();
  const index = cursor.handle();
  return metaindex === undefined || index === undefined ? undefined : { metaindex, index };
}

/** LevelDB reads what has such a footer, whatever its handles say. */
export function isTable(footer: Buffer): boolean {
  return footer.subarray(FOOTER_BYTES - MAGIC.length).equals(MAGIC);
}

export function handleIn(value: Buffer): Handle | undefined {
  return new Cursor(value).handle();
}

/** `stored`: with its trailer. */
export function isSound(stored: Buffer): boolean {
  const end = stored.length - NUMBER_BYTES;
  return masked(crc32c(stored.subarray(0, end))) === stored.readUInt32LE(end);
}

/** undefined when LevelDB can't unpack it either. */
export function unpackedBlock(stored: Buffer): Buffer | undefined {
  const end = stored.length - TRAILER_BYTES;
  const bytes = stored.subarray(0, end);
  const kind = stored[end];
  if (kind === PLAIN) return bytes;
  return kind === SNAPPY ? unsnappied(bytes) : undefined;
}

/**
 * The entries of a block, in ascending order of their keys; undefined when anything in it is not as
 * LevelDB expects it, so that it may end the process over it.
 */
export function entriesIn(block: Buffer): BlockEntry[] | undefined {
  const restarts = restartsIn(block);
  if (restarts === undefined) return undefined;
  const dataEnd = block.length - NUMBER_BYTES * (restarts.size + 1);
  const cursor = new Cursor(block.subarray(0, dataEnd));
  const entries: BlockEntry[] = [];
  let before: Buffer | undefined;
  while (cursor.at < dataEnd) {
    const isRestart = restarts.delete(cursor.at);
    const entry = cursor.entry(before);
    if (entry === undefined || (isRestart && entry.shared > 0)) return undefined;
    if (before !== undefined && compareKeys(before, entry.key) >= 0) return undefined;
    before = entry.key;
    entries.push(entry);
  }
  restarts.delete(dataEnd); // As in a block without entries.
  return restarts.size === 0 ? entries : undefined;
}

/** Places in a block where a key stands whole. */
function restartsIn(block: Buffer): Set<number> | undefined {
  if (block.length < 2 * NUMBER_BYTES) return undefined;
  const count = block.readUInt32LE(block.length - NUMBER_BYTES);
  const from = block.length - NUMBER_BYTES * (count + 1);
  if (count === 0 || from < 0) return undefined;
  const places = new Set<number>();
  for (let index = 0; index < count; index++) {
    places.add(block.readUInt32LE(from + NUMBER_BYTES * index));
  }
  return places.size === count ? places : undefined;
}

/** As LevelDB orders: the newer of two equal ones first. */
export function compareKeys(left: Buffer, right: Buffer): number {
  const order = Buffer.compare(userKey(left), userKey(right));
  return order === 0 ? Number(endOf(right) - endOf(left)) : order;
}

export function userKey(key: Buffer): Buffer {
  return key.subarray(0, key.length - KEY_END_BYTES);
}

/** False for what no key of LevelDB's ends with. */
export function isInternalKey(key: Buffer): boolean {
  return key.length >= KEY_END_BYTES && isKeyKind(key[key.length - KEY_END_BYTES]);
}

/** A deletion or a value. */
function isKeyKind(kind: number | undefined): boolean {
  return kind === 0 || kind === 1;
}

function endOf(key: Buffer): bigint {
  return key.readBigUInt64LE(key.length - KEY_END_BYTES);
}

interface ReadEntry extends BlockEntry {
  readonly shared: number;
}

export class Cursor {
  readonly #bytes: Buffer;
  at = 0;
  /** Of the entry that was read last. */
  #shared = 0;
  #ownBytes = 0;
  #valueBytes = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  handle(): Handle | undefined {
    const offset = this.#varint();
    const size = this.#varint();
    return offset === undefined || size === undefined ? undefined : { offset, size };
  }

  entry(before: Buffer | undefined): ReadEntry | undefined {
    if (!this.#head(before?.length ?? 0)) return undefined;
    const keyFrom = this.at;
    const valueFrom = keyFrom + this.#ownBytes;
    this.at = valueFrom + this.#valueBytes;
    const shared = this.#shared;
    const own = this.#bytes.subarray(keyFrom, valueFrom);
    const key = before === undefined ? own : Buffer.concat([before.subarray(0, shared), own]);
    return { shared, key, value: this.#bytes.subarray(valueFrom, this.at) };
  }

  /** Goes on behind an entry; how long its key is, or undefined: none of a block of data begins here. */
  skip(keyBytes: number): number | undefined {
    if (!this.#head(keyBytes)) return undefined;
    const own = this.#ownBytes;
    if (own >= KEY_END_BYTES && !isKeyKind(this.#bytes[this.at + own - KEY_END_BYTES])) {
      return undefined;
    }
    this.at += own + this.#valueBytes;
    return this.#shared + own;
  }

  /** What stands before the key; false when no entry begins so after a key of that many bytes. */
  #head(keyBytes: number): boolean {
    this.#shared = this.#varint() ?? Infinity;
    this.#ownBytes = this.#varint() ?? Infinity;
    this.#valueBytes = this.#varint() ?? Infinity;
    const isInside =
      this.#shared <= keyBytes && this.at + this.#ownBytes + this.#valueBytes <= this.#bytes.length;
    return isInside && this.#shared + this.#ownBytes >= KEY_END_BYTES;
  }

  /** undefined: it does not end here, or is larger than any that is written. */
  #varint(): number | undefined {
    let value = 0;
    for (let scale = 1; scale < 2 ** 49; scale *= 128) {
      const byte = this.#bytes[this.at++];
      if (byte === undefined) return undefined;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    return undefined;
  }
}

/** Text of a block with its trailer, not packed. */
export function storedBlock(contents: Buffer): Buffer {
  const stored = Buffer.concat([contents, Buffer.alloc(TRAILER_BYTES)]);
  stored[contents.length] = PLAIN;
  const sum = masked(crc32c(stored.subarray(0, contents.length + 1)));
  stored.writeUInt32LE(sum, contents.length + 1);
  return stored;
}

/** A block of these entries, each with its key whole. */
export function blockOf(entries: readonly BlockEntry[]): Buffer {
  const parts: Buffer[] = [];
  const restarts: number[] = [];
  let at = 0;
  for (const { key, value } of entries) {
    const part = Buffer.concat([varints(0, key.length, value.length), key, value]);
    restarts.push(at);
    parts.push(part);
    at += part.length;
  }
  if (restarts.length === 0) restarts.push(0); // LevelDB has one in any block.
  const tail = Buffer.alloc(NUMBER_BYTES * (restarts.length + 1));
  for (const [index, place] of [...restarts, restarts.length].entries()) {
    tail.writeUInt32LE(place, NUMBER_BYTES * index);
  }
  return Buffer.concat([...parts, tail]);
}

export function handleBytes({ offset, size }: Handle): Buffer {
  return varints(offset, size);
}

export function footerOf(metaindex: Handle, index: Handle): Buffer {
  const footer = Buffer.alloc(FOOTER_BYTES);
  Buffer.concat([handleBytes(metaindex), handleBytes(index)]).copy(footer);
  MAGIC.copy(footer, FOOTER_BYTES - MAGIC.length);
  return footer;
}

function varints(...values: readonly number[]): Buffer {
  const bytes: number[] = [];
  for (let value of values) {
    for (; value >= 0x80; value = Math.floor(value / 0x80)) bytes.push((value % 0x80) | 0x80);
    bytes.push(value);
  }
  return Buffer.from(bytes);
}
