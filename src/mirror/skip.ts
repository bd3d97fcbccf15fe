import { type Coverage, holesIn, upTo, withRange } from '../coverage.ts';
import { GatelogError } from '../errors.ts';
import type { StreamId } from '../record.ts';
import type { LogReader, TopicInfo } from '../store/log.ts';

export interface SkipRequest {
  readonly topic: string;
  /** May be left out where the topic has one. */
  readonly partition?: number | undefined;
  /** Records to leave out; 1 by default. */
  readonly count?: number | undefined;
}

/** A person decided to leave these out, and no session has told the far side yet. */
export interface PendingSkip {
  readonly topic: string;
  readonly partition: number;
  readonly fromOffset: number;
  /** One past the last. */
  readonly toOffset: number;
}

interface Place {
  readonly topic: string;
  readonly partition: number;
}

/** What a person decided before, and no session has taken over. */
interface Decided {
  readonly seeks: readonly (Place & { readonly offset: number })[];
  readonly skips: readonly PendingSkip[];
}

/** What will have been had of a partition when what a person decided about it before is done. */
export function hadThen(had: Coverage, at: Place, { seeks, skips }: Decided): Coverage {
  const isHere = (one: Place): boolean => one.topic === at.topic && one.partition === at.partition;
  const seek = seeks.find(isHere);
  const start = seek === undefined ? had : upTo(seek.offset);
  return skips
    .filter(isHere)
    .reduce((all, { fromOffset, toOffset }) => withRange(all, fromOffset, toOffset), start);
}

/** The oldest records that the mirror has not sent. Throws NOT_FOUND and USAGE. */
export function skipOf(
  reader: LogReader,
  { name, streams }: TopicInfo,
  { partition, count = 1 }: SkipRequest,
  hadOf: (stream: StreamId, partition: number) => Coverage,
): PendingSkip {
  const last = streams.length - 1;
  if (partition === undefined && last > 0) {
    throw new GatelogError('USAGE', `${name} has partitions 0 to ${last}: say which one`);
  }
  const stream = streams[partition ?? 0];
  if (stream === undefined) {
    throw new GatelogError('NOT_FOUND', `${name} has partitions 0 to ${last}, not ${partition}`);
  }
  if (!Number.isSafeInteger(count) || count < 1) {
    throw new GatelogError('USAGE', `expected a number of records to leave out, found ${count}`);
  }
  const { startOffset, endOffset } = reader.range(stream);
  const [hole] = holesIn(hadOf(stream, partition ?? 0), startOffset, endOffset);
  if (hole === undefined) {
    throw new GatelogError('USAGE', `${name}/${partition ?? 0} has nothing that waits to be sent`);
  }
  const toOffset = Math.min(hole.to, hole.from + count);
  return { topic: name, partition: partition ?? 0, fromOffset: hole.from, toOffset };
}
