import { readColumn } from './column.ts';
import type { CommitHead } from './commit-head.ts';
import { unpacked } from './pack.ts';
import type { Reading, Sink, Wanted } from './reading.ts';
import { StoredRecord } from './stored-record.ts';

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

  /**
   * `body` uncompressed. Records are views of it. False when not all that is wanted fit: then the
   * reading goes on after what did.
   */
  decode(body: Uint8Array, head: CommitHead, wanted: Wanted, reading: Reading): boolean {
    const { count, runs, minTime } = head;
    const columns = unpacked(body) as Body;
    if (this.#times.length < count) this.#grow(count);
    readColumn({ min: minTime + columns[0], bytes: columns[1] }, count, this.#times);
    readColumn({ min: columns[2], bytes: columns[3] }, count, this.#keys);
    readColumn({ min: columns[4], bytes: columns[5] }, count, this.#values);
    readColumn({ min: columns[6], bytes: columns[7] }, count, this.#headers);
    let place = 0;
    let at = 0;
    for (const [index, run] of runs.entries()) {
      const sink = wanted[index];
      if (sink !== undefined && !this.#run(sink, place, at, columns[8], reading)) {
        reading.cut(wanted);
        return false;
      }
      place += run.count;
      at += run.bytes;
    }
    return true;
  }

  #run(
    { run, from, records }: Sink,
    firstPlace: number,
    firstByte: number,
    blob: Uint8Array,
    reading: Reading,
  ): boolean {
    let at = firstByte;
    for (let index = 0; index < run.count; index++) {
      const place = firstPlace + index;
      const keyLength = (this.#keys[place] as number) - 1;
      const headersLength = this.#headers[place] as number;
      const valueLength = (this.#values[place] as number) - 1;
      const end = at + Math.max(keyLength, 0) + headersLength + Math.max(valueLength, 0);
      const offset = run.baseOffset + index;
      if (offset >= from) {
        if (!reading.fits(end - at)) return false;
        const time = this.#times[place] as number;
        records.push(
          new StoredRecord(offset, time, blob, at, keyLength, headersLength, valueLength),
        );
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
