import { GatelogError } from '../errors.ts';
import type { LogReader, TopicInfo } from '../store/log.ts';
import type { PendingSeek } from './decisions.ts';

/** An offset, an end of the log, or the first record at or after a time. */
export type SeekTarget = number | 'beginning' | 'end' | { readonly timestampMs: number };

export interface SeekRequest {
  readonly topic: string;
  /** All partitions when left out. */
  readonly partition?: number;
  readonly to: SeekTarget;
}

/** Throws NOT_FOUND for a partition, USAGE for an offset that the log does not have. */
export async function seekOffsets(
  reader: LogReader,
  topic: TopicInfo,
  only: number | undefined,
  to: SeekTarget,
): Promise<PendingSeek[]> {
  if (only !== undefined && topic.streams[only] === undefined) {
    throw new GatelogError(
      'NOT_FOUND',
      `${topic.name} has partitions 0 to ${topic.streams.length - 1}, not ${only}`,
    );
  }
  const seeks: PendingSeek[] = [];
  for (const [partition, stream] of topic.streams.entries()) {
    if (only !== undefined && partition !== only) continue;
    const { startOffset, endOffset } = reader.range(stream);
    let offset: number;
    if (to === 'beginning') offset = startOffset;
    else if (to === 'end') offset = endOffset;
    else if (typeof to === 'object') offset = await reader.offsetAtTime(stream, to.timestampMs);
    else offset = to;
    if (!Number.isSafeInteger(offset) || offset < startOffset || offset > endOffset) {
      throw new GatelogError(
        'USAGE',
        `${topic.name}/${partition} holds offsets ${startOffset} to ${endOffset}; ${offset} is not one to go on from`,
      );
    }
    seeks.push({ topic: topic.name, partition, offset });
  }
  return seeks;
}
