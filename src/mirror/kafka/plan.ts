import { must } from '../../assert.ts';
import { identityPrefix } from '../../identity.ts';
import type { LogRecord, StreamId } from '../../record.ts';
import type { Slice } from '../../store/log.ts';
import type { Rejection } from '../upstream.ts';
import { CODE } from './codes.ts';
import { centralPartition } from './layout.ts';
import type { ProduceAnswer } from './produce.ts';
import { asTombstone } from './tombstone.ts';

/**
 * What one `send` has to deliver: the records sorted by central partition, cut into pieces of one
 * record batch each. The common case has one piece per partition. Only when a broker condemns a
 * piece is it cut further, until the record at fault stands alone and is rejected.
 */

/** A stream's way: where its records go and what identifies them. */
export interface Way {
  readonly stream: StreamId;
  readonly topic: string;
  readonly partition: number;
  readonly centralTopic: string;
  readonly centralPartitions: number;
  /** UTF-8 of the identity without the offset. */
  readonly identity: Uint8Array;
  /** What clears a retained message goes up without a value. */
  readonly tombstones?: boolean;
}

export function identityBytes(parts: {
  readonly gateway: string;
  readonly incarnation: string;
  readonly topic: string;
  readonly partition: number;
}): Uint8Array {
  return Buffer.from(identityPrefix(parts), 'utf8');
}

/** The records of one central partition, in the order they are to stand there. */
export class Target {
  readonly topic: string;
  readonly partition: number;
  readonly records: LogRecord[] = [];
  /** The way of the record at the same index. */
  readonly ways: Way[] = [];

  constructor(topic: string, partition: number) {
    this.topic = topic;
    this.partition = partition;
  }
}

/** Records `from` to `to` (exclusive) of a target: one record batch. */
export interface Piece {
  readonly target: Target;
  readonly from: number;
  readonly to: number;
}

/** A target as one piece; the encoder cuts it by bytes. */
export function wholeOf(target: Target): Piece {
  return { target, from: 0, to: target.records.length };
}

export function targetsOf(
  slices: readonly Slice[],
  wayOf: (stream: StreamId) => Way,
): readonly Target[] {
  const targets = new Map<string, Target[]>();
  for (const slice of slices) {
    const way = wayOf(slice.stream);
    let byPartition = targets.get(way.centralTopic);
    if (byPartition === undefined) {
      byPartition = [];
      targets.set(way.centralTopic, byPartition);
    }
    for (const record of slice.records) {
      const index = centralPartition(record.key, way.partition, way.centralPartitions);
      const target = (byPartition[index] ??= new Target(way.centralTopic, index));
      target.records.push(way.tombstones === true ? asTombstone(record) : record);
      target.ways.push(way);
    }
  }
  return [...targets.values()].flatMap((byPartition) => Object.values(byPartition));
}

/** The offsets of a stream that a batch takes along. */
export interface Range {
  readonly stream: StreamId;
  readonly from: number;
  /** One past the last. */
  readonly to: number;
}

export function rangesOf(slices: readonly Slice[]): Range[] {
  return slices.flatMap(({ stream, records }) => {
    const first = records[0];
    const last = records.at(-1);
    if (first === undefined || last === undefined) return [];
    return [{ stream, from: first.offset, to: last.offset + 1 }];
  });
}

export interface Refinement {
  readonly pieces: readonly Piece[];
  readonly rejected: readonly Rejection[];
}

/**
 * Cuts a condemned piece. Records that the broker named go at once; a piece of one record is that
 * record; otherwise the piece is halved and the next attempt tells more.
 */
export function refine(piece: Piece, answer: ProduceAnswer, reason: string): Refinement {
  const { target, from, to } = piece;
  const oversize = answer.code === CODE.messageTooLarge;
  const named = new Map(
    answer.recordErrors
      .filter((error) => error.index >= 0 && error.index < to - from)
      .map((error) => [from + error.index, error.reason ?? reason]),
  );
  if (named.size === 0) {
    if (to - from === 1)
      return { pieces: [], rejected: [rejection(target, from, reason, oversize)] };
    const middle = from + Math.floor((to - from) / 2);
    return {
      pieces: [
        { target, from, to: middle },
        { target, from: middle, to },
      ],
      rejected: [],
    };
  }
  const pieces: Piece[] = [];
  let start = from;
  for (const index of [...named.keys()].toSorted((a, b) => a - b)) {
    if (index > start) pieces.push({ target, from: start, to: index });
    start = index + 1;
  }
  if (start < to) pieces.push({ target, from: start, to });
  const rejected = [...named].map(([index, why]) =>
    rejection(target, index, `${reason}: ${why}`, oversize),
  );
  return { pieces, rejected };
}

function rejection(target: Target, index: number, reason: string, oversize: boolean): Rejection {
  const way = must(target.ways[index], 'a record of a target has a way');
  const record = must(target.records[index], 'a piece lies within its target');
  const at = { stream: way.stream, offset: record.offset };
  return oversize ? { ...at, reason, oversize } : { ...at, reason };
}
