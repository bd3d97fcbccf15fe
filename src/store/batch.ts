import { LIMITS } from '../limits.ts';
import type { AppendDone } from './log.ts';

const CAPACITY: number = LIMITS.commitRecords;
const NOBODY: AppendDone = () => {};
/** Stream of an entry that only keeps its place in the order: `settled`, or a repeat. */
export const MARKER = -1;

/**
 * What waits for one commit, in arrival order: a structure of arrays that is filled, committed,
 * acknowledged and used again, so that an append allocates nothing.
 */
export class Batch {
  readonly streams: Int32Array = new Int32Array(CAPACITY);
  readonly offsets: Float64Array = new Float64Array(CAPACITY);
  readonly times: Float64Array = new Float64Array(CAPACITY);
  /** 1: the time came with the record, as from another gateway; 0: it is our clock's. */
  readonly given: Uint8Array = new Uint8Array(CAPACITY);
  readonly keys: (Uint8Array | null)[] = Array.from({ length: CAPACITY }, () => null);
  readonly values: (Uint8Array | null)[] = Array.from({ length: CAPACITY }, () => null);
  readonly headers: (Uint8Array | null)[] = Array.from({ length: CAPACITY }, () => null);
  readonly #dones: AppendDone[] = Array.from({ length: CAPACITY }, () => NOBODY);
  /** Entries, markers included. */
  count = 0;
  records = 0;
  /** Records whose time was given. */
  givenTimes = 0;
  /** Of keys, values and headers. */
  bytes = 0;
  /** Entries that somebody waits for. */
  waiting = 0;
  /** Records that were answered already (class `none`) and are in memory only. */
  get answered(): number {
    let markers = 0;
    for (let at = 0; at < this.count; at++) if (this.streams[at] === MARKER) markers++;
    return this.records - (this.waiting - markers);
  }

  /** Visits those. */
  forEachAnswered(visit: (stream: number, bytes: number) => void): void {
    for (let at = 0; at < this.count; at++) {
      const stream = this.streams[at] ?? MARKER;
      if (stream === MARKER || this.#dones[at] !== NOBODY) continue;
      const { keys, values, headers } = this;
      visit(stream, bytesOf(keys[at] ?? null, values[at] ?? null, headers[at] ?? null));
    }
  }

  /** To be written without further waiting. */
  urgent = false;
  /** Since when one of them is waited for, monotonic ms; -1: none is. */
  sinceMs = -1;
  /** At least one entry is acknowledged only when synced. */
  needsSync = false;
  /** At least one entry is acknowledged when written. */
  hasWritten = false;
  /** Last sequences that idempotent appends in this batch carry. */
  producers: Map<string, number> | undefined = undefined;

  hasRoom(bytes: number): boolean {
    return this.count < CAPACITY && (this.count === 0 || this.bytes + bytes <= LIMITS.commitBytes);
  }

  addRecord(
    stream: number,
    offset: number,
    timestampMs: number,
    key: Uint8Array | null,
    value: Uint8Array | null,
    headers: Uint8Array,
    bytes: number,
    done: AppendDone | undefined,
    timeIsGiven: boolean = false,
  ): void {
    const at = this.count++;
    this.streams[at] = stream;
    this.offsets[at] = offset;
    this.times[at] = timestampMs;
    this.given[at] = timeIsGiven ? 1 : 0;
    if (timeIsGiven) this.givenTimes++;
    this.keys[at] = key;
    this.values[at] = value;
    this.headers[at] = headers;
    if (done !== undefined) {
      this.#dones[at] = done;
      this.waiting++;
    }
    this.records++;
    this.bytes += bytes;
  }

  addMarker(done: AppendDone): void {
    const at = this.count++;
    this.streams[at] = MARKER;
    this.offsets[at] = -1;
    this.#dones[at] = done;
    this.waiting++;
  }

  addProducer(producer: string, sequence: number): void {
    this.producers ??= new Map();
    this.producers.set(producer, sequence);
  }

  /**
   * The clock jumped while this gathered: what was received before gets the jump added, so that one
   * commit has one clock. Which that is can be told by what comes nearer to the time now.
   */
  followJump(jumpMs: number, wallMs: number): void {
    for (let at = 0; at < this.count; at++) {
      const time = this.times[at] as number;
      if (this.streams[at] === MARKER || this.given[at] === 1) continue;
      if (Math.abs(time + jumpMs - wallMs) < Math.abs(time - wallMs))
        this.times[at] = time + jumpMs;
    }
  }

  /**
   * Answers everybody in arrival order, and empties the batch. What an answer appends goes to
   * another batch: this one MUST not be gathering any more.
   */
  settle(error: Error | null): void {
    const { count } = this;
    for (let at = 0; at < count; at++) {
      this.keys[at] = null;
      this.values[at] = null;
      this.headers[at] = null;
      const done = this.#dones[at] ?? NOBODY;
      if (done === NOBODY) continue;
      this.#dones[at] = NOBODY;
      done(error, error === null ? (this.offsets[at] ?? -1) : -1);
    }
    this.count = 0;
    this.records = 0;
    this.givenTimes = 0;
    this.bytes = 0;
    this.waiting = 0;
    this.urgent = false;
    this.sinceMs = -1;
    this.needsSync = false;
    this.hasWritten = false;
    this.producers = undefined;
  }
}

/** Of a record. */
export function bytesOf(
  key: Uint8Array | null,
  value: Uint8Array | null,
  headers: Uint8Array | null,
): number {
  return (key?.length ?? 0) + (value?.length ?? 0) + (headers?.length ?? 0);
}
