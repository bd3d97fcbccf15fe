import { GatelogError } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { StreamId } from '../record.ts';
import type { CursorBatch, LogReader, ReadGap, TopicInfo } from '../store/log.ts';
import { parseIsoTime } from '../time.ts';
import { suggestion } from '../words.ts';
import { recordJson } from './record-json.ts';

/**
 * Reading a topic for a person: the same for the control socket of a running agent and for a
 * folder whose agent is stopped. Holds one bounded read at a time.
 */
export interface ConsumeRequest {
  readonly topic: string;
  /** undefined: all. */
  readonly partition: number | undefined;
  readonly from: StartPoint;
  /** Go on when the end is reached, until `signal` aborts. */
  readonly follow: boolean;
  /** undefined: no bound. */
  readonly limit: number | undefined;
}

export type StartPoint = 'beginning' | 'end' | number | { readonly timestampMs: number };

/** A gap in the output: records that the log no longer holds. */
export interface GapLine {
  readonly gap: {
    readonly topic: string;
    readonly partition: number;
    readonly fromOffset: number;
    /** One past the last missing offset. */
    readonly toOffset: number;
    readonly reason: ReadGap['reason'];
  };
}

/** How a GapLine begins, and no record's line does. */
export const GAP_LINE: string = '{"gap":';

export const START_EXPECTED: string =
  'beginning, end, an offset, or a time such as 2026-11-22T08:00:00Z';

/** undefined when the text is none. Digits alone are an offset. */
export function parseStartPoint(text: string): StartPoint | undefined {
  if (text === 'beginning' || text === 'end') return text;
  if (/^\d+$/u.test(text)) {
    return Number.isSafeInteger(Number(text)) ? Number(text) : undefined;
  }
  const timestampMs = /^\d{4}-\d{2}/u.test(text) ? parseIsoTime(text) : undefined;
  return timestampMs === undefined ? undefined : { timestampMs };
}

function findTopic(reader: LogReader, name: string): TopicInfo {
  const topic = reader.topic(name);
  if (topic !== undefined) return topic;
  const known = reader.topics().map((info) => info.name);
  throw new GatelogError(
    'NOT_FOUND',
    `there is no topic ${JSON.stringify(name)}${suggestion(name, known)}`,
  );
}

/** Throws NOT_FOUND for a topic or partition that is not there, naming those that are. */
export function checkConsume(reader: LogReader, request: ConsumeRequest): TopicInfo {
  const topic = findTopic(reader, request.topic);
  const { partition } = request;
  if (partition !== undefined && topic.streams[partition] === undefined) {
    throw new GatelogError(
      'NOT_FOUND',
      `topic ${topic.name} has partitions 0 to ${topic.streams.length - 1}, not ${partition}`,
    );
  }
  return topic;
}

/** Blocks of JSON lines, each ending in a line end. Throws NOT_FOUND before the first. */
export async function* consumeLines(
  reader: LogReader,
  request: ConsumeRequest,
  signal: AbortSignal,
): AsyncGenerator<string> {
  const topic = checkConsume(reader, request);
  const starts = await startOffsets(reader, topic, request);
  const reading = new TopicReading(reader, topic, request, [...starts.keys()]);
  const cursor = reader.cursor(starts);
  try {
    while (!reading.isDone(starts) && !signal.aborted) {
      const batch = await cursor.next({
        maxRecords: Math.min(reading.left, LIMITS.consumeReadRecords),
        maxBytes: LIMITS.consumeReadBytes,
      });
      const lines = reading.linesOf(batch, starts);
      if (lines !== '') yield lines;
      if (batch.records > 0 || batch.gaps.length > 0) continue;
      if (!request.follow) return;
      await cursor.wait(signal);
    }
  } finally {
    await cursor.close();
  }
}

/** What is read so far. `next` is, by stream, the offset wanted next. */
class TopicReading {
  readonly #topic: TopicInfo;
  /** Where each stream ended when reading began; undefined while following. */
  readonly #ends: ReadonlyMap<StreamId, number> | undefined;
  /** Records that may still be given. */
  left: number;

  constructor(
    reader: LogReader,
    topic: TopicInfo,
    request: ConsumeRequest,
    streams: readonly StreamId[],
  ) {
    this.#topic = topic;
    this.left = request.limit ?? Infinity;
    this.#ends = request.follow
      ? undefined
      : new Map(streams.map((stream) => [stream, reader.range(stream).endOffset]));
  }

  isDone(next: ReadonlyMap<StreamId, number>): boolean {
    if (this.left <= 0) return true;
    const ends = this.#ends;
    if (ends === undefined) return false;
    return [...next].every(([stream, offset]) => offset >= (ends.get(stream) ?? 0));
  }

  linesOf(batch: CursorBatch, next: Map<StreamId, number>): string {
    let lines = '';
    for (const gap of batch.gaps) {
      lines += `${JSON.stringify(this.#gapLine(gap))}\n`;
      next.set(gap.stream, gap.toOffset);
    }
    for (const { stream, records } of batch.slices) {
      const partition = this.#topic.streams.indexOf(stream);
      const end = this.#ends?.get(stream) ?? Infinity;
      for (const record of records) {
        if (record.offset >= end || this.left <= 0) break;
        lines += `${JSON.stringify(recordJson(this.#topic.name, partition, record))}\n`;
        this.left--;
      }
      const last = records.at(-1);
      if (last !== undefined) next.set(stream, last.offset + 1);
    }
    return lines;
  }

  #gapLine({ stream, fromOffset, toOffset, reason }: ReadGap): GapLine {
    const partition = this.#topic.streams.indexOf(stream);
    return { gap: { topic: this.#topic.name, partition, fromOffset, toOffset, reason } };
  }
}

async function startOffsets(
  reader: LogReader,
  topic: TopicInfo,
  request: ConsumeRequest,
): Promise<Map<StreamId, number>> {
  const { partition: only, from } = request;
  const starts = new Map<StreamId, number>();
  for (const [partition, stream] of topic.streams.entries()) {
    if (only !== undefined && partition !== only) continue;
    const { startOffset, endOffset } = reader.range(stream);
    if (from === 'beginning') starts.set(stream, startOffset);
    else if (from === 'end') starts.set(stream, endOffset);
    else if (typeof from === 'number') starts.set(stream, Math.min(from, endOffset));
    else starts.set(stream, await reader.offsetAtTime(stream, from.timestampMs));
  }
  return starts;
}
