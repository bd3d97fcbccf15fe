import { crc32c, masked } from './crc32c.ts';

/**
 * LevelDB's log format: blocks of 32 KiB, in them parts of records, each behind a header of
 *
 *     masked CRC-32C of type and bytes u32 | length u16 | type u8
 *
 * little-endian. A part never crosses a block; where fewer bytes than a header are left, they are
 * zeros. LevelDB drops the rest of a block in which it can't read a part, and takes it for the end of
 * the file where it is the last one: what stands behind in it is given up in silence.
 */
export const BLOCK_BYTES = 32_768;
export const HEADER_BYTES = 7;
/** A record is whole, or its first, middle or last part. */
export const FULL = 1;
export const FIRST = 2;
export const MIDDLE = 3;
export const LAST = 4;

/** Of the bytes of a file: where something begins, and one past its end. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

export interface WalRecord extends Span {
  readonly bytes: Buffer;
}

export interface WalContents {
  /** Whole, and as they were written by their checksums; ascending. */
  readonly records: readonly WalRecord[];
  /** What is none, between them and behind them; ascending, apart from each other. */
  readonly bad: readonly Span[];
}

/** Reads on behind what can't be read, also within its block. */
export function readWal(file: Buffer): WalContents {
  return new WalReader(file).read();
}

interface Part {
  readonly type: number;
  readonly bytes: Buffer;
  readonly end: number;
}

/** The part at `at`, if it is good and ends up to `end`. */
function partAt(file: Buffer, at: number, end: number): Part | undefined {
  if (at + HEADER_BYTES > end) return undefined;
  const to = at + HEADER_BYTES + file.readUInt16LE(at + 4);
  const type = file.readUInt8(at + 6);
  if (to > end || type < FULL || type > LAST) return undefined;
  // The checksum covers the type too.
  const sum = masked(crc32c(file.subarray(at + HEADER_BYTES - 1, to)));
  if (sum !== file.readUInt32LE(at)) return undefined;
  return { type, bytes: file.subarray(at + HEADER_BYTES, to), end: to };
}

class WalReader {
  readonly #file: Buffer;
  readonly #records: WalRecord[] = [];
  readonly #bad: Span[] = [];
  /** Of the record that began and has not ended yet. */
  #parts: Buffer[] = [];
  #begun = 0;
  #recordsBeforeBad = -1;

  constructor(file: Buffer) {
    this.#file = file;
  }

  read(): WalContents {
    const { length } = this.#file;
    for (let block = 0; block < length; block += BLOCK_BYTES) {
      this.#block(block, Math.min(block + BLOCK_BYTES, length));
    }
    this.#drop(length);
    return { records: this.#records, bad: this.#bad };
  }

  #block(from: number, end: number): void {
    let at = from;
    while (at + HEADER_BYTES <= end) {
      const part = partAt(this.#file, at, end);
      const next = part?.end ?? this.#goodFrom(at, end);
      if (part === undefined) this.#badTo(at, next);
      else this.#take(part, at);
      at = next;
    }
    if (at < end && end % BLOCK_BYTES !== 0) this.#badTo(at, end);
  }

  #take({ type, bytes, end }: Part, at: number): void {
    if (type === FULL || type === FIRST) {
      this.#drop(at);
      this.#begun = at;
      this.#parts = [bytes];
    } else if (this.#parts.length > 0) {
      this.#parts.push(bytes);
    } else {
      this.#badTo(at, end);
      return;
    }
    if (type === FIRST || type === MIDDLE) return;
    const [only = bytes] = this.#parts;
    const whole = this.#parts.length === 1 ? only : Buffer.concat(this.#parts);
    this.#records.push({ from: this.#begun, to: end, bytes: whole });
    this.#parts = [];
  }

  /** What began has no end. */
  #drop(to: number): void {
    if (this.#parts.length > 0) this.#note(this.#begun, to);
    this.#parts = [];
  }

  #badTo(from: number, to: number): void {
    this.#note(this.#parts.length > 0 ? this.#begun : from, to);
    this.#parts = [];
  }

  /** With no record since the last one it is one. */
  #note(from: number, to: number): void {
    const last = this.#recordsBeforeBad === this.#records.length ? this.#bad.pop() : undefined;
    this.#bad.push({ from: last?.from ?? from, to });
    this.#recordsBeforeBad = this.#records.length;
  }

  /**
   * Where the next good part of the block begins, or its end: behind the bad one by its length, if
   * that is right, else anywhere, where it looks like the beginning of a batch.
   */
  #goodFrom(at: number, end: number): number {
    const file = this.#file;
    const behind = at + HEADER_BYTES + file.readUInt16LE(at + 4);
    if (behind < end && partAt(file, behind, end) !== undefined) return behind;
    for (let next = at + 1; next + HEADER_BYTES <= end; next++) {
      if (looksLikeRecord(file, next, end) && partAt(file, next, end) !== undefined) return next;
    }
    return end;
  }
}

/** Of a batch: its sequence number and its count, 8 and 4 bytes, and the first kind of entry. */
const BATCH_HEADER_BYTES = 12;
const ENTRIES_MAX = 65_536;

/** So that few checksums are worked out for nothing. A first part always fills its block. */
function looksLikeRecord(file: Buffer, at: number, end: number): boolean {
  const type = file.readUInt8(at + 6);
  if (type !== FULL && type !== FIRST) return false;
  const bytes = at + HEADER_BYTES;
  const length = file.readUInt16LE(at + 4);
  if (type === FIRST) return bytes + length === end;
  if (length <= BATCH_HEADER_BYTES || bytes + length > end) return false;
  const count = file.readUInt32LE(bytes + 8);
  const isNumbered = file.readUInt16LE(bytes + 6) === 0;
  return isNumbered && count > 0 && count <= ENTRIES_MAX && file.readUInt8(bytes + 12) <= 1;
}

/** A file of these records and nothing else. */
export function walOf(records: readonly Uint8Array[]): Buffer {
  const pieces: Uint8Array[] = [];
  let at = 0;
  for (const record of records) {
    let isFirst = true;
    for (let done = 0, isLast = false; !isLast;) {
      const left = BLOCK_BYTES - (at % BLOCK_BYTES);
      if (left < HEADER_BYTES) {
        pieces.push(new Uint8Array(left));
        at += left;
        continue;
      }
      const bytes = record.subarray(done, done + left - HEADER_BYTES);
      isLast = done + bytes.length === record.length;
      pieces.push(partOf(typeOf(isFirst, isLast), bytes));
      isFirst = false;
      at += HEADER_BYTES + bytes.length;
      done += bytes.length;
    }
  }
  return Buffer.concat(pieces);
}

function typeOf(isFirst: boolean, isLast: boolean): number {
  if (isFirst) return isLast ? FULL : FIRST;
  return isLast ? LAST : MIDDLE;
}

function partOf(type: number, bytes: Uint8Array): Buffer {
  const part = Buffer.alloc(HEADER_BYTES + bytes.length);
  part.writeUInt16LE(bytes.length, 4);
  part.writeUInt8(type, 6);
  part.set(bytes, HEADER_BYTES);
  part.writeUInt32LE(masked(crc32c(part.subarray(HEADER_BYTES - 1))), 0);
  return part;
}
