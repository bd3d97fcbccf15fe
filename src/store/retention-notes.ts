import type { Checkpoint } from './checkpoint.ts';
import type { AgedPlace } from './log-clock.ts';
import type { LogState } from './log-state.ts';
import { livesAt, type SegmentExtent } from './segment-extent.ts';
import type { Segments } from './segments.ts';

/** A place where retention may cut one stream, before the offset `next`. */
export interface CutPlace extends AgedPlace {
  readonly stream: number;
  readonly next: number;
}

export function cutPlace(checkpoint: Checkpoint, stream: number): CutPlace {
  const { next, latest, clock } = checkpoint;
  const stamp = clock?.stamp;
  return { stream, next: next[stream] ?? 0, latest: latest[stream] ?? -1, stamp };
}

/** A stream of which something lives in a segment, until it begins at the offset. */
interface Witness {
  readonly stream: number;
  readonly until: number;
}

/**
 * What retention has seen of the log, in a few numbers for each segment, topic and stream: so that a
 * run with nothing to do opens no segment, however many there are.
 */
export class RetentionNotes {
  readonly #state: LogState;
  readonly #segments: Segments;
  readonly #witnesses = new Map<number, Witness>();
  readonly #stops = new Map<number, CutPlace>();
  /** By topic: nothing of it lives in segments before this one. */
  readonly #from = new Map<string, number>();

  constructor(state: LogState, segments: Segments) {
    this.#state = state;
    this.#segments = segments;
  }

  /** Something lives in the segment, as was seen before. */
  isAlive(first: number): boolean {
    const witness = this.#witnesses.get(first);
    return witness !== undefined && (this.#state.heads.start[witness.stream] ?? 0) < witness.until;
  }

  /** Whether something lives in it; of that, what is kept longest is remembered. */
  look(first: number, extent: SegmentExtent): boolean {
    const { heads, registry } = this.#state;
    let longest = -1;
    let witness: Witness | undefined;
    for (let at = 0; at < extent.streams.length; at++) {
      const stream = extent.streams[at] ?? 0;
      const until = extent.to[at] ?? 0;
      if (!livesAt(extent, at, heads.start[stream] ?? 0)) continue;
      const keepMs = registry.topicOf(stream)?.options.retentionMs ?? Infinity;
      if (keepMs <= longest) continue;
      longest = keepMs;
      witness = { stream, until };
    }
    this.#witnesses.delete(first);
    if (witness !== undefined) this.#witnesses.set(first, witness);
    return witness !== undefined;
  }

  /** The first place where it may not be cut yet; undefined: not known, or it begins later by now. */
  stopOf(stream: number): CutPlace | undefined {
    const stop = this.#stops.get(stream);
    return stop !== undefined && stop.next > (this.#state.heads.start[stream] ?? 0)
      ? stop
      : undefined;
  }

  stopped(place: CutPlace): void {
    this.#stops.set(place.stream, place);
  }

  /** Nothing of the topic lives in the segment, or in those before it. */
  isPast(topic: string, first: number): boolean {
    return first < (this.#from.get(topic) ?? 0);
  }

  passed(topic: string, next: number): void {
    this.#from.set(topic, next);
  }

  /** Of segments that are gone. */
  forget(): void {
    if (this.#witnesses.size <= this.#segments.count) return;
    for (const first of this.#witnesses.keys()) {
      if (!this.#segments.has(first)) this.#witnesses.delete(first);
    }
  }
}
