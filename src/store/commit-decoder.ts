import { NO_HEADERS } from '../headers.ts';
import type { LogRecord } from '../record.ts';
import { readColumn } from './column.ts';
import type { CommitHead, StreamRun } from './commit-head.ts';
import { decompress } from './compression.ts';
import type { Frame } from './frame.ts';
import { unpacked } from './pack.ts';

/** Where a run's wanted records go. */
export interface Sink {
  /** First offset wanted. */
  readonly from: number;
  readonly records: LogRecord[];
}

export interface Wanted {
  /** undefined skips the run. */
  open(run: StreamRun): Sink | undefined;
  /** Whether a record of `bytes` still fits; called for each, before it is taken. */
  fits(bytes: number): boolean;
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

  /** Records are views of the body. Returns false when something wanted did not fit. */
  decode(head: CommitHead, frame: Frame, wanted: Wanted): boolean {
    const body = frame.compressed ? decompress(frame.body, frame.rawBodyBytes) : frame.body;
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
      const sink = wanted.open(run);
      if (sink !== undefined && !this.#run(run, place, at, blob, sink, wanted)) return false;
      place += run.count;
      at += run.bytes;
    }
    return true;
  }

  #run(
    run: StreamRun,
    firstPlace: number,
    firstByte: number,
    blob: Uint8Array,
    { from, records }: Sink,
    wanted: Wanted,
  ): boolean {
    let at = firstByte;
    for (let index = 0; index < run.count; index++) {
      const place = firstPlace + index;
      const keyLength = (this.#keys[place] as number) - 1;
      const headerLength = this.#headers[place] as number;
      const valueLength = (this.#values[place] as number) - 1;
      const keyEnd = keyLength > 0 ? at + keyLength : at;
      const headerEnd = keyEnd + headerLength;
      const end = valueLength > 0 ? headerEnd + valueLength : headerEnd;
      const offset = run.baseOffset + index;
      if (offset >= from) {
        if (!wanted.fits(end - at)) return false;
        records.push({
          offset,
          timestampMs: this.#times[place] as number,
          key: keyLength < 0 ? null : blob.subarray(at, keyEnd),
          value: valueLength < 0 ? null : blob.subarray(headerEnd, end),
          headers: headerLength === 0 ? NO_HEADERS : blob.subarray(keyEnd, headerEnd),
        });
      }
      at = end;
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
