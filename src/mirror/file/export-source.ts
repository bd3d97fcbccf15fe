import { type Coverage, type Coverages, holesIn, upTo } from '../../coverage.ts';
import type { StreamId } from '../../record.ts';
import type { LogReader, ReadGap, Slice } from '../../store/log.ts';
import {
  endFrame,
  type ExportHeader,
  type ExportOrigin,
  gapFrame,
  headerFrame,
} from './export-header.ts';
import { encodeFrame, type Frame } from './frames.ts';
import { EXPORT_LIMITS } from '../../export-limits.ts';
import { encodeRecords } from './records-body.ts';
import type { MirrorStream } from '../upstream.ts';

export interface ExportRequest {
  readonly reader: LogReader;
  readonly origin: ExportOrigin;
  readonly madeMs: number;
  readonly streams: readonly MirrorStream[];
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
  const cursor = request.reader.cursor(writing.next);
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
  /** Next offset of each stream. */
  readonly next: Map<StreamId, number>;
  #records = 0;

  constructor(request: ExportRequest) {
    this.#request = request;
    this.next = new Map(
      request.streams.map(({ stream }) => [stream, this.#had(stream).next] as const),
    );
  }

  get header(): ExportHeader {
    const { origin, madeMs, streams } = this.#request;
    const listed = streams.map((at) => ({ ...at, from: this.next.get(at.stream) ?? 0 }));
    return { ...origin, madeMs, streams: listed };
  }

  get isDone(): boolean {
    return [...this.next].every(([stream, next]) => next >= this.#endOf(stream));
  }

  get end(): { readonly records: number; readonly ends: ReadonlyMap<StreamId, number> } {
    return { records: this.#records, ends: this.next };
  }

  gap({ stream, fromOffset, toOffset }: ReadGap): Frame[] {
    const from = Math.max(fromOffset, this.next.get(stream) ?? 0);
    const to = Math.min(toOffset, this.#endOf(stream));
    return from < to ? [this.#passed(stream, from, to)] : [];
  }

  /** What was had already is passed over like a gap: the far side has it. */
  async records({ stream, records }: Slice): Promise<Frame[]> {
    const base = records[0]?.offset ?? 0;
    const end = Math.min(base + records.length, this.#endOf(stream));
    const frames: Frame[] = [];
    for (const { from, to } of holesIn(this.#had(stream), base, end)) {
      const next = this.next.get(stream) ?? from;
      if (next < from) frames.push(this.#passed(stream, next, from));
      const wanted = records.slice(from - base, to - base);
      frames.push({ kind: 'records', body: await encodeRecords({ stream, records: wanted }) });
      this.#records += wanted.length;
      this.next.set(stream, to);
    }
    const next = this.next.get(stream) ?? end;
    if (next < end) frames.push(this.#passed(stream, next, end));
    return frames;
  }

  #passed(stream: StreamId, from: number, to: number): Frame {
    this.next.set(stream, to);
    return gapFrame({ stream, from, to });
  }

  #had(stream: StreamId): Coverage {
    return this.#request.had.get(stream) ?? upTo(0);
  }

  #endOf(stream: StreamId): number {
    return this.#request.ends.get(stream) ?? 0;
  }
}
