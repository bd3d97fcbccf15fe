import { type Coverage, flat, fromFlat } from '../../coverage.ts';
import { GatelogError } from '../../errors.ts';
import { type StreamId, streamId } from '../../record.ts';
import type { MirrorStream } from '../upstream.ts';
import { type Frame, jsonFrame, jsonOf } from './frames.ts';

/** The version that this program writes and reads. */
const FORMAT = 1;

/** Where a mirror sends to, so that an import goes on from the same positions. */
export interface ExportTarget {
  /** Of the central topic's name: `{topic}`, `{gateway}`. */
  readonly topicTemplate: string;
  readonly transactionalId: string;
  readonly group: string;
  readonly positionsTopic: string;
}

/** Whose records an export holds, and for whom. The same for all files of one mirror. */
export interface ExportOrigin {
  readonly gateway: string;
  readonly incarnation: string;
  readonly mirror: string;
  readonly target: ExportTarget;
}

export interface ExportStream extends MirrorStream {
  /** The first offset of it that may follow: what lies before, the far side or other files have. */
  readonly from: number;
  /** What the far side had by the gateway's own books, whatever other files have. */
  readonly sent: Coverage;
}

export interface ExportHeader extends ExportOrigin {
  /** Of the export, by the gateway's books, from 1. Earlier programs wrote none. */
  readonly number?: number;
  /** Wall clock, ms: for people. */
  readonly madeMs: number;
  readonly streams: readonly ExportStream[];
}

/** The last frame of a whole file, or of a whole export. */
export interface ExportEnd {
  readonly records: number;
  /** Next offset of each stream. */
  readonly ends: ReadonlyMap<StreamId, number>;
}

export interface ExportRange {
  readonly stream: StreamId;
  readonly from: number;
  /** One past the last. */
  readonly to: number;
}

type ListedStream = [
  stream: number,
  topic: string,
  partition: number,
  from: number,
  sentNext: number,
  sentAhead?: readonly number[],
  sampledTo?: number,
];

export function headerFrame({ streams, ...header }: ExportHeader): Frame {
  const listed = streams.map(({ stream, topic, partition, from, sent }): ListedStream => [
    stream,
    topic,
    partition,
    from,
    ...flat(sent),
  ]);
  return jsonFrame('header', { format: FORMAT, ...header, streams: listed });
}

/** Throws EXPORT_DAMAGED, and STORE_FORMAT_NEWER for a later format. */
export function headerOf(frame: Frame): ExportHeader {
  const { format, streams, ...header } = jsonOf(frame) as Omit<ExportHeader, 'streams'> & {
    readonly format: number;
    readonly streams: readonly ListedStream[];
  };
  if (format !== FORMAT) {
    const message = `it was written by a newer gatelog (format ${format}); this one reads format ${FORMAT}`;
    throw new GatelogError('STORE_FORMAT_NEWER', message);
  }
  return {
    ...header,
    streams: streams.map(([stream, topic, partition, from, ...sent]) => ({
      stream: streamId(stream),
      topic,
      partition,
      from,
      sent: fromFlat(...sent),
    })),
  };
}

export function endFrame({ records, ends }: ExportEnd): Frame {
  return jsonFrame('end', { records, ends: [...ends] });
}

export function endOf(frame: Frame): ExportEnd {
  const { records, ends } = jsonOf(frame) as {
    records: number;
    ends: [number, number][];
  };
  return { records, ends: new Map(ends.map(([stream, next]) => [streamId(stream), next])) };
}

/** Records that the log no longer held (`gap`), or that the far side or other files have (`elsewhere`). */
export function rangeFrame(kind: 'gap' | 'elsewhere', { stream, from, to }: ExportRange): Frame {
  return jsonFrame(kind, { stream, from, to });
}

export function rangeOf(frame: Frame): ExportRange {
  const { stream, from, to } = jsonOf(frame) as { stream: number; from: number; to: number };
  return { stream: streamId(stream), from, to };
}
