import type { Checkpoint } from './checkpoint.ts';
import type { Lookup } from './lookup.ts';

/** What a segment holds: of few of the streams that there are, and in few bytes. */
export interface SegmentExtent {
  /** Those that have records in it, ascending; the lists beside are by place in this one. */
  readonly streams: ArrayLike<number>;
  /** The next offset before and after it. */
  readonly from: ArrayLike<number>;
  readonly to: ArrayLike<number>;
  /** Bytes ever stored of the stream, where it begins and where it ends. */
  readonly storedBefore: ArrayLike<number>;
  readonly stored: ArrayLike<number>;
}

type Place = { readonly [K in 'next' | 'stored']: ArrayLike<number> };

const NOWHERE: Place = { next: [], stored: [] };

export function extentBetween(beginning: Place = NOWHERE, end: Place): SegmentExtent {
  const held: number[] = [];
  for (let stream = 0; stream < end.next.length; stream++) {
    if ((end.next[stream] ?? 0) > (beginning.next[stream] ?? 0)) held.push(stream);
  }
  const column = (of: ArrayLike<number>): Float64Array =>
    Float64Array.from(held, (stream) => of[stream] ?? 0);
  return {
    streams: Uint32Array.from(held),
    from: column(beginning.next),
    to: column(end.next),
    storedBefore: column(beginning.stored),
    stored: column(end.stored),
  };
}

/** undefined: where it ends can't be read. */
export async function extentOf(first: number, lookup: Lookup): Promise<SegmentExtent | undefined> {
  const end: Checkpoint | undefined = await lookup.endOf(first);
  if (end === undefined) return undefined;
  return extentBetween(await lookup.beginning(first), end);
}

/** A record of the stream at this place is in the segment and can still be read; `start`: where it begins. */
export function livesAt({ from, to }: SegmentExtent, at: number, start: number): boolean {
  return (to[at] ?? 0) > Math.max(from[at] ?? 0, start);
}
