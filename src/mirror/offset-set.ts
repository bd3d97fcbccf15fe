import { assert, must } from '../assert.ts';
import type { OffsetRange } from '../range-set.ts';

/** Offsets a chunk covers: one bit each, 512 bytes. */
const CHUNK = 4096;

interface Chunk {
  readonly bits: Uint32Array;
  count: number;
}

/**
 * A set of offsets that costs next to nothing where it is dense: whole chunks become one of few
 * runs, and only chunks with holes keep a bit per offset. Read in order it holds one run and one
 * chunk, whatever the number of records.
 */
export class OffsetSet {
  readonly #chunks = new Map<number, Chunk>();
  /** Full chunks as runs of chunk numbers, ascending and apart. */
  readonly #runs: { from: number; to: number }[] = [];
  size: number = 0;
  first: number = Number.POSITIVE_INFINITY;
  last: number = -1;

  /** False when it was there already. */
  add(offset: number): boolean {
    assert(Number.isSafeInteger(offset) && offset >= 0, 'an offset is a count from 0');
    const number = Math.floor(offset / CHUNK);
    let chunk = this.#chunks.get(number);
    if (chunk === undefined) {
      if (this.#isFull(number)) return false;
      chunk = { bits: new Uint32Array(CHUNK / 32), count: 0 };
      this.#chunks.set(number, chunk);
    }
    const bit = offset % CHUNK;
    const word = bit >>> 5;
    const mask = 1 << (bit & 31);
    const before = chunk.bits[word] ?? 0;
    if ((before & mask) !== 0) return false;
    chunk.bits[word] = before | mask;
    chunk.count++;
    if (chunk.count === CHUNK) this.#fill(number);
    this.size++;
    if (offset < this.first) this.first = offset;
    if (offset > this.last) this.last = offset;
    return true;
  }

  /** Missing ranges within [from, to), ascending. */
  *missing(from: number, to: number): Generator<OffsetRange> {
    let at = from;
    for (const present of this.#present()) {
      if (present.to <= at) continue;
      if (present.from >= to) break;
      if (present.from > at) yield { from: at, to: present.from };
      at = present.to;
    }
    if (at < to) yield { from: at, to };
  }

  /** What is there, ascending; neighbouring ranges may touch. */
  *#present(): Generator<OffsetRange> {
    const partial = [...this.#chunks.keys()].toSorted((one, other) => one - other);
    let next = 0;
    for (const run of this.#runs) {
      for (; next < partial.length; next++) {
        const number = must(partial[next], 'within its length');
        if (number >= run.from) break;
        yield* this.#within(number);
      }
      yield { from: run.from * CHUNK, to: run.to * CHUNK };
    }
    for (; next < partial.length; next++) yield* this.#within(must(partial[next], 'within'));
  }

  *#within(number: number): Generator<OffsetRange> {
    const { bits } = must(this.#chunks.get(number), 'a partial chunk is kept');
    const base = number * CHUNK;
    let from = -1;
    for (let bit = 0; bit < CHUNK; bit++) {
      const present = ((bits[bit >>> 5] ?? 0) & (1 << (bit & 31))) !== 0;
      if (present && from < 0) from = bit;
      if (present || from < 0) continue;
      yield { from: base + from, to: base + bit };
      from = -1;
    }
    if (from >= 0) yield { from: base + from, to: base + CHUNK };
  }

  #isFull(number: number): boolean {
    const at = this.#runAt(number);
    return at >= 0 && number < must(this.#runs[at], 'runAt gives a run').to;
  }

  #fill(number: number): void {
    this.#chunks.delete(number);
    const at = this.#runAt(number);
    const below = this.#runs[at];
    const above = this.#runs[at + 1];
    if (below?.to === number) {
      below.to = number + 1;
      if (above?.from !== below.to) return;
      below.to = above.to;
      this.#runs.splice(at + 1, 1);
    } else if (above?.from === number + 1) above.from = number;
    else this.#runs.splice(at + 1, 0, { from: number, to: number + 1 });
  }

  /** The last run that begins at or before the chunk; -1 when there is none. */
  #runAt(number: number): number {
    let low = 0;
    let high = this.#runs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (must(this.#runs[middle], 'within its length').from <= number) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}
