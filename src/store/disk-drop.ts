import type { StreamStart } from './state.ts';

/**
 * Which segment is given up next when the disk is full. Space comes back a whole segment at a time,
 * and a segment holds records of many topics: so a choice is made only where it frees one, and
 * nothing is dropped in vain.
 */
export interface DropSegment {
  readonly first: number;
  /** By stream: the next offset where the segment begins and where it ends. */
  readonly from: readonly number[];
  readonly to: readonly number[];
  /** By stream: bytes ever stored, where it ends. */
  readonly stored: readonly number[];
  /** The one being written: it can't be removed before the next was begun. */
  readonly active: boolean;
}

export interface DropStream {
  readonly start: number;
  readonly durable: number;
  /** Pinning readers have everything before it; undefined when there is no such reader. */
  readonly mirrored: number | undefined;
  readonly priority: number;
  /** Never dropped before it was mirrored. */
  readonly refuses: boolean;
}

export interface DropChoice {
  readonly segment: DropSegment;
  /** Where streams begin after it; empty when no record lives in the segment. */
  readonly starts: ReadonlyMap<number, StreamStart>;
  /** By stream: the first record that leaves unmirrored. */
  readonly unmirrored: ReadonlyMap<number, number>;
}

export type DropWhat = 'dead' | 'mirrored' | 'unmirrored';

/**
 * The oldest segment whose records are all gone already; else the oldest whose records were all
 * mirrored; else, of those that may go, one in which the highest priority is lowest, and the oldest
 * of these. undefined: nothing that may go would free a segment.
 */
export function chooseDrop(
  segments: readonly DropSegment[],
  streams: readonly DropStream[],
  what: DropWhat,
): DropChoice | undefined {
  let best: { readonly choice: DropChoice; readonly priority: number } | undefined;
  for (const segment of segments) {
    const candidate = weigh(segment, streams);
    if (candidate === undefined) continue;
    if (what !== 'unmirrored' && candidate.choice.unmirrored.size > 0) continue;
    if (what === 'dead' && candidate.choice.starts.size > 0) continue;
    if (best === undefined || candidate.priority < best.priority) best = candidate;
  }
  return best?.choice;
}

/** Streams that keep `segments` from being given up because their topics refuse. */
export function blocking(
  segments: readonly DropSegment[],
  streams: readonly DropStream[],
): Set<number> {
  const found = new Set<number>();
  for (const segment of segments) {
    for (const [stream, info] of streams.entries()) {
      if (info.refuses && lives(segment, stream, info) && !isMirrored(segment, stream, info)) {
        found.add(stream);
      }
    }
  }
  return found;
}

function weigh(
  segment: DropSegment,
  streams: readonly DropStream[],
): { readonly choice: DropChoice; readonly priority: number } | undefined {
  const starts = new Map<number, StreamStart>();
  const unmirrored = new Map<number, number>();
  let priority = -Infinity;
  for (const [stream, info] of streams.entries()) {
    if (!lives(segment, stream, info)) continue;
    const end = segment.to[stream] ?? 0;
    // Written a moment ago and not told to be durable yet: nothing is said of it before.
    if (end > info.durable) return undefined;
    starts.set(stream, { offset: end, storedBefore: segment.stored[stream] ?? 0 });
    if (isMirrored(segment, stream, info)) continue;
    if (info.refuses) return undefined;
    priority = Math.max(priority, info.priority);
    unmirrored.set(stream, Math.max(info.start, info.mirrored ?? 0));
  }
  return { choice: { segment, starts, unmirrored }, priority };
}

/** A record of the stream is in the segment and can still be read. */
function lives(segment: DropSegment, stream: number, { start }: DropStream): boolean {
  return (segment.to[stream] ?? 0) > Math.max(segment.from[stream] ?? 0, start);
}

function isMirrored(segment: DropSegment, stream: number, { mirrored }: DropStream): boolean {
  return mirrored !== undefined && mirrored >= (segment.to[stream] ?? 0);
}
