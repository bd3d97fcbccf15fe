import { crc32 } from 'node:zlib';
import { LIMITS } from '../limits.ts';
import { KEY_BYTES } from './commit-key.ts';

/**
 * What stands around every stored value:
 *
 *     crc32 u32 | version u8 | flags u8 | 0 u16 | head bytes u32 | raw body bytes u32 | head | body
 *
 * The checksum covers the key and everything after itself. LevelDB verifies nothing on read and
 * skips damage silently (docs/leveldb.md), so every reader goes through readFrame.
 */
export const FRAME_VERSION = 1;
export const FRAME_HEADER_BYTES = 16;
const FLAG_ZSTD = 1;

export interface Frame {
  readonly head: Uint8Array;
  readonly body: Uint8Array;
  readonly compressed: boolean;
  readonly rawBodyBytes: number;
}

/** `target` MUST have room; returns the part of it that holds the value. */
export function writeFrame(target: Buffer, key: Uint8Array, frame: Frame): Buffer {
  const { head, body, compressed, rawBodyBytes } = frame;
  const size = FRAME_HEADER_BYTES + head.length + body.length;
  target[4] = FRAME_VERSION;
  target[5] = compressed ? FLAG_ZSTD : 0;
  target.writeUInt16BE(0, 6);
  target.writeUInt32BE(head.length, 8);
  target.writeUInt32BE(rawBodyBytes, 12);
  target.set(head, FRAME_HEADER_BYTES);
  target.set(body, FRAME_HEADER_BYTES + head.length);
  const value = target.subarray(0, size);
  target.writeUInt32BE(crc32(value.subarray(4), crc32(key)), 0);
  return value;
}

/** undefined when the checksum or the form is wrong. */
export function readFrame(key: Uint8Array, value: Uint8Array): Frame | undefined {
  if (key.length !== KEY_BYTES || value.length < FRAME_HEADER_BYTES) return undefined;
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  if (view.getUint32(0) !== crc32(value.subarray(4), crc32(key))) return undefined;
  const flags = view.getUint8(5);
  const headEnd = FRAME_HEADER_BYTES + view.getUint32(8);
  const rawBodyBytes = view.getUint32(12);
  if (view.getUint8(4) !== FRAME_VERSION || headEnd > value.length) return undefined;
  if (flags > FLAG_ZSTD || rawBodyBytes > LIMITS.bodyBytes) return undefined;
  if (flags === 0 && rawBodyBytes !== value.length - headEnd) return undefined;
  return {
    head: value.subarray(FRAME_HEADER_BYTES, headEnd),
    body: value.subarray(headEnd),
    compressed: flags === FLAG_ZSTD,
    rawBodyBytes,
  };
}
