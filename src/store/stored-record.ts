import { NO_HEADERS } from '../headers.ts';
import type { LogRecord, TimeNote } from '../record.ts';
import type { Correction } from './boots.ts';

/**
 * A record as it was read: places in its commit's bytes. Its fields become views when they are
 * asked for, and die young. Three views made at once are four times the size of this object, and
 * a mirror holds tens of thousands of records (bench:drain: RssAnon 187 MB at peak became 152, and
 * a quarter of the processor time was saved).
 */
export class StoredRecord implements LogRecord {
  readonly offset: number;
  readonly timestampMs: number;
  readonly #blob: Uint8Array;
  readonly #at: number;
  /** -1: null. */
  readonly #keyLength: number;
  readonly #headersLength: number;
  /** -1: null. */
  readonly #valueLength: number;

  /** In `blob` stand key, headers and value, one after the other, from `at`. */
  constructor(
    offset: number,
    timestampMs: number,
    blob: Uint8Array,
    at: number,
    keyLength: number,
    headersLength: number,
    valueLength: number,
  ) {
    this.offset = offset;
    this.timestampMs = timestampMs;
    this.#blob = blob;
    this.#at = at;
    this.#keyLength = keyLength;
    this.#headersLength = headersLength;
    this.#valueLength = valueLength;
  }

  get key(): Uint8Array | null {
    if (this.#keyLength < 0) return null;
    return this.#blob.subarray(this.#at, this.#at + this.#keyLength);
  }

  get headers(): Uint8Array {
    if (this.#headersLength === 0) return NO_HEADERS;
    const from = this.#at + Math.max(this.#keyLength, 0);
    return this.#blob.subarray(from, from + this.#headersLength);
  }

  get value(): Uint8Array | null {
    if (this.#valueLength < 0) return null;
    const from = this.#at + Math.max(this.#keyLength, 0) + this.#headersLength;
    return this.#blob.subarray(from, from + this.#valueLength);
  }
}

/** A record whose time is not what the clock said when it was received. Its commit's others share the correction. */
export class CorrectedRecord extends StoredRecord {
  readonly #correction: Correction;

  /** `clockMs`: what the clock said. */
  constructor(
    correction: Correction,
    offset: number,
    clockMs: number,
    blob: Uint8Array,
    at: number,
    keyLength: number,
    headersLength: number,
    valueLength: number,
  ) {
    const timestampMs = clockMs + correction.deltaMs;
    super(offset, timestampMs, blob, at, keyLength, headersLength, valueLength);
    this.#correction = correction;
  }

  get time(): TimeNote {
    const { trust, deltaMs } = this.#correction;
    return { trust, clockMs: this.timestampMs - deltaMs };
  }
}
