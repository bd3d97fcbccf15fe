import { crc32 } from 'node:zlib';
import { assert } from '../../assert.ts';
import { GatelogError } from '../../errors.ts';
import { EXPORT_LIMITS } from '../../export-limits.ts';

/**
 * What export files and the way to them are made of: length of kind and body (4 bytes, big-endian),
 * their CRC-32 (4 bytes), kind (1 byte), body.
 */
export const FRAME_KINDS = { header: 1, records: 2, gap: 3, end: 4, elsewhere: 5 } as const;
export type FrameKind = keyof typeof FRAME_KINDS;

export interface Frame {
  readonly kind: FrameKind;
  readonly body: Uint8Array;
}

const PREFIX_BYTES = 8;
const KINDS = new Map<number, FrameKind>(
  Object.entries(FRAME_KINDS).map(([kind, number]) => [number, kind as FrameKind]),
);

export function encodeFrame({ kind, body }: Frame): Uint8Array {
  const length = body.length + 1;
  assert(length <= EXPORT_LIMITS.frameBytes, 'a frame is bounded');
  const bytes = Buffer.allocUnsafe(PREFIX_BYTES + length);
  bytes.writeUInt32BE(length, 0);
  bytes[PREFIX_BYTES] = FRAME_KINDS[kind];
  bytes.set(body, PREFIX_BYTES + 1);
  bytes.writeUInt32BE(crc32(bytes.subarray(PREFIX_BYTES)), 4);
  return bytes;
}

/**
 * Finds frames in bytes as they come. Throws EXPORT_DAMAGED for one that is altered; what a source
 * ends within is `pending`.
 */
export class FrameParser {
  #bytes: Buffer = Buffer.alloc(0);

  /** Bytes of a frame that has not come whole. */
  get pending(): number {
    return this.#bytes.length;
  }

  *push(chunk: Uint8Array): Generator<Frame> {
    this.#bytes = this.#bytes.length === 0 ? asBuffer(chunk) : Buffer.concat([this.#bytes, chunk]);
    for (let frame = this.#next(); frame !== undefined; frame = this.#next()) yield frame;
  }

  #next(): Frame | undefined {
    const bytes = this.#bytes;
    if (bytes.length < PREFIX_BYTES) return undefined;
    const length = bytes.readUInt32BE(0);
    if (length < 1 || length > EXPORT_LIMITS.frameBytes) throw damaged();
    const whole = PREFIX_BYTES + length;
    if (bytes.length < whole) return undefined;
    const content = bytes.subarray(PREFIX_BYTES, whole);
    const kind = KINDS.get(content[0] ?? 0);
    if (bytes.readUInt32BE(4) !== crc32(content) || kind === undefined) throw damaged();
    this.#bytes = bytes.subarray(whole);
    return { kind, body: content.subarray(1) };
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function damaged(): GatelogError {
  return new GatelogError('EXPORT_DAMAGED', 'its bytes are altered');
}

/** The body of a frame that holds JSON. Throws EXPORT_DAMAGED. */
export function jsonOf({ body }: Frame): unknown {
  try {
    return JSON.parse(Buffer.from(body).toString('utf8'));
  } catch {
    throw damaged();
  }
}

export function jsonFrame(kind: FrameKind, value: unknown): Frame {
  return { kind, body: Buffer.from(JSON.stringify(value), 'utf8') };
}
