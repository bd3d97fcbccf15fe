import type { OffsetRange } from '../range-set.ts';
import type { StreamId } from '../record.ts';
import type { CursorBatch, LogReader } from '../store/log.ts';
import { RangeCursor, type ReadLimits } from './range-cursor.ts';

/**
 * Reads a backlog from its newest records to its oldest: chunk by chunk, each in the order of the log.
 */
export class NewestCursor {
  readonly #reader: LogReader;
  /** Whether one range more may lie ahead of the stream's position. */
  readonly #mayLeaveHole: (stream: StreamId) => boolean;
  /** Not read yet, without the chunk: ascending. */
  readonly #holes = new Map<StreamId, OffsetRange[]>();
  readonly #chunkRecords: number;
  #chunk: RangeCursor;

  constructor(
    reader: LogReader,
    chunkRecords: number,
    mayLeaveHole: (stream: StreamId) => boolean,
  ) {
    this.#reader = reader;
    this.#chunkRecords = chunkRecords;
    this.#mayLeaveHole = mayLeaveHole;
    this.#chunk = new RangeCursor(reader, new Map());
  }

  get readable(): boolean {
    return !this.#chunk.done || this.#holes.size > 0;
  }

  /** Records that it could give now. */
  get waiting(): number {
    let waiting = this.#chunk.waiting;
    for (const holes of this.#holes.values()) {
      for (const { from, to } of holes) waiting += to - from;
    }
    return waiting;
  }

  /** Above all that was added before. */
  append(stream: StreamId, hole: OffsetRange): void {
    if (hole.from >= hole.to) return;
    const holes = this.#holes.get(stream);
    if (holes === undefined) this.#holes.set(stream, [hole]);
    else holes.push(hole);
  }

  async next(limits: ReadLimits): Promise<CursorBatch> {
    if (this.#chunk.done) {
      await this.#chunk.close();
      this.#chunk = new RangeCursor(this.#reader, this.#nextChunk());
    }
    return this.#chunk.next(limits);
  }

  close(): Promise<void> {
    this.#holes.clear();
    return this.#chunk.close();
  }

  #nextChunk(): Map<StreamId, OffsetRange[]> {
    const chunk = new Map<StreamId, OffsetRange[]>();
    for (const stream of this.#holes.keys()) {
      const range = this.#cut(stream);
      if (range !== undefined) chunk.set(stream, [range]);
    }
    return chunk;
  }

  /** The newest of what is left; where no more ranges may be left ahead, the oldest. */
  #cut(stream: StreamId): OffsetRange | undefined {
    const holes = this.#holes.get(stream) ?? [];
    const size = this.#chunkRecords;
    const isNewest = this.#mayLeaveHole(stream);
    const hole = isNewest ? holes.pop() : holes.shift();
    if (hole === undefined) return undefined;
    const { from, to } = hole;
    const chunk = isNewest
      ? { from: Math.max(from, to - size), to }
      : { from, to: Math.min(to, from + size) };
    if (isNewest && chunk.from > from) holes.push({ from, to: chunk.from });
    if (!isNewest && chunk.to < to) holes.unshift({ from: chunk.to, to });
    if (holes.length === 0) this.#holes.delete(stream);
    return chunk;
  }
}
