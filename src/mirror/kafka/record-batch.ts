import { crc32c } from '@platformatic/kafka';
import { assert } from '../../assert.ts';
import { decodeHeaders, encodeHeaders, varintSize, writeVarint } from '../../headers.ts';
import { IDENTITY_HEADER } from '../../identity.ts';
import type { LogRecord } from '../../record.ts';
import { TIME_ORIGINAL_HEADER, timeHeaders } from '../../time-headers.ts';
import type { TimeRange } from './time-bounds.ts';

/**
 * Kafka's record batch, format v2 (KIP-98, KIP-82): the encoder of the hottest path upstream. One
 * pass, one reusable buffer, no object per record. The record's headers are copied as they are
 * stored; only their count is raised by one for the identity header that follows them.
 *
 * Producer id, epoch and sequence are filled in when the batch is sent (`sealBatch`), because they
 * are not known while it is encoded ahead of time; they are covered by the checksum, which is
 * therefore computed then, over the compressed bytes.
 */
const BATCH_HEADER_BYTES = 61;
/** Records follow their count, so what a codec compresses starts here. */
const RECORDS_AT = BATCH_HEADER_BYTES;

const ATTRIBUTE_TRANSACTIONAL = 1 << 4;

const IDENTITY_KEY = Buffer.from(IDENTITY_HEADER, 'utf8');
/** varint key length and key of the identity header: the same in every record. */
const IDENTITY_HEAD: Uint8Array = (() => {
  const head = Buffer.alloc(varintSize(IDENTITY_KEY.length) + IDENTITY_KEY.length);
  head.set(IDENTITY_KEY, writeVarint(head, IDENTITY_KEY.length, 0));
  return head;
})();

/** Most bytes a record can take beyond its key, value and headers, without its identity prefix. */
const RECORD_OVERHEAD = 5 + 1 + 10 + 5 + 5 + 5 + 5 + 12 + 5 + 16;

/** A batch whose producer fields and checksum are still open. */
export interface EncodedBatch {
  /** Whole batch; the producer fields are filled in by `sealBatch`. */
  readonly bytes: Buffer;
  readonly records: number;
  /** Size before compression, header included. */
  readonly rawBytes: number;
}

export interface BatchStamp {
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly transactional: boolean;
}

/** Collects records into one batch after another, in a buffer that is used again and again. */
export class RecordBatchEncoder {
  #buffer: Buffer;
  #at = RECORDS_AT;
  #count = 0;
  #firstTimestamp = 0;
  #maxTimestamp = 0;

  constructor(initialBytes: number) {
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(initialBytes, RECORDS_AT));
  }

  get count(): number {
    return this.#count;
  }

  /**
   * A timestamp outside `range` goes as the nearest inside, its own in a header, as what there is to
   * say of the time is. `identity` is the UTF-8 of everything but the offset (src/identity.ts, identityPrefix). False:
   * the batch might grow beyond `limit` bytes before compression; a first record always fits.
   */
  add(
    record: LogRecord,
    identity: Uint8Array,
    limit: number = Number.POSITIVE_INFINITY,
    range?: TimeRange,
  ): boolean {
    const { key, value } = record;
    const timestampMs = range === undefined ? record.timestampMs : nearest(record, range);
    const isPlain = record.time === undefined && timestampMs === record.timestampMs;
    const headers = isPlain ? record.headers : withTimeHeaders(record, timestampMs);
    const keyLength = key === null ? 0 : key.length;
    const valueLength = value === null ? 0 : value.length;
    const needed = RECORD_OVERHEAD + keyLength + valueLength + headers.length + identity.length;
    if (this.#count > 0 && this.#at + needed > limit) return false;
    if (this.#at + needed > this.#buffer.length) this.#grow(this.#at + needed);
    if (this.#count === 0) {
      this.#firstTimestamp = timestampMs;
      this.#maxTimestamp = timestampMs;
    } else if (timestampMs > this.#maxTimestamp) {
      this.#maxTimestamp = timestampMs;
    }
    const digits = String(record.offset);
    const target = this.#buffer;
    // The length comes first and is a varint: room for five bytes is left, the body is written
    // behind it, and the few bytes of slack are closed by computing the exact size beforehand.
    const delta = timestampMs - this.#firstTimestamp;
    const identityLength = identity.length + digits.length;
    const headerCount = headers.length === 0 ? 0 : readCount(headers);
    const oldCountSize = headers.length === 0 ? 0 : varintSize(headerCount);
    const size =
      1 +
      varintSize(delta) +
      varintSize(this.#count) +
      (key === null ? 1 : varintSize(keyLength) + keyLength) +
      (value === null ? 1 : varintSize(valueLength) + valueLength) +
      varintSize(headerCount + 1) +
      headers.length -
      oldCountSize +
      IDENTITY_HEAD.length +
      varintSize(identityLength) +
      identityLength;
    let at = writeVarint(target, size, this.#at);
    const end = at + size;
    target[at++] = 0; // attributes: unused
    at = writeVarint(target, delta, at);
    at = writeVarint(target, this.#count, at);
    at = writeField(target, key, at);
    at = writeField(target, value, at);
    at = writeVarint(target, headerCount + 1, at);
    if (headers.length > oldCountSize) at = copy(target, headers, oldCountSize, at);
    at = copy(target, IDENTITY_HEAD, 0, at);
    at = writeVarint(target, identityLength, at);
    at = copy(target, identity, 0, at);
    for (let index = 0; index < digits.length; index++) target[at++] = digits.charCodeAt(index);
    assert(at === end, 'a record fills exactly the size written before it');
    this.#at = at;
    this.#count++;
    return true;
  }

  /** The records of the batch, to be compressed before anything else is added. */
  records(): Buffer {
    return this.#buffer.subarray(RECORDS_AT, this.#at);
  }

  /**
   * Ends the batch and starts the next. `compressed` holds the compressed records, or undefined
   * to copy them as they are. The result owns its bytes.
   */
  finish(compressed: readonly Buffer[] | undefined, codec: number): EncodedBatch {
    assert(this.#count > 0, 'a batch holds at least one record');
    const parts = compressed ?? [this.records()];
    const length = parts.reduce((sum, part) => sum + part.length, BATCH_HEADER_BYTES);
    const bytes = Buffer.allocUnsafeSlow(length);
    let at = BATCH_HEADER_BYTES;
    for (const part of parts) {
      bytes.set(part, at);
      at += part.length;
    }
    bytes.writeBigInt64BE(0n, 0); // base offset: the broker's to set
    bytes.writeInt32BE(length - 12, 8);
    bytes.writeInt32BE(-1, 12); // partition leader epoch: the broker's to set
    bytes.writeInt8(2, 16); // magic
    bytes.writeInt16BE(codec, 21);
    bytes.writeInt32BE(this.#count - 1, 23);
    bytes.writeBigInt64BE(BigInt(this.#firstTimestamp), 27);
    bytes.writeBigInt64BE(BigInt(this.#maxTimestamp), 35);
    bytes.writeInt32BE(this.#count, 57);
    const records = this.#count;
    const rawBytes = this.#at;
    this.reset();
    return { bytes, records, rawBytes };
  }

  /** Forgets what was added since the last `finish`. */
  reset(): void {
    this.#at = RECORDS_AT;
    this.#count = 0;
  }

  #grow(atLeast: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(atLeast, this.#buffer.length * 2));
    larger.set(this.#buffer.subarray(0, this.#at));
    this.#buffer = larger;
  }
}

/** Fills in who sends the batch, and the checksum. May be done again for another sender. */
export function sealBatch(batch: EncodedBatch, stamp: BatchStamp): void {
  const { bytes } = batch;
  const codec = bytes.readInt16BE(21) & 0x07;
  bytes.writeInt16BE(codec | (stamp.transactional ? ATTRIBUTE_TRANSACTIONAL : 0), 21);
  bytes.writeBigInt64BE(stamp.producerId, 43);
  bytes.writeInt16BE(stamp.producerEpoch, 51);
  bytes.writeInt32BE(stamp.baseSequence, 53);
  bytes.writeUInt32BE(crc32c(bytes.subarray(21)), 17);
}

function nearest({ timestampMs }: LogRecord, { minMs, maxMs }: TimeRange): number {
  if (timestampMs < minMs) return Math.ceil(minMs);
  return timestampMs > maxMs ? Math.floor(maxMs) : timestampMs;
}

/** For the rare record; one that was encoded before has its original there already. */
function withTimeHeaders({ headers, time, timestampMs }: LogRecord, sentMs: number): Uint8Array {
  const own = decodeHeaders(headers);
  const isNew = sentMs !== timestampMs && !own.some(({ key }) => key === TIME_ORIGINAL_HEADER);
  return encodeHeaders([...own, ...timeHeaders(time, isNew ? timestampMs : undefined)]);
}

function readCount(headers: Uint8Array): number {
  let raw = 0;
  let scale = 1;
  for (let at = 0; ; at++) {
    const byte = headers[at];
    assert(byte !== undefined, 'stored headers begin with their count');
    raw += (byte & 0x7f) * scale;
    if (byte < 0x80) return raw / 2;
    scale *= 128;
  }
}

function writeField(target: Uint8Array, field: Uint8Array | null, at: number): number {
  if (field === null) {
    target[at] = 1; // zigzag of -1: null
    return at + 1;
  }
  return copy(target, field, 0, writeVarint(target, field.length, at));
}

/** Short fields byte by byte: a call of `set` costs more than forty of them (measured). */
function copy(target: Uint8Array, source: Uint8Array, from: number, at: number): number {
  const length = source.length;
  if (length - from > 48) {
    target.set(from === 0 ? source : source.subarray(from), at);
    return at + length - from;
  }
  let place = at;
  for (let index = from; index < length; index++) target[place++] = source[index] as number;
  return place;
}
