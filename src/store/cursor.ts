import { assert } from '../assert.ts';
import { messageOf } from '../errors.ts';
import type { StreamId } from '../record.ts';
import type { Logger } from '../telemetry.ts';
import { CommitDecoder } from './commit-decoder.ts';
import { readHead, type CommitHead } from './commit-head.ts';
import { entryKey, parseKey } from './commit-key.ts';
import { isClosed, isDamage, isUnopenable } from './damage.ts';
import { rawBody } from './compression.ts';
import type { Database } from './database.ts';
import { readFrame } from './frame.ts';
import type { CursorBatch, LogCursor } from './log.ts';
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
}

/** How often a read begins anew because its segment was closed and opened again. */
const REOPENINGS = 3;

/**
 * Walks the commits and hands out the wanted streams' records. Between calls it knows a commit
 * number and the next offset of each stream, nothing else. Every commit's checksum is verified,
 * and every stream's offsets must follow each other: what does not is a gap, told and passed over.
 */
export class Cursor implements LogCursor {
  readonly #options: CursorOptions;
  readonly #next: Map<StreamId, number>;
  readonly #decoder = new CommitDecoder();
  #commit: number | undefined;
  #busy = false;
  #closed = false;

  /** `fromCommit`: nothing wanted stands before it, whatever the offsets say. */
  constructor(options: CursorOptions, from: ReadonlyMap<StreamId, number>, fromCommit?: number) {
    this.#options = options;
    this.#commit = fromCommit;
    this.#next = new Map(from);
  }

  async next(limits: ReadLimits): Promise<CursorBatch> {
    assert(!this.#busy, 'a cursor is read by one caller at a time');
    assert(limits.maxRecords > 0 && limits.maxBytes > 0, 'a reader wants at least one record');
    const reading = new Reading(this.#next, this.#options.state, limits);
    reading.passRetention();
    if (this.#closed || !this.#behind()) return reading.batch();
    this.#busy = true;
    try {
      this.#commit ??= await this.#locate();
      await this.#read(reading);
      return reading.batch();
    } catch (error) {
      this.#commit = undefined; // The next call finds the place again by the offsets.
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

  /** By a head that is not this log's a reader would pass over everything that is still to come. */
  #isBeyondEnd({ runs }: CommitHead): boolean {
    const { durable } = this.#options.state.heads;
    return runs.some(
      ({ stream, baseOffset, count }) => baseOffset + count > (durable[stream] ?? 0),
    );
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

  async #read(reading: Reading): Promise<void> {
    const { state, segments } = this.#options;
    const end = state.durableCommit;
    const ends = new Map([...this.#next.keys()].map((s) => [s, state.heads.durable[s] ?? 0]));
    while (!reading.full) {
      const commit = this.#commit ?? 1;
      const first = commit > end ? undefined : segments.holding(commit);
      if (first === undefined) {
        this.#commit = end + 1;
        reading.passMissing(ends);
        return;
      }
      const last = Math.min(end, (segments.after(Math.max(first, commit)) ?? Infinity) - 1);
      await this.#readOver(first, last, reading);
      // What the segment does not hold any more shows as a gap in the offsets.
      if (!reading.full) this.#commit = last + 1;
    }
  }

  /** Reads a segment up to `last`, over places that the engine can't read. */
  async #readOver(first: number, last: number, reading: Reading): Promise<void> {
    const { segments, logger } = this.#options;
    let stride = 1;
    let closedUnderUs = 0;
    while (!reading.full && (this.#commit ?? 1) <= last) {
      const before = this.#commit;
      try {
        await segments.using(first, (database) => this.#readSegment(database, last, reading));
        return;
      } catch (error) {
        if (isClosed(error) && closedUnderUs < REOPENINGS) {
          closedUnderUs++; // The writer opened the segment again after a failed write.
          continue;
        }
        if (!isDamage(error)) throw error;
        if (this.#commit !== before) stride = 1;
        logger.error(
          { segment: first, commit: this.#commit, error: messageOf(error) },
          'a part of the log can not be read; readers get it as a gap',
        );
        if (isUnopenable(error)) return; // The whole segment can't be opened.
        this.#commit = (this.#commit ?? 1) + stride;
        stride *= 2;
      }
    }
  }

  async #readSegment(database: Database, last: number, reading: Reading): Promise<void> {
    const entries = database.entries({
      gte: entryKey(this.#commit ?? 1, 'commit'),
      lte: entryKey(last, 'commit'),
    });
    try {
      for (;;) {
        const batch = await entries.next();
        if (batch.length === 0) return;
        for (const [key, value] of batch) {
          const parsed = parseKey(key);
          if (parsed?.kind !== 'commit') continue;
          this.#commit = parsed.commit;
          if (!this.#readCommit(key, value, reading)) return;
          this.#commit = parsed.commit + 1;
        }
      }
    } finally {
      await entries.close();
    }
  }

  /** False when the batch was full before the end of this commit. */
  #readCommit(key: Uint8Array, value: Uint8Array, reading: Reading): boolean {
    const frame = readFrame(key, value);
    if (frame === undefined) return true; // Its records show as a gap in the offsets.
    const head = readHead(frame.head);
    if (head === undefined || this.#isBeyondEnd(head)) return true;
    const wanted = reading.plan(head);
    if (wanted === undefined) return !reading.full;
    const body = rawBody(frame);
    if (body === undefined || !this.#decoder.open(body, head)) {
      reading.passDamaged(wanted);
      return !reading.full;
    }
    if (frame.compressed) reading.holds(body);
    return this.#decoder.decode(head, wanted, reading);
  }
}
