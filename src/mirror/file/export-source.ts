import { type Coverage, type Coverages, holesIn, upTo } from '../../coverage.ts';
import type { OffsetRange } from '../../range-set.ts';
import type { StreamId } from '../../record.ts';
import type { LogReader, ReadGap, Slice } from '../../store/log.ts';
import {
  endFrame,
  type ExportHeader,
  type ExportOrigin,
  headerFrame,
  rangeFrame,
} from './export-header.ts';
import { encodeFrame, type Frame } from './frames.ts';
import { EXPORT_LIMITS } from '../../export-limits.ts';
import { encodeRecords } from './records-body.ts';
import type { MirrorStream } from '../upstream.ts';

export interface ExportRequest {
  readonly reader: LogReader;
  readonly origin: ExportOrigin;
  /** Of this export, by the gateway's books. */
  readonly number: number;
  readonly madeMs: number;
  readonly streams: readonly MirrorStream[];
  /** What the far side has by our own books. */
  readonly sent: Coverages;
  /** What need not be exported: the far side, or an earlier export, has it. */
  readonly had: Coverages;
  /** One past the last record of each stream. */
  readonly ends: ReadonlyMap<StreamId, number>;
  readonly signal: AbortSignal;
}

/** The frames of one export as bytes, from its header to its end. Holds one read at a time. */
export async function* exportFrames(request: ExportRequest): AsyncGenerator<Uint8Array> {
  const writing = new ExportWriting(request);
  yield encodeFrame(headerFrame(writing.header));
  const cursor = request.reader.cursor(writing.start);
  const { pieceRecords: maxRecords, pieceBytes: maxBytes } = EXPORT_LIMITS;
  try {
    while (!writing.isDone && !request.signal.aborted) {
      const { slices, gaps } = await cursor.next({ maxRecords, maxBytes });
      if (slices.length === 0 && gaps.length === 0) break;
      for (const gap of gaps) for (const frame of writing.gap(gap)) yield encodeFrame(frame);
      for (const slice of slices) {
        for (const frame of await writing.records(slice)) yield encodeFrame(frame);
      }
    }
  } finally {
    await cursor.close();
  }
  if (!request.signal.aborted) yield encodeFrame(endFrame(writing.end));
}

class ExportWriting {
  readonly #request: ExportRequest;
  /** Next offset of each stream: in the frames, and of the log. */
  readonly #written: Map<StreamId, number>;
  readonly #read: Map<StreamId, number>;
  #records = 0;

  constructor(request: ExportRequest) {
    this.#request = request;
    this.#written = new Map(
      request.streams.map(({ stream }) => [stream, coverageIn(request.had, stream).next] as const),
    );
    this.#read = new Map(this.#written);
  }

  get start(): ReadonlyMap<StreamId, number> {
    return new Map(this.#read);
  }

  get header(): ExportHeader {
    const { origin, number, madeMs, streams, sent } = this.#request;
    const listed = streams.map((at) => ({
      ...at,
      from: this.#written.get(at.stream) ?? 0,
      sent: coverageIn(sent, at.stream),
    }));
    return { ...origin, number, madeMs, streams: listed };
  }

  get isDone(): boolean {
    return [...this.#read].every(([stream, next]) => next >= this.#endOf(stream));
  }

  get end(): { readonly records: number; readonly ends: ReadonlyMap<StreamId, number> } {
    return { records: this.#records, ends: this.#written };
  }

  gap({ stream, fromOffset, toOffset }: ReadGap): Frame[] {
    const frames: Frame[] = [];
    for (const { from, to } of this.#wanted(stream, fromOffset, toOffset)) {
      frames.push(...this.#upTo(stream, from));
      frames.push(rangeFrame('gap', { stream, from, to }));
      this.#written.set(stream, to);
    }
    return frames;
  }

  async records({ stream, records }: Slice): Promise<Frame[]> {
    const base = records[0]?.offset ?? 0;
    const frames: Frame[] = [];
    for (const { from, to } of this.#wanted(stream, base, base + records.length)) {
      frames.push(...this.#upTo(stream, from));
      const wanted = records.slice(from - base, to - base);
      frames.push({ kind: 'records', body: await encodeRecords({ stream, records: wanted }) });
      this.#records += wanted.length;
      this.#written.set(stream, to);
    }
    return frames;
  }

  /** What of a range, which was read, was not had already. */
  #wanted(stream: StreamId, fromOffset: number, toOffset: number): OffsetRange[] {
    const to = Math.min(toOffset, this.#endOf(stream));
    this.#read.set(stream, toOffset);
    return holesIn(coverageIn(this.#request.had, stream), fromOffset, to);
  }

  /**
   * What was had already is no gap: whoever reads these frames MUST NOT take it for had, because other
   * files may hold it, and may never arrive.
   */
  #upTo(stream: StreamId, to: number): Frame[] {
    const from = this.#written.get(stream) ?? to;
    return from < to ? [rangeFrame('elsewhere', { stream, from, to })] : [];
  }

  #endOf(stream: StreamId): number {
    return this.#request.ends.get(stream) ?? 0;
  }
}

function coverageIn(coverages: Coverages, stream: StreamId): Coverage {
  return coverages.get(stream) ?? upTo(0);
}
