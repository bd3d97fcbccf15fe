/**
 * Kafka's framing, as far as a proxy needs it: every request and response is a 4 byte length and
 * that many bytes. A request begins with its API key, version and correlation id, a response with
 * the correlation id of its request.
 */
export const API = {
  Produce: 0,
  Fetch: 1,
  ListOffsets: 2,
  Metadata: 3,
  OffsetCommit: 8,
  OffsetFetch: 9,
  FindCoordinator: 10,
  SaslHandshake: 17,
  ApiVersions: 18,
  InitProducerId: 22,
  AddPartitionsToTxn: 24,
  AddOffsetsToTxn: 25,
  EndTxn: 26,
  TxnOffsetCommit: 28,
  SaslAuthenticate: 36,
} as const;

export type ApiName = keyof typeof API;

export interface RequestHeader {
  readonly apiKey: number;
  readonly apiVersion: number;
  readonly correlationId: number;
}

export interface Frame {
  /** The length field and the first bytes of the frame: enough for its header. */
  readonly head: Buffer;
  /** Where the frame begins, counted in bytes of the stream. */
  readonly start: number;
  /** Where it ends (exclusive), likewise. */
  readonly end: number;
}

const LENGTH_BYTES = 4;

/** Follows a byte stream and tells each frame once, as soon as `headBytes` after its length are in. */
export class FrameScanner {
  readonly #headBytes: number;
  #head: Buffer = Buffer.alloc(0);
  #start = 0;
  #skip = 0;

  constructor(headBytes: number) {
    this.#headBytes = headBytes;
  }

  scan(chunk: Buffer): Frame[] {
    const frames: Frame[] = [];
    let rest = chunk;
    while (rest.length > 0) {
      const skipped = Math.min(this.#skip, rest.length);
      this.#skip -= skipped;
      rest = rest.subarray(skipped);
      const wanted = LENGTH_BYTES + this.#headBytes - this.#head.length;
      this.#head = Buffer.concat([this.#head, rest.subarray(0, wanted)]);
      rest = rest.subarray(Math.min(wanted, rest.length));
      if (this.#head.length < LENGTH_BYTES + this.#headBytes) break;
      const length = this.#head.readInt32BE(0);
      if (length < this.#headBytes)
        throw new Error(`a frame of ${length} bytes: this is not Kafka`);
      const end = this.#start + LENGTH_BYTES + length;
      frames.push({ head: this.#head, start: this.#start, end });
      this.#skip = end - this.#start - this.#head.length;
      this.#head = Buffer.alloc(0);
      this.#start = end;
    }
    return frames;
  }
}

export const REQUEST_HEAD_BYTES = 8;
export const RESPONSE_HEAD_BYTES = 4;

export function requestHeader(frame: Frame): RequestHeader {
  return {
    apiKey: frame.head.readInt16BE(LENGTH_BYTES),
    apiVersion: frame.head.readInt16BE(LENGTH_BYTES + 2),
    correlationId: frame.head.readInt32BE(LENGTH_BYTES + 4),
  };
}

export function responseCorrelationId(frame: Frame): number {
  return frame.head.readInt32BE(LENGTH_BYTES);
}
