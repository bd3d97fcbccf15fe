import type { StreamId } from '../record.ts';
import type { Slice } from '../store/log.ts';
import type { MirrorBatch, Resumed } from './mirror-cursor.ts';
import type { RangeCursor, ReadLimits } from './range-cursor.ts';
import { densePartsOf, recordBytes } from './slices.ts';

/** Offsets of [from, to) that went before, ascending. */
type KeptIn = (stream: StreamId, from: number, to: number) => readonly number[];

/** Reads what sampling left for later: the same stretches again, without the records that went. */
export class RestCursor {
  readonly #inner: RangeCursor;
  readonly #keptIn: KeptIn;

  constructor(inner: RangeCursor, keptIn: KeptIn) {
    this.#inner = inner;
    this.#keptIn = keptIn;
  }

  get readable(): boolean {
    return this.#inner.readable;
  }

  get waiting(): number {
    return this.#inner.waiting;
  }

  async next(limits: ReadLimits): Promise<MirrorBatch> {
    const batch = await this.#inner.next(limits);
    const resumed: Resumed[] = [];
    const slices: Slice[] = [];
    let { records, bytes } = batch;
    for (const slice of batch.slices) {
      const gone = this.#goneOf(slice);
      if (gone.size === 0) {
        slices.push(slice);
        continue;
      }
      resumed.push({ stream: slice.stream, offsets: [...gone] });
      slices.push(...densePartsOf(slice, gone));
      records -= gone.size;
      for (const record of slice.records) if (gone.has(record.offset)) bytes -= recordBytes(record);
    }
    return resumed.length === 0 ? batch : { ...batch, slices, records, bytes, resumed };
  }

  wait(signal: AbortSignal): Promise<void> {
    return this.#inner.wait(signal);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  #goneOf({ stream, records }: Slice): ReadonlySet<number> {
    const [first, last] = [records[0], records.at(-1)];
    if (first === undefined || last === undefined) return new Set();
    return new Set(this.#keptIn(stream, first.offset, last.offset + 1));
  }
}
