import type { OffsetRange } from '../range-set.ts';
import type { StreamId } from '../record.ts';
import type { Decisions, PendingSeek } from './decisions.ts';
import type { PendingSkip } from './skip.ts';
import type { Skips } from './skipping-cursor.ts';
import type { MirrorStream } from './upstream.ts';

/** The streams of a session, and what a person decided about them. */
export interface SessionPlan {
  readonly byStream: ReadonlyMap<StreamId, MirrorStream>;
  readonly seeks: readonly PendingSeek[];
  readonly seek: ReadonlyMap<StreamId, number>;
  readonly skips: readonly PendingSkip[];
  readonly skipped: Skips;
}

export function planSession(
  streams: readonly MirrorStream[],
  decisions: Pick<Decisions, 'seeks' | 'skips'>,
): SessionPlan {
  const byPlace = new Map(streams.map((at) => [placeName(at), at.stream]));
  const seeks = decisions.seeks.filter((one) => byPlace.has(placeName(one)));
  const skips = decisions.skips.filter((one) => byPlace.has(placeName(one)));
  const seek = new Map<StreamId, number>();
  for (const one of seeks) {
    const stream = byPlace.get(placeName(one));
    if (stream !== undefined) seek.set(stream, one.offset);
  }
  const skipped = new Map<StreamId, OffsetRange[]>();
  for (const one of skips) {
    const stream = byPlace.get(placeName(one));
    if (stream === undefined) continue;
    const known = skipped.get(stream) ?? [];
    skipped.set(stream, [...known, { from: one.fromOffset, to: one.toOffset }]);
  }
  const byStream = new Map(streams.map((at) => [at.stream, at]));
  return { byStream, seeks, seek, skips, skipped };
}

function placeName(at: { readonly topic: string; readonly partition: number }): string {
  return `${at.topic}/${at.partition}`;
}
