import { type Coverage, type Coverages, holesIn } from '../coverage.ts';
import type { OffsetRange } from '../range-set.ts';
import { type StreamId, streamId } from '../record.ts';
import { SAMPLE_LIMITS } from '../sample-limits.ts';
import type { KeyValueSpace } from '../store/log.ts';
import type { Sampled } from './mirror-cursor.ts';

/** As it is stored: from, to, and of the offsets that went the distance from the one before. */
type StoredStretch = readonly [stream: number, from: number, to: number, steps: readonly number[]];

interface Stretch extends OffsetRange {
  readonly stream: StreamId;
  /** Offsets that went, less `from`; ascending. */
  readonly kept: Uint32Array;
  readonly note: Note;
}

/** One write. */
interface Note {
  readonly key: string;
  /** Of its stretches, those that still matter. */
  live: number;
}

/**
 * Which records of a stream went ahead of those that sampling left for later. A stretch is written before
 * its records leave, so it may tell of some that never arrived; what did is what the stream's position
 * says, which moves in one step with them: `sampledTo` of its coverage. What is written beyond that
 * is forgotten when the next session begins, and what lies below `next` matters to nobody.
 */
export class SampledBook {
  readonly #space: KeyValueSpace;
  readonly #boundBytes: number;
  /** Ascending, apart. */
  readonly #stretches = new Map<StreamId, Stretch[]>();
  #stale: Note[] = [];
  #number = 0;
  #bytes = 0;

  private constructor(space: KeyValueSpace, boundBytes: number) {
    this.#space = space;
    this.#boundBytes = boundBytes;
  }

  static async load(
    space: KeyValueSpace,
    boundBytes: number = SAMPLE_LIMITS.bookBytes,
  ): Promise<SampledBook> {
    const book = new SampledBook(space, boundBytes);
    for (const [key, value] of await space.entries()) {
      const stored = JSON.parse(Buffer.from(value).toString('utf8')) as StoredStretch[];
      book.#number = Math.max(book.#number, Number(key) + 1);
      book.#take(
        key,
        stored.map(([stream, from, to, steps]) => {
          let at = 0;
          const kept = Uint32Array.from(steps, (step) => (at += step));
          return { stream: streamId(stream), from, to, kept };
        }),
      );
    }
    return book;
  }

  /** Nothing more may be noted. */
  get isFull(): boolean {
    return this.#bytes >= this.#boundBytes;
  }

  /** Durable when resolved. MUST be before anything of it leaves. */
  async note(sampled: readonly Sampled[]): Promise<void> {
    if (sampled.length === 0) return;
    const stretches = sampled.map(({ stream, from, to, kept }) => {
      return { stream, from, to, kept: Uint32Array.from(kept, (offset) => offset - from) };
    });
    const stored = stretches.map(({ stream, from, to, kept }): StoredStretch => {
      const steps = Array.from(kept, (at, index) => at - (kept[index - 1] ?? 0));
      return [stream, from, to, steps];
    });
    const key = String(this.#number++).padStart(KEY_DIGITS, '0');
    await this.#space.put(key, Buffer.from(JSON.stringify(stored)));
    this.#take(key, stretches);
  }

  /**
   * A session begins where these streams stand: forgets what never arrived. Gives what a stream is said
   * to have sampled and the book knows nothing of, as when the state database was lost.
   */
  async begin(positions: Coverages): Promise<Map<StreamId, OffsetRange[]>> {
    const unknown = new Map<StreamId, OffsetRange[]>();
    for (const [stream, had] of positions) {
      const { next, sampledTo = 0 } = had;
      this.#forget(stream, (one) => one.to <= next || one.from >= sampledTo);
      const rest = holesIn(this.#known(stream, had), next, sampledTo);
      if (rest.length > 0) unknown.set(stream, rest);
    }
    await this.#sweep(1);
    return unknown;
  }

  /** Streams stand here now. */
  passed(positions: Coverages): Promise<void> {
    for (const [stream, { next }] of positions) {
      const first = this.#stretches.get(stream)?.[0];
      if (first !== undefined && first.to <= next) this.#forget(stream, ({ to }) => to <= next);
    }
    return this.#sweep(SAMPLE_LIMITS.bookStaleStretches);
  }

  /** Offsets of [from, to) that went, ascending. */
  keptIn(stream: StreamId, from: number, to: number): number[] {
    const kept: number[] = [];
    for (const stretch of this.#stretches.get(stream) ?? []) {
      if (stretch.from >= to) break;
      if (stretch.to <= from) continue;
      for (const at of stretch.kept) {
        const offset = stretch.from + at;
        if (offset >= from && offset < to) kept.push(offset);
      }
    }
    return kept;
  }

  /** How many that the stream has not had otherwise. */
  keptAhead(stream: StreamId, had: Coverage): number {
    const { next, sampledTo = next } = had;
    let kept = 0;
    for (const stretch of this.#stretches.get(stream) ?? []) {
      if (stretch.from >= sampledTo) break;
      for (const at of stretch.kept) if (stretch.from + at >= next) kept++;
    }
    return kept;
  }

  /** What is known of the stream, added to what it has had. */
  #known(stream: StreamId, { next, ahead }: Coverage): Coverage {
    const stretches = this.#stretches.get(stream) ?? [];
    const known = [...ahead, ...stretches].toSorted((one, other) => one.from - other.from);
    return { next, ahead: known };
  }

  #take(key: string, stretches: readonly Omit<Stretch, 'note'>[]): void {
    const note: Note = { key, live: stretches.length };
    for (const one of stretches) {
      // What is noted anew was never sent.
      this.#forget(one.stream, ({ to }) => to > one.from);
      const stretch = { ...one, note };
      this.#bytes += bytesOf(stretch);
      const known = this.#stretches.get(one.stream);
      if (known === undefined) this.#stretches.set(one.stream, [stretch]);
      else known.push(stretch);
    }
  }

  #forget(stream: StreamId, isOver: (stretch: Stretch) => boolean): void {
    const stretches = this.#stretches.get(stream);
    if (stretches === undefined || !stretches.some(isOver)) return;
    for (const stretch of stretches.filter(isOver)) {
      this.#bytes -= bytesOf(stretch);
      stretch.note.live--;
      if (stretch.note.live === 0) this.#stale.push(stretch.note);
    }
    const left = stretches.filter((stretch) => !isOver(stretch));
    if (left.length === 0) this.#stretches.delete(stream);
    else this.#stretches.set(stream, left);
  }

  async #sweep(atLeast: number): Promise<void> {
    if (this.#stale.length < atLeast) return;
    const stale = this.#stale;
    await this.#space.deleteAll(stale.map(({ key }) => key));
    this.#stale = this.#stale.filter((note) => !stale.includes(note));
  }
}

function bytesOf({ kept }: Stretch): number {
  return kept.byteLength + SAMPLE_LIMITS.bookStretchBytes;
}

const KEY_DIGITS = 16;
