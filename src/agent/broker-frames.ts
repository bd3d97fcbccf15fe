import { assert } from '../assert.ts';
import { ProtocolViolation, REASON } from './broker-reasons.ts';

const NOTHING = Buffer.alloc(0);
/** Of every reader that holds none; those that do have an array of their own. */
const NO_PARTS: Buffer[] = [];

/**
 * Cuts a byte stream into MQTT control packets (MQTT 5, section 2.1: one byte of type and flags,
 * a variable byte integer of length, the rest). A packet longer than the limit is refused as soon
 * as its length is read, before its body is gathered; one that arrives in many chunks is put
 * together once, when it is complete.
 */
export class FrameReader {
  readonly #maxBytes: number;
  #buffer: Buffer = NOTHING;
  #at = 0;
  #parts: Buffer[] = NO_PARTS;
  #partBytes = 0;
  /** Bytes that must be there before looking again. */
  #need = 0;

  // The current packet, valid after next() returned true and until the next call.
  first = 0;
  start = 0;
  bodyStart = 0;
  end = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get buffer(): Buffer {
    return this.#buffer;
  }

  /** Bytes held and not yet handed out. */
  get held(): number {
    return this.#parts.length > 0 ? this.#partBytes : this.#buffer.length - this.#at;
  }

  push(chunk: Buffer): void {
    if (this.held === 0) {
      this.#buffer = chunk;
      this.#at = 0;
      return;
    }
    if (this.#parts.length === 0) {
      const rest = this.#buffer.subarray(this.#at);
      this.#parts = [rest];
      this.#partBytes = rest.length;
      this.#buffer = NOTHING;
      this.#at = 0;
    }
    this.#parts.push(chunk);
    this.#partBytes += chunk.length;
    if (this.#partBytes >= this.#need) {
      this.#buffer = Buffer.concat(this.#parts, this.#partBytes);
      this.#parts = NO_PARTS;
      this.#partBytes = 0;
    }
  }

  /** The type of the packet that comes next; 0: nothing of it is here. */
  get upcoming(): number {
    return (this.#parts.length > 0 ? 0 : (this.#buffer[this.#at] ?? 0)) >> 4;
  }

  /** Goes to the next complete packet; false when more bytes are needed. */
  next(): boolean {
    if (this.#parts.length > 0) return false;
    const buffer = this.#buffer;
    const available = buffer.length - this.#at;
    if (available === 0) {
      this.#buffer = NOTHING; // lets the chunk go
      this.#at = 0;
      return false;
    }
    let length = 0;
    let scale = 1;
    let at = this.#at + 1;
    for (;;) {
      if (at >= buffer.length) return this.#wantMore(available + 1);
      const byte = buffer[at++] as number;
      length += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
      scale *= 128;
      if (scale > 2_097_152) {
        throw new ProtocolViolation(REASON.malformed, 'a packet length has more than four bytes');
      }
    }
    const total = at - this.#at + length;
    if (total > this.#maxBytes) {
      throw new ProtocolViolation(
        REASON.packetTooLarge,
        `a packet of ${total} bytes is over the limit of ${this.#maxBytes}`,
      );
    }
    if (total > available) return this.#wantMore(total);
    this.first = buffer[this.#at] as number;
    this.start = this.#at;
    this.bodyStart = at;
    this.end = this.#at + total;
    this.#at = this.end;
    return true;
  }

  /** The current packet's bytes, header included. */
  whole(): Buffer {
    assert(this.end > this.start, 'there is a current packet');
    return this.#buffer.subarray(this.start, this.end);
  }

  #wantMore(bytes: number): false {
    this.#need = bytes;
    return false;
  }
}
