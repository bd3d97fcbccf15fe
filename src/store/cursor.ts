import { assert } from '../assert.ts';
import { LIMITS } from '../limits.ts';
import type { StreamId } from '../record.ts';
import type { Logger } from '../telemetry.ts';
import { CommitDecoder } from './commit-decoder.ts';
import { readHead } from './commit-head.ts';
import { CommitWalk } from './commit-walk.ts';
import { rawBody } from './compression.ts';
import { isUnsteady } from './damage.ts';
import type { Frame } from './frame.ts';
import type { CursorBatch, LogCursor, ReadGap } from './log.ts';
import type { LogState } from './log-state.ts';
import type { Lookup } from './lookup.ts';
import { Reading, type ReadLimits } from './reading.ts';
import type { Segments } from './segments.ts';
import type { Waiters } from './waiters.ts';

export interface CursorOptions {
  readonly state: LogState;
  readonly segments: Segments;
  readonly lookup: Lookup;
  readonly waiters: Waiters;
  readonly logger: Logger;
  /**
   * Told what a reader found to be damaged before the reader has it, so that it stands in the loss
   * ledger in the words and with the size of who knows best. Never rejects.
   */
  readonly onDamage?: ((gaps: readonly ReadGap[]) => Promise<void>) | undefined;
  /** Nothing is read behind this commit, and nothing told of what stands there; by default all is. */
  readonly lastCommit?: number | undefined;
}

/**
 * A reader that passed over so much without meeting a wanted record looks up where the next one is, to
 * within a checkpoint: a rare topic is not looked for through all that stands between its records.
 */
const PASSED_BYTES = 4 * LIMITS.checkpointEveryBytes;

/** What was found is handed out after so much of the log was read for it: a mirror's alarms do not wait. */
const READ_BYTES = 16 * LIMITS.checkpointEveryBytes;

/**
 * Walks the commits and hands out the wanted streams' records. Between calls it knows a commit
 * number and the next offset of each stream, nothing else. Every commit's checksum is verified,
 * and every stream's offsets must follow each other: what does not is a gap, told and passed over.
 */
export class Cursor implements LogCursor {
  readonly #options: CursorOptions;
  readonly #next: Map<StreamId, number>;
  readonly #decoder = new CommitDecoder();
  readonly #walk: CommitWalk;
  #located: boolean;
  /** Since the last wanted record. */
  #passedBytes = 0;
  /** In this call. */
  #readBytes = 0;
  #busy = false;
  #closed = false;

  /** `fromCommit`: nothing wanted stands before it, whatever the offsets say. */
  constructor(options: CursorOptions, from: ReadonlyMap<StreamId, number>, fromCommit?: number) {
    this.#options = options;
    this.#walk = new CommitWalk(options);
    if (fromCommit !== undefined) this.#walk.startAt(fromCommit);
    this.#located = fromCommit !== undefined;
    this.#next = new Map(from);
  }

  async next(limits: ReadLimits): Promise<CursorBatch> {
    assert(!this.#busy, 'a cursor is read by one caller at a time');
    assert(limits.maxRecords > 0 && limits.maxBytes > 0, 'a reader wants at least one record');
    const reading = new Reading(this.#next, this.#options.state, limits);
    reading.passRetention();
    if (this.#closed || !this.#behind()) return reading.batch();
    this.#busy = true;
    this.#readBytes = 0;
    try {
      if (!this.#located) await this.#goOn(0);
      this.#located = true;
      await this.#readOrWait(reading);
      const batch = reading.batch();
      const damaged = batch.gaps.filter(({ reason }) => reason === 'corruption');
      if (damaged.length > 0) await this.#options.onDamage?.(damaged);
      return batch;
    } catch (error) {
      this.#located = false; // The next call finds the place again by the offsets.
      throw error;
    } finally {
      this.#busy = false;
    }
  }

  async wait(signal: AbortSignal): Promise<void> {
    if (this.#closed || signal.aborted || this.#behind()) return;
    await this.#options.waiters.until(() => this.#closed || this.#behind(), signal);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#options.waiters.wake();
  }

  /** There is something durable, or a gap, that this cursor has not had. */
  #behind(): boolean {
    const { durable, start } = this.#options.state.heads;
    for (const [stream, next] of this.#next) {
      if (next < (durable[stream] ?? 0) || next < (start[stream] ?? 0)) return true;
    }
    return false;
  }

  async #goOn(atLeast: number): Promise<void> {
    this.#passedBytes = 0;
    const commit = await this.#locate();
    if (commit > atLeast) this.#walk.startAt(commit);
  }

  async #locate(): Promise<number> {
    const { state, lookup } = this.#options;
    let commit = state.durableCommit + 1;
    for (const [stream, next] of this.#next) {
      if (next >= (state.heads.durable[stream] ?? 0)) continue;
      commit = Math.min(commit, await lookup.commitBefore(stream, next));
    }
    return commit;
  }

  /** What stands before a place that the disk does not read is handed out; the next call is told of it. */
  async #readOrWait(reading: Reading): Promise<void> {
    try {
      await this.#read(reading);
    } catch (error) {
      if (!isUnsteady(error) || reading.empty) throw error;
    }
  }

  async #read(reading: Reading): Promise<void> {
    const { state, lastCommit = Infinity } = this.#options;
    const end = Math.min(state.durableCommit, lastCommit);
    const ends = new Map([...this.#next.keys()].map((s) => [s, state.heads.durable[s] ?? 0]));
    const visit = (frame: Frame, bytes: number): boolean => this.#visit(frame, bytes, reading);
    let isRead = false;
    do {
      if (this.#isSparse) await this.#goOn(this.#walk.commit);
      isRead = await this.#walk.to(end, visit);
    } while (!isRead && this.#isSparse && reading.empty);
    if (isRead && end < lastCommit) reading.passMissing(ends);
  }

  get #isSparse(): boolean {
    return this.#passedBytes >= PASSED_BYTES;
  }

  /** False when the batch is full, and where the next record is to be looked up. */
  #visit(frame: Frame, bytes: number, reading: Reading): boolean {
    const isEnough = this.#readBytes >= READ_BYTES && !reading.empty;
    if (isEnough || this.#isSparse) return false;
    this.#readBytes += bytes;
    const held = reading.planned;
    const goesOn = this.#readCommit(frame, reading);
    this.#passedBytes = reading.planned > held ? 0 : this.#passedBytes + bytes;
    return goesOn;
  }

  /** False when the batch was full before the end of this commit. */
  #readCommit(frame: Frame, reading: Reading): boolean {
    const head = readHead(frame.head);
    if (head === undefined || !this.#options.state.mayHold(head)) return true;
    const wanted = reading.plan(head);
    if (wanted === undefined) return !reading.full;
    const body = rawBody(frame);
    if (body === undefined || !this.#decoder.open(body, head)) {
      reading.passDamaged(wanted);
      return !reading.full;
    }
    if (frame.compressed) reading.holds(body);
    const { clock } = head;
    const correction =
      clock === undefined ? undefined : this.#options.state.boots.correction(clock.stamp);
    return this.#decoder.decode(head, wanted, reading, correction);
  }
}
