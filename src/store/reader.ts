import { must } from '../assert.ts';
import { LIMITS } from '../limits.ts';
import type { StreamId } from '../record.ts';
import { Cursor, type CursorOptions } from './cursor.ts';
import type { LogCursor, LogReader, StreamRange, TopicInfo } from './log.ts';

const SEARCH_LIMITS = { maxRecords: LIMITS.readRecords, maxBytes: LIMITS.readBytes };

export class Reader implements LogReader {
  readonly #options: CursorOptions;
  /** The lag of a mirror that stands still is asked for every second: one answer per stream. */
  readonly #lastTimes = new Map<
    StreamId,
    { offset: number; timestampMs: number; version: number }
  >();

  constructor(options: CursorOptions) {
    this.#options = options;
  }

  topics(): readonly TopicInfo[] {
    return this.#options.state.registry.all();
  }

  topic(name: string): TopicInfo | undefined {
    return this.#options.state.registry.get(name);
  }

  range(stream: StreamId): StreamRange {
    const { start, durable } = this.#options.state.heads;
    return { startOffset: start[stream] ?? 0, endOffset: durable[stream] ?? 0 };
  }

  topicBytes(name: string): number {
    const { registry, heads } = this.#options.state;
    const topic = registry.get(name);
    let bytes = 0;
    for (const stream of topic?.streams ?? []) {
      bytes += (heads.stored[stream] ?? 0) - (heads.storedBefore[stream] ?? 0);
    }
    return bytes;
  }

  async timestampAt(stream: StreamId, offset: number): Promise<number | undefined> {
    if (this.range(stream).endOffset <= offset) return undefined;
    const known = this.#lastTimes.get(stream);
    const { version } = this.#options.state.boots;
    if (known?.offset === offset && known.version === version) return known.timestampMs;
    const cursor = this.cursor(new Map([[stream, offset]]));
    try {
      for (;;) {
        const { slices, gaps } = await cursor.next({ maxRecords: 1, maxBytes: 1 });
        const timestampMs = slices[0]?.records[0]?.timestampMs;
        if (timestampMs !== undefined) {
          this.#lastTimes.set(stream, { offset, timestampMs, version });
        }
        if (timestampMs !== undefined || gaps.length === 0) return timestampMs;
      }
    } finally {
      await cursor.close();
    }
  }

  async offsetAtTime(stream: StreamId, timestampMs: number): Promise<number> {
    const { startOffset, endOffset } = this.range(stream);
    const { commit, offset } = await this.#options.lookup.placeBeforeTime(stream, timestampMs);
    // From the offset that comes next there: from an older one what was passed over would count as missing.
    const from = Math.max(startOffset, offset);
    if (from >= endOffset) return endOffset;
    const cursor = new Cursor(this.#options, new Map([[stream, from]]), commit);
    try {
      for (;;) {
        const { slices, gaps } = await cursor.next(SEARCH_LIMITS);
        for (const { records } of slices) {
          const found = records.find((record) => record.timestampMs >= timestampMs);
          if (found !== undefined) return found.offset;
        }
        if (slices.length === 0 && gaps.length === 0) return endOffset;
      }
    } finally {
      await cursor.close();
    }
  }

  cursor(from: ReadonlyMap<StreamId, number>): LogCursor {
    const { registry } = this.#options.state;
    for (const stream of from.keys()) {
      must(registry.topicOf(stream), 'a cursor reads streams of defined topics');
    }
    return new Cursor(this.#options, from);
  }
}
