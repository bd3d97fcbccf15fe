import { livesAt, type SegmentExtent } from './segment-extent.ts';
import type { StreamStart } from './state.ts';

/**
 * Which segment is given up next when the disk is full, or thinned: a segment holds records of many
 * topics, and where few of it must stay it is written anew with the commits that hold these. A choice
 * is made only where it frees space, and nothing is dropped in vain.
 */
export interface DropSegment extends SegmentExtent {
  readonly first: number;
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
  /** Where streams begin after it; empty when no record that goes lives in the segment. */
  readonly starts: ReadonlyMap<number, StreamStart>;
  /** By stream: the first record that leaves unmirrored. */
  readonly unmirrored: ReadonlyMap<number, number>;
  /** Streams whose records in it stay; empty when all of it goes. */
  readonly staying: ReadonlySet<number>;
}

export type DropWhat = 'dead' | 'mirrored' | 'unmirrored';

/** What leaves with a choice, from nothing up: then priorities follow. */
const NOTHING_LIVING = -2;
const MIRRORED = -1;

interface Candidate {
  readonly choice: DropChoice;
  /** The highest priority of what leaves, or one of the two above. */
  readonly cost: number;
}

/** Whether a segment may be thinned to the commits that hold records of these streams. */
export type MayThin = (segment: DropSegment, staying: ReadonlySet<number>) => boolean;

/**
 * What costs least, and the oldest segment of these: one of which nothing that lives goes, else one of
 * which only goes what was mirrored, else one in which the highest priority of what goes is lowest.
 * undefined: nothing that may go would free space.
 */
export function chooseDrop(
  segments: readonly DropSegment[],
  streams: readonly DropStream[],
  what: DropWhat,
  mayThin: MayThin,
): DropChoice | undefined {
  const most = what === 'dead' ? NOTHING_LIVING : what === 'mirrored' ? MIRRORED : Infinity;
  let best: Candidate | undefined;
  for (const segment of segments) {
    const living = livingIn(segment, streams);
    for (const goes of [whatMayGo, ...thinnings(living)]) {
      const candidate = weigh(segment, living, goes);
      if (candidate === undefined || candidate.cost > most) continue;
      if (best !== undefined && candidate.cost >= best.cost) continue;
      const { staying } = candidate.choice;
      const isWhole = staying.size === 0;
      if (isWhole || (goes !== whatMayGo && !segment.active && mayThin(segment, staying))) {
        best = candidate;
      }
    }
  }
  return best?.choice;
}

/** Of what the segment holds by bytes, the share of the streams: of commits that hold them it is more. */
export function shareOf(segment: DropSegment, streams: ReadonlySet<number>): number {
  let own = 0;
  let all = 0;
  for (let at = 0; at < segment.streams.length; at++) {
    const bytes = (segment.stored[at] ?? 0) - (segment.storedBefore[at] ?? 0);
    all += bytes;
    if (streams.has(segment.streams[at] ?? 0)) own += bytes;
  }
  return all === 0 ? 1 : own / all;
}

/** Streams that keep `segments` from being given up because their topics refuse. */
export function blocking(
  segments: readonly DropSegment[],
  streams: readonly DropStream[],
): Set<number> {
  const found = new Set<number>();
  for (const segment of segments) {
    for (const { stream, info, mirrored } of livingIn(segment, streams)) {
      if (info.refuses && !mirrored) found.add(stream);
    }
  }
  return found;
}

interface Living {
  readonly stream: number;
  readonly info: DropStream;
  /** Where it stands after the segment. */
  readonly end: number;
  readonly stored: number;
  readonly mirrored: boolean;
}

/** Streams of which something lives in the segment. */
function livingIn(segment: DropSegment, streams: readonly DropStream[]): Living[] {
  const living: Living[] = [];
  for (let at = 0; at < segment.streams.length; at++) {
    const stream = segment.streams[at] ?? 0;
    const info = streams[stream];
    if (info === undefined || !livesAt(segment, at, info.start)) continue;
    const end = segment.to[at] ?? 0;
    const mirrored = info.mirrored !== undefined && info.mirrored >= end;
    living.push({ stream, info, end, stored: segment.stored[at] ?? 0, mirrored });
  }
  return living;
}

type Goes = (info: DropStream, mirrored: boolean) => boolean;

const whatMayGo: Goes = ({ refuses }, mirrored) => mirrored || !refuses;

/** From what costs nothing to what costs most. */
function thinnings(living: readonly Living[]): Goes[] {
  let lowest = Infinity;
  for (const { info, mirrored } of living) {
    if (!info.refuses && !mirrored) lowest = Math.min(lowest, info.priority);
  }
  return [
    () => false,
    (_, mirrored) => mirrored,
    ({ refuses, priority }, mirrored) => mirrored || (!refuses && priority <= lowest),
  ];
}

function weigh(segment: DropSegment, living: readonly Living[], goes: Goes): Candidate | undefined {
  const starts = new Map<number, StreamStart>();
  const unmirrored = new Map<number, number>();
  const staying = new Set<number>();
  let cost = NOTHING_LIVING;
  for (const { stream, info, end, stored, mirrored } of living) {
    // Written a moment ago and not told to be durable yet: nothing is said of it before.
    if (end > info.durable) return undefined;
    if (!goes(info, mirrored)) {
      staying.add(stream);
      continue;
    }
    starts.set(stream, { offset: end, storedBefore: stored });
    cost = Math.max(cost, mirrored ? MIRRORED : info.priority);
    if (!mirrored) unmirrored.set(stream, Math.max(info.start, info.mirrored ?? 0));
  }
  return { choice: { segment, starts, unmirrored, staying }, cost };
}
