import { LIMITS } from '../limits.ts';
import { Batch } from './batch.ts';
import type { AppendDone } from './log.ts';

/** Batches kept for reuse: one gathers while one is written. */
const SPARE_BATCHES = 2;

/** What waits to be committed, in arrival order, as a row of batches of which the last gathers. */
export class Queue {
  #gathering: Batch = new Batch();
  /** Full ones, oldest first. */
  readonly #full: Batch[] = [];
  readonly #spare: Batch[] = [];
  #taken: Batch | undefined;
  #relieved: (() => void)[] = [];
  /** Entries whose `done` was not called yet. */
  waiting = 0;
  /** Keys, values and headers not committed yet. */
  bytes = 0;

  get gathering(): Batch {
    return this.#gathering;
  }

  get anyFull(): boolean {
    return this.#full.length > 0;
  }

  /** The batch that takes an entry of `bytes`. */
  room(bytes: number): Batch {
    if (!this.#gathering.hasRoom(bytes)) {
      this.#full.push(this.#gathering);
      this.#gathering = this.#spare.pop() ?? new Batch();
    }
    return this.#gathering;
  }

  mark(done: AppendDone): Batch {
    const batch = this.room(0);
    batch.addMarker(done);
    batch.urgent = true;
    this.waiting++;
    return batch;
  }

  /** The oldest batch that is to be written now. It MUST be settled before the next is taken. */
  take(evenEmpty: boolean): Batch | undefined {
    let batch = this.#full.shift();
    if (batch === undefined) {
      const { urgent, count } = this.#gathering;
      if (!urgent || (count === 0 && !evenEmpty)) {
        this.#gathering.urgent = false;
        return undefined;
      }
      batch = this.#gathering;
      this.#gathering = this.#spare.pop() ?? new Batch();
    }
    this.#taken = batch;
    return batch;
  }

  settle(batch: Batch, error: Error | null): void {
    if (batch === this.#taken) this.#taken = undefined;
    const { waiting, bytes } = batch;
    batch.settle(error);
    // Only now: what an answer appends must queue behind the answers that follow it.
    this.waiting -= waiting;
    this.bytes -= bytes;
    if (this.#spare.length < SPARE_BATCHES) this.#spare.push(batch);
    if (this.#relieved.length > 0 && this.bytes <= LIMITS.pendingBytes / 2) {
      const waiters = this.#relieved;
      this.#relieved = [];
      for (const resolve of waiters) resolve();
    }
  }

  /** Records of class `none` that were answered and are in memory only. */
  get answered(): number {
    return this.#batches().reduce((sum, batch) => sum + batch.answered, 0);
  }

  /** Visits those. */
  forEachAnswered(visit: (stream: number, bytes: number) => void): void {
    for (const batch of this.#batches()) if (batch.answered > 0) batch.forEachAnswered(visit);
  }

  #batches(): Batch[] {
    const waiting = [...this.#full, this.#gathering];
    return this.#taken === undefined ? waiting : [this.#taken, ...waiting];
  }

  /** Everybody gets the error; also those who, told so, append again meanwhile. */
  settleAll(error: Error): void {
    if (this.#taken !== undefined) this.settle(this.#taken, error);
    while (this.#full.length > 0 || this.#gathering.count > 0) {
      const batch = this.#full.shift() ?? this.#gathering;
      if (batch === this.#gathering) this.#gathering = this.#spare.pop() ?? new Batch();
      this.settle(batch, error);
    }
  }

  relieved(): Promise<void> {
    if (this.bytes <= LIMITS.pendingBytes / 2) return Promise.resolve();
    return new Promise((resolve) => this.#relieved.push(resolve));
  }
}

/** As `done`, of an append that was a repeat: its producer had come to `last`. */
export function repeated(done: AppendDone, last: number): AppendDone {
  return (error) => done(error, -1, error === null ? last : undefined);
}

/** Gives its error in its turn. */
export function failing(error: Error, done: AppendDone): AppendDone {
  return () => done(error, -1);
}
