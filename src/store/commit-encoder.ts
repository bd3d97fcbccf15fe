import { MARKER, type Batch } from './batch.ts';
import type { ClockStamp } from './boots.ts';
import { writeColumn } from './column.ts';
import type { CommitClock, GivenTimes } from './commit-clock.ts';
import { HeadWriter, type StoredTopic, type StreamRun } from './commit-head.ts';
import { Packer } from './pack.ts';

/**
 * The body of a commit is columns:
 *
 *     msgpack [time min, times, key min, keys, value min, values, header min, headers, blob]
 *
 * Records stand grouped by stream, in arrival order within it; times count from the head's. Key and value lengths are stored
 * plus one, so that 0 is null. The blob holds key, headers, value of each record in turn.
 */
export interface EncodedCommit {
  readonly head: Uint8Array;
  readonly body: Uint8Array;
  readonly runs: readonly StreamRun[];
  readonly clock: CommitClock | undefined;
}

type Slot = { -readonly [Key in keyof StreamRun]: StreamRun[Key] } & { at: number };

/** Turns batches into commits. Its buffers are used again: one commit at a time. */
export class CommitEncoder {
  readonly #heads = new HeadWriter(new Packer());
  readonly #bodyPacker = new Packer();
  readonly #order: Int32Array;
  readonly #numbers: Float64Array;
  #columns: Buffer;
  #blob: Buffer = Buffer.allocUnsafeSlow(64 * 1024);
  #slotOf: Int32Array = new Int32Array(64).fill(-1);

  constructor(maxRecords: number) {
    this.#order = new Int32Array(maxRecords);
    this.#numbers = new Float64Array(maxRecords);
    this.#columns = Buffer.allocUnsafeSlow(maxRecords * 8 * 4);
  }

  /** The result's bytes are valid until the next call. */
  encode(batch: Batch, topics: readonly StoredTopic[], stamp?: ClockStamp): EncodedCommit {
    const runs = this.#group(batch);
    const times = timesOf(batch);
    const clock = stamp === undefined ? undefined : { stamp, given: this.#given(batch) };
    return {
      head: this.#heads.write(runs, times, topics, batch.producers, clock),
      body: this.#body(batch, times[0]),
      runs,
      clock,
    };
  }

  /** A stable counting sort by stream; fills #order. */
  #group(batch: Batch): StreamRun[] {
    const slots: Slot[] = [];
    const { streams, offsets, times, keys, values, headers, count } = batch;
    for (let index = 0; index < count; index++) {
      const stream = streams[index] as number;
      if (stream === MARKER) continue;
      if (stream >= this.#slotOf.length) this.#growSlots(stream);
      let slot = this.#slotOf[stream] as number;
      if (slot < 0) {
        slot = slots.length;
        this.#slotOf[stream] = slot;
        slots.push({
          stream,
          count: 0,
          baseOffset: offsets[index] as number,
          bytes: 0,
          latest: -Infinity,
          at: 0,
        });
      }
      const run = slots[slot] as Slot;
      run.count++;
      const time = times[index] as number;
      if (time > run.latest) run.latest = time;
      run.bytes +=
        (keys[index]?.length ?? 0) + (values[index]?.length ?? 0) + (headers[index]?.length ?? 0);
    }
    const runs = slots.toSorted((left, right) => left.stream - right.stream);
    let at = 0;
    for (const run of runs) {
      run.at = at;
      at += run.count;
    }
    for (let index = 0; index < count; index++) {
      const stream = streams[index] as number;
      if (stream === MARKER) continue;
      const run = slots[this.#slotOf[stream] as number] as Slot;
      this.#order[run.at++] = index;
    }
    for (const run of runs) this.#slotOf[run.stream] = -1;
    return runs;
  }

  #growSlots(stream: number): void {
    const larger = new Int32Array(Math.max(stream + 1, this.#slotOf.length * 2)).fill(-1);
    larger.set(this.#slotOf);
    this.#slotOf = larger;
  }

  #body(batch: Batch, firstTime: number): Uint8Array {
    const { records, times, keys, values, headers } = batch;
    const numbers = this.#numbers;
    const order = this.#order;
    const columns = this.#columns;
    const packedColumns: unknown[] = [];
    let at = 0;
    const column = (): void => {
      const { min, bytes } = writeColumn(numbers, records, columns, at);
      at += bytes.length;
      packedColumns.push(min, bytes);
    };
    for (let place = 0; place < records; place++) {
      numbers[place] = (times[order[place] as number] as number) - firstTime;
    }
    column();
    for (const parts of [keys, values]) {
      for (let place = 0; place < records; place++) {
        const part = parts[order[place] as number];
        numbers[place] = part === null || part === undefined ? 0 : part.length + 1;
      }
      column();
    }
    for (let place = 0; place < records; place++) {
      numbers[place] = headers[order[place] as number]?.length ?? 0;
    }
    column();
    packedColumns.push(this.#fillBlob(batch));
    return this.#bodyPacker.pack(packedColumns, at + batch.bytes);
  }

  #given({ records, given, givenTimes }: Batch): GivenTimes {
    if (givenTimes === 0) return 'none';
    if (givenTimes === records) return 'all';
    const bits = new Uint8Array(Math.ceil(records / 8));
    for (let place = 0; place < records; place++) {
      if (given[this.#order[place] as number] === 1) {
        bits[place >>> 3] = (bits[place >>> 3] ?? 0) | (1 << (place & 7));
      }
    }
    return bits;
  }

  #fillBlob({ bytes, records, keys, values, headers }: Batch): Uint8Array {
    if (this.#blob.length < bytes) this.#blob = Buffer.allocUnsafeSlow(bytes * 2);
    const blob = this.#blob;
    let at = 0;
    for (let place = 0; place < records; place++) {
      const index = this.#order[place] as number;
      at = put(blob, at, keys[index]);
      at = put(blob, at, headers[index]);
      at = put(blob, at, values[index]);
    }
    return blob.subarray(0, at);
  }
}

/** Below this a loop in JavaScript beats the call into TypedArray.prototype.set. */
const LOOP_BELOW = 24;

function put(blob: Buffer, at: number, part: Uint8Array | null | undefined): number {
  if (part === null || part === undefined) return at;
  const { length } = part;
  if (length < LOOP_BELOW) {
    for (let index = 0; index < length; index++) blob[at + index] = part[index] as number;
  } else {
    blob.set(part, at);
  }
  return at + length;
}

function timesOf({ streams, times, count }: Batch): [number, number] {
  let min = Infinity;
  let max = -Infinity;
  for (let index = 0; index < count; index++) {
    if (streams[index] === MARKER) continue;
    const time = times[index] as number;
    if (time < min) min = time;
    if (time > max) max = time;
  }
  return min === Infinity ? [0, 0] : [min, max];
}
