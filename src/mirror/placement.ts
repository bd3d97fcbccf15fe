import { type Coverage, upTo } from '../coverage.ts';
import type { StreamId } from '../record.ts';
import type { LogReader, PositionStore } from '../store/log.ts';
import { selectTopics, streamsOf } from './selection.ts';
import type { MirrorStream } from './upstream.ts';

export interface PlacementOptions {
  readonly reader: LogReader;
  readonly positions: PositionStore;
  readonly matches: (topic: string) => boolean;
  /** Told of each stream once. */
  readonly onPlaced: (at: MirrorStream, had: Coverage) => void;
}

/** Gives a mirror's streams their first position, as their topics appear. */
export class Placement {
  readonly #options: PlacementOptions;
  readonly #placed = new Set<StreamId>();

  constructor(options: PlacementOptions) {
    this.#options = options;
  }

  has(stream: StreamId): boolean {
    return this.#placed.has(stream);
  }

  /** Every stream of a topic that matches has its position. */
  get isComplete(): boolean {
    return this.#streams().every(({ stream }) => this.#placed.has(stream));
  }

  /** Streams seen for the first time, whose position is stored at once so that it pins. */
  async place(startAt: 'beginning' | 'end'): Promise<void> {
    const { reader, positions, onPlaced } = this.#options;
    const initial = new Map<StreamId, number>();
    const fresh: [MirrorStream, Coverage][] = [];
    for (const at of this.#streams()) {
      if (this.#placed.has(at.stream)) continue;
      const range = reader.range(at.stream);
      const stored = positions.coverage(at.stream);
      const first = startAt === 'beginning' ? range.startOffset : range.endOffset;
      if (stored === undefined) initial.set(at.stream, first);
      fresh.push([at, stored ?? upTo(first)]);
    }
    if (initial.size > 0) await positions.advance(initial);
    for (const [at, had] of fresh) {
      onPlaced(at, had);
      this.#placed.add(at.stream);
    }
  }

  #streams(): MirrorStream[] {
    const { reader, matches } = this.#options;
    return streamsOf(selectTopics(reader, matches));
  }
}
