import { assert } from '../assert.ts';
import type { Checkpoint } from './checkpoint.ts';

/**
 * Where every stream stands, as arrays by stream number: the next offset to give out (pending),
 * the next one after what is written (committed), after what a crash cannot take back (durable),
 * and the first that can still be read (start). Always start ≤ durable ≤ committed ≤ pending.
 */
export class Heads {
  pending: Float64Array = new Float64Array(64);
  committed: Float64Array = new Float64Array(64);
  durable: Float64Array = new Float64Array(64);
  start: Float64Array = new Float64Array(64);
  /** Bytes ever stored: the stream's share of the commits' sizes. */
  stored: Float64Array = new Float64Array(64);
  /** Of those, the bytes before the start offset. */
  storedBefore: Float64Array = new Float64Array(64);
  /** Latest timestamp in the segment being written, and ever; -1 is none. */
  latest: Float64Array = new Float64Array(64).fill(-1);
  newest: Float64Array = new Float64Array(64).fill(-1);

  /** Makes room for streams 0..count-1. */
  ensure(count: number): void {
    if (count <= this.pending.length) return;
    const size = Math.max(count, this.pending.length * 2);
    this.pending = larger(this.pending, size);
    this.committed = larger(this.committed, size);
    this.durable = larger(this.durable, size);
    this.start = larger(this.start, size);
    this.stored = larger(this.stored, size);
    this.storedBefore = larger(this.storedBefore, size);
    this.latest = larger(this.latest, size, -1);
    this.newest = larger(this.newest, size, -1);
  }

  /** Of streams 0..count-1, as a checkpoint has it. */
  listed(
    count: number,
  ): Pick<Checkpoint, 'next' | 'stored' | 'latest' | 'newest' | 'start' | 'storedBefore'> {
    const list = (values: Float64Array): number[] => [...values.subarray(0, count)];
    const { committed, stored, latest, newest, start, storedBefore } = this;
    return {
      next: list(committed),
      stored: list(stored),
      latest: list(latest),
      newest: list(newest),
      start: list(start),
      storedBefore: list(storedBefore),
    };
  }

  give(stream: number): number {
    const offset = this.pending[stream] as number;
    this.pending[stream] = offset + 1;
    return offset;
  }

  at(values: Float64Array, stream: number): number {
    const value = values[stream];
    assert(value !== undefined, 'the stream is known');
    return value;
  }

  /** After a failed write: what was given out and not written is given out again. */
  forgetPending(): void {
    this.pending.set(this.committed);
  }

  /** Everything written so far was synced. */
  allDurable(): void {
    this.durable.set(this.committed);
  }
}

function larger(values: Float64Array, size: number, filler: number = 0): Float64Array {
  const grown = new Float64Array(size).fill(filler);
  grown.set(values);
  return grown;
}
