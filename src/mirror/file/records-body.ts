import { promisify } from 'node:util';
import { constants, zstdCompress, zstdDecompress } from 'node:zlib';
import { GatelogError } from '../../errors.ts';
import { VarintReader, varintSize, writeVarint } from '../../headers.ts';
import { type LogRecord, streamId, type TimeNote } from '../../record.ts';
import type { Slice } from '../../store/log.ts';
import { EXPORT_LIMITS } from '../../export-limits.ts';

/**
 * Records of one stream in a frame: stream (4 bytes), first offset (8), first time (8), count (4),
 * bytes before compression (4), then by zstd for each record zigzag varints of its time since the
 * first one's, of what is to be said about it (0 nothing, 1 corrected, 2 estimated, then also what
 * the clock said), and of the lengths of key, value (-1 is null) and headers, each before its bytes.
 */
const FIXED_BYTES = 28;
const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);
const LEVEL = { params: { [constants.ZSTD_c_compressionLevel]: 3 } };
const TRUSTS = [undefined, 'corrected', 'estimated'] as const;

/** `records` are not empty. */
export async function encodeRecords({ stream, records }: Slice): Promise<Uint8Array> {
  const { offset = 0, timestampMs = 0 } = records[0] ?? {};
  const size = records.reduce((sum, record) => sum + sizeOf(record, timestampMs), 0);
  const raw = Buffer.allocUnsafe(size);
  let at = 0;
  for (const record of records) at = write(raw, record, timestampMs, at);
  const packed = await compress(raw, LEVEL);
  const body = Buffer.allocUnsafe(FIXED_BYTES + packed.length);
  body.writeUInt32BE(stream, 0);
  body.writeBigUInt64BE(BigInt(offset), 4);
  body.writeBigInt64BE(BigInt(timestampMs), 12);
  body.writeUInt32BE(records.length, 20);
  body.writeUInt32BE(size, 24);
  body.set(packed, FIXED_BYTES);
  return body;
}

/** Throws EXPORT_DAMAGED: the frame's checksum was right, so it was written wrongly. */
export async function decodeRecords(bytes: Uint8Array): Promise<Slice> {
  const body = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    const stream = streamId(body.readUInt32BE(0));
    const offset = Number(body.readBigUInt64BE(4));
    const timestampMs = Number(body.readBigInt64BE(12));
    const count = body.readUInt32BE(20);
    const maxOutputLength = body.readUInt32BE(24);
    if (maxOutputLength > EXPORT_LIMITS.frameBytes) throw new RangeError('more than a frame holds');
    const raw = await decompress(body.subarray(FIXED_BYTES), { maxOutputLength });
    const reader = new VarintReader(raw);
    const records: LogRecord[] = [];
    while (records.length < count) records.push(read(reader, offset + records.length, timestampMs));
    return { stream, records };
  } catch (error) {
    throw new GatelogError('EXPORT_DAMAGED', 'its records can not be read', { cause: error });
  }
}

function partsOf({ key, value, headers }: LogRecord): readonly (Uint8Array | null)[] {
  return [key, value, headers];
}

function sizeOf(record: LogRecord, baseMs: number): number {
  const { timestampMs, time } = record;
  const clock = time === undefined ? 0 : varintSize(time.clockMs);
  return partsOf(record).reduce<number>(
    (sum, part) => sum + varintSize(part?.length ?? -1) + (part?.length ?? 0),
    varintSize(timestampMs - baseMs) + 1 + clock,
  );
}

function write(raw: Buffer, record: LogRecord, baseMs: number, from: number): number {
  const { timestampMs, time } = record;
  let at = writeVarint(raw, timestampMs - baseMs, from);
  at = writeVarint(raw, TRUSTS.indexOf(time?.trust), at);
  if (time !== undefined) at = writeVarint(raw, time.clockMs, at);
  for (const part of partsOf(record)) {
    at = writeVarint(raw, part?.length ?? -1, at);
    raw.set(part ?? [], at);
    at += part?.length ?? 0;
  }
  return at;
}

function read(reader: VarintReader, offset: number, baseMs: number): LogRecord {
  const timestampMs = baseMs + reader.varint();
  const trust = TRUSTS[reader.varint()];
  const time: { time?: TimeNote } =
    trust === undefined ? {} : { time: { trust, clockMs: reader.varint() } };
  const [key, value, headers] = [readPart(reader), readPart(reader), readPart(reader)];
  return { offset, timestampMs, ...time, key, value, headers: headers ?? new Uint8Array(0) };
}

function readPart(reader: VarintReader): Uint8Array | null {
  const length = reader.varint();
  return length < 0 ? null : reader.take(length);
}
