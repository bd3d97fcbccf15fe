import type { LogRecord } from '../record.ts';
import { readColumn, writeColumn } from './column.ts';
import { MARKER, type Batch } from './batch.ts';
import type { Frame } from './frame.ts';
import { NO_HEADERS } from '../headers.ts';
import { Packer, unpacked } from './pack.ts';
import type { TopicOptions } from './log.ts';
import { VarintReader, VarintWriter } from './varint.ts';

/**
 * One commit: a head that is never compressed (so that readers skip what they do not want, and
 * opening reads no bodies) and a body of columns.
 *
 *     head: msgpack [first time, time spread, directory, topics or nil, producers or nil]
 *     body: msgpack [time min, times, key min, keys, value min, values, header min, headers, blob]
 *
 * The directory lists, ascending by stream: stream difference, count, base offset, bytes, as
 * varints. Records stand grouped by stream, in arrival order within it; lengths are stored plus
 * one, so that 0 is null. The blob holds key, headers, value of each record in turn.
 */
export interface StreamRun {
  readonly stream: number;
  readonly count: number;
  readonly baseOffset: number;
  /** Of keys, values and headers. */
  readonly bytes: number;
}

export interface StoredTopic {
  readonly name: string;
  readonly options: TopicOptions;
  readonly streams: readonly number[];
}

export interface CommitHead {
  readonly minTime: number;
  readonly maxTime: number;
  readonly runs: readonly StreamRun[];
  readonly count: number;
  readonly topics: readonly StoredTopic[];
  readonly producers: readonly (readonly [string, number])[];
}

export type PackedTopic = [
  string,
  number,
  TopicOptions['durability'],
  number | null,
  number | null,
  number[],
];

export function packTopic({ name, options, streams }: StoredTopic): PackedTopic {
  const { partitions, durability, retentionMs, retentionBytes } = options;
  return [name, partitions, durability, retentionMs ?? null, retentionBytes ?? null, [...streams]];
}

export function unpackTopic(packed: PackedTopic): StoredTopic {
  const [name, partitions, durability, retentionMs, retentionBytes, streams] = packed;
  return {
    name,
    options: {
      partitions,
      durability,
      retentionMs: retentionMs ?? undefined,
      retentionBytes: retentionBytes ?? undefined,
    },
    streams,
  };
}

export interface EncodedCommit {
  readonly head: Uint8Array;
  readonly body: Uint8Array;
  readonly runs: readonly StreamRun[];
  readonly minTime: number;
  readonly maxTime: number;
}

/** Turns batches into commits. Its buffers are used again: one commit at a time. */
export class CommitEncoder {
  readonly #directory = new VarintWriter();
  readonly #headPacker = new Packer();
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
  encode(batch: Batch, topics: readonly StoredTopic[]): EncodedCommit {
    const runs = this.#group(batch);
    const [minTime, maxTime] = timesOf(batch);
    this.#directory.reset();
    let previous = 0;
    for (const { stream, count, baseOffset, bytes } of runs) {
      this.#directory.write(stream - previous);
      this.#directory.write(count);
      this.#directory.write(baseOffset);
      this.#directory.write(bytes);
      previous = stream;
    }
    const directory = this.#directory.bytes();
    const head: unknown[] = [minTime, maxTime - minTime, directory];
    if (topics.length > 0 || batch.producers !== undefined) {
      head.push(topics.length > 0 ? topics.map(packTopic) : null);
      if (batch.producers !== undefined) head.push([...batch.producers]);
    }
    return {
      head: this.#headPacker.pack(
        head,
        directory.length + 512 * topics.length + 256 * (batch.producers?.size ?? 0),
      ),
      body: this.#body(batch),
      runs,
      minTime,
      maxTime,
    };
  }

  /** A stable counting sort by stream; fills #order. */
  #group(batch: Batch): StreamRun[] {
    const slots: {
      stream: number;
      count: number;
      baseOffset: number;
      bytes: number;
      at: number;
    }[] = [];
    const { streams, offsets, keys, values, headers, count } = batch;
    for (let index = 0; index < count; index++) {
      const stream = streams[index] as number;
      if (stream === MARKER) continue;
      if (stream >= this.#slotOf.length) this.#growSlots(stream);
      let slot = this.#slotOf[stream] as number;
      if (slot < 0) {
        slot = slots.length;
        this.#slotOf[stream] = slot;
        slots.push({ stream, count: 0, baseOffset: offsets[index] as number, bytes: 0, at: 0 });
      }
      const run = slots[slot] as (typeof slots)[number];
      run.count++;
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
      const run = slots[this.#slotOf[stream] as number] as (typeof slots)[number];
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

  #body(batch: Batch): Uint8Array {
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
      numbers[place] = times[order[place] as number] as number;
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

/** Throws when the head is not of this form; its checksum was right, so that is a wrong writer. */
export function readHead(head: Uint8Array): CommitHead {
  const parts = unpacked(head) as [
    number,
    number,
    Uint8Array,
    PackedTopic[] | null | undefined,
    [string, number][] | undefined,
  ];
  const [minTime, spread, directory, topics, producers] = parts;
  const runs: StreamRun[] = [];
  const reader = new VarintReader(directory);
  let stream = 0;
  let count = 0;
  while (!reader.done) {
    stream += reader.read();
    const run = {
      stream,
      count: reader.read(),
      baseOffset: reader.read(),
      bytes: reader.read(),
    };
    count += run.count;
    runs.push(run);
  }
  return {
    minTime,
    maxTime: minTime + spread,
    runs,
    count,
    topics: (topics ?? []).map(unpackTopic),
    producers: producers ?? [],
  };
}

/** The part of each commit's records that a reader wants. */
export interface Wanted {
  /** First offset wanted of the run's stream, or undefined to skip the run. */
  from(stream: number): number | undefined;
  /** Takes one record; false ends the reading of this commit. */
  take(stream: number, record: LogRecord): boolean;
}

type Body = [
  number,
  Uint8Array,
  number,
  Uint8Array,
  number,
  Uint8Array,
  number,
  Uint8Array,
  Uint8Array,
];

/** Reads bodies. Its columns are used again: one body at a time, synchronously. */
export class CommitDecoder {
  #times = new Float64Array(0);
  #keys = new Float64Array(0);
  #values = new Float64Array(0);
  #headers = new Float64Array(0);

  /** `body` uncompressed. Records are views of it. Returns false when `take` ended it. */
  decode(head: CommitHead, body: Uint8Array, wanted: Wanted): boolean {
    const columns = unpacked(body) as Body;
    const { count } = head;
    if (this.#times.length < count) this.#grow(count);
    readColumn({ min: columns[0], bytes: columns[1] }, count, this.#times);
    readColumn({ min: columns[2], bytes: columns[3] }, count, this.#keys);
    readColumn({ min: columns[4], bytes: columns[5] }, count, this.#values);
    readColumn({ min: columns[6], bytes: columns[7] }, count, this.#headers);
    const blob = columns[8];
    let place = 0;
    let at = 0;
    for (const run of head.runs) {
      const from = wanted.from(run.stream);
      if (from === undefined) {
        place += run.count;
        at += run.bytes;
        continue;
      }
      for (let index = 0; index < run.count; index++, place++) {
        const offset = run.baseOffset + index;
        const keyLength = (this.#keys[place] as number) - 1;
        const headerLength = this.#headers[place] as number;
        const valueLength = (this.#values[place] as number) - 1;
        const keyEnd = keyLength > 0 ? at + keyLength : at;
        const headerEnd = keyEnd + headerLength;
        const end = valueLength > 0 ? headerEnd + valueLength : headerEnd;
        if (offset >= from) {
          const record: LogRecord = {
            offset,
            timestampMs: this.#times[place] as number,
            key: keyLength < 0 ? null : blob.subarray(at, keyEnd),
            value: valueLength < 0 ? null : blob.subarray(headerEnd, end),
            headers: headerLength === 0 ? NO_HEADERS : blob.subarray(keyEnd, headerEnd),
          };
          if (!wanted.take(run.stream, record)) return false;
        }
        at = end;
      }
    }
    return true;
  }

  #grow(count: number): void {
    this.#times = new Float64Array(count);
    this.#keys = new Float64Array(count);
    this.#values = new Float64Array(count);
    this.#headers = new Float64Array(count);
  }
}

/** For a frame whose body may be compressed: the raw body, given a way to decompress. */
export function rawBody(
  frame: Frame,
  decompress: (bytes: Uint8Array, rawBytes: number) => Uint8Array,
): Uint8Array {
  return frame.compressed ? decompress(frame.body, frame.rawBodyBytes) : frame.body;
}
