import type { Correction } from './boots.ts';
import { readColumn } from './column.ts';
import { isGiven, type GivenTimes } from './commit-clock.ts';
import type { CommitHead } from './commit-head.ts';
import type { Reading, Sink, Wanted } from './reading.ts';
import { CorrectedRecord, StoredRecord } from './stored-record.ts';
import { unpackedList, type Unpacked } from './unpack.ts';

const EMPTY = new Uint8Array(0);

/** What is to be done to the times of a commit, but for those that came with their records. */
interface Retiming extends Correction {
  readonly given: GivenTimes;
}

/** Reads bodies. Its columns are used again: one body at a time, synchronously. */
export class CommitDecoder {
  #times = new Float64Array(0);
  #keys = new Float64Array(0);
  #values = new Float64Array(0);
  #headers = new Float64Array(0);
  #blob: Uint8Array = EMPTY;

  /**
   * Takes in `body`, uncompressed. False when it is not what `head` says; its checksum was right
   * then, and still nothing in it is taken on trust.
   */
  open(body: Uint8Array, head: CommitHead): boolean {
    this.#blob = EMPTY;
    const { count, minTime } = head;
    const parts = unpackedList(body) ?? [];
    const blob = parts[8];
    if (!(blob instanceof Uint8Array)) return false;
    if (this.#times.length < count) this.#grow(count);
    const read =
      column(parts, 0, minTime, count, this.#times, -Infinity) &&
      column(parts, 2, 0, count, this.#keys, 0) &&
      column(parts, 4, 0, count, this.#values, 0) &&
      column(parts, 6, 0, count, this.#headers, 0);
    if (!read || !this.#adds(head, blob.length)) return false;
    this.#blob = blob;
    return true;
  }

  /** The lengths of the records come to what the runs say, and those to the blob. */
  #adds({ runs }: CommitHead, blobBytes: number): boolean {
    let place = 0;
    let sum = 0;
    for (const run of runs) {
      let bytes = 0;
      for (const end = place + run.count; place < end; place++) {
        bytes +=
          Math.max((this.#keys[place] as number) - 1, 0) +
          (this.#headers[place] as number) +
          Math.max((this.#values[place] as number) - 1, 0);
      }
      if (bytes !== run.bytes) return false;
      sum += bytes;
    }
    return sum === blobBytes;
  }

  /**
   * What is wanted of the commit that was opened. Records are views of its body. False when not all
   * that is wanted fit: then the reading goes on after what did. `correction`: of the times that
   * are our clock's.
   */
  decode(
    { runs, clock }: CommitHead,
    wanted: Wanted,
    reading: Reading,
    correction?: Correction,
  ): boolean {
    const given = clock?.given ?? 'none';
    const retiming =
      correction === undefined || given === 'all' ? undefined : { ...correction, given };
    let place = 0;
    let at = 0;
    for (const [index, run] of runs.entries()) {
      const sink = wanted[index];
      if (sink !== undefined && !this.#run(sink, place, at, reading, retiming)) {
        this.#blob = EMPTY;
        reading.cut(wanted);
        return false;
      }
      place += run.count;
      at += run.bytes;
    }
    this.#blob = EMPTY;
    return true;
  }

  #run(
    { run, from, records }: Sink,
    firstPlace: number,
    firstByte: number,
    reading: Reading,
    retiming: Retiming | undefined,
  ): boolean {
    const blob = this.#blob;
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
          retiming === undefined || isGiven(retiming.given, place)
            ? new StoredRecord(offset, time, blob, at, keyLength, headersLength, valueLength)
            : new CorrectedRecord(
                retiming,
                offset,
                time,
                blob,
                at,
                keyLength,
                headersLength,
                valueLength,
              ),
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

/** The column whose smallest value stands at `at`, counted from `base`. */
function column(
  parts: readonly Unpacked[],
  at: number,
  base: number,
  count: number,
  target: Float64Array,
  least: number,
): boolean {
  const min = parts[at];
  const bytes = parts[at + 1];
  if (typeof min !== 'number' || !(bytes instanceof Uint8Array)) return false;
  return readColumn({ min: base + min, bytes }, count, target, least);
}
