import { assert, must } from '../assert.ts';
import { LIMITS } from '../limits.ts';
import type { Logger } from '../telemetry.ts';
import { Batch } from './batch.ts';
import type { Checkpoint } from './checkpoint.ts';
import { CommitEncoder, type EncodedCommit } from './commit-encoder.ts';
import type { StoredTopic } from './commit-head.ts';
import { CommitFramer, frameCheckpoint } from './commit-framer.ts';
import { entryKey } from './commit-key.ts';
import { isDamage } from './damage.ts';
import type { Database } from './database.ts';
import type { LogClock } from './log-clock.ts';
import { findLogEnd } from './log-end.ts';
import type { Hole, LogState } from './log-state.ts';
import { NextSegment } from './next-segment.ts';
import type { Tail } from './recovery.ts';
import type { LogIdentity, OpenedLog } from './opened-log.ts';
import { Reservation } from './reservation.ts';
import type { Segments } from './segments.ts';
import { lostFrom, readWritten, takeIn, type KnownEnd, type WrittenTail } from './verify-tail.ts';

export interface CommitLogOptions {
  readonly segments: Segments;
  readonly state: LogState;
  readonly logger: Logger;
  readonly clock: LogClock;
  readonly segmentBytes: number;
  readonly compression: 'zstd' | 'none';
  readonly readOnly: boolean;
  /** Makes the state database remember where everything stood, and that it went on in that segment. */
  readonly note: (first: number, checkpoint: Checkpoint) => Promise<void>;
  /** The segment being written begins with this. */
  readonly onBegun: (checkpoint: Checkpoint) => void;
  /** Records that were written are gone after a failed write. Durable when resolved. */
  readonly onLost: (lost: readonly Hole[]) => Promise<void>;
}

/** Checkpoints take at most about a sixteenth of what is written, however many streams there are. */
const CHECKPOINT_SHARE = 16;

/**
 * Commits in segments: writes one at a time, rolls segments, sets checkpoints, and finds the end
 * again on opening and after a failed write. Who waits for what is the writer's business.
 */
export class CommitLog {
  readonly #options: CommitLogOptions;
  readonly #encoder = new CommitEncoder(LIMITS.commitRecords);
  readonly #framer: CommitFramer;
  #identity: LogIdentity = { incarnation: '', createdMs: 0 };
  #active = 0;
  #database: Database | undefined;
  #segmentBytes = 0;
  readonly #next: NextSegment;
  #rollDue = false;
  #rollsNow = false;
  #checkpointDue = true;
  #sinceCheckpoint = 0;
  #checkpointBytes = 0;
  /** Commit numbers of the last checkpoint in this segment, and of the last with producers. */
  #previousCheckpoint = -1;
  #previousProducers = -1;
  /** Commits were written and not synced. */
  #unsynced = false;
  readonly #reservation: Reservation;
  /** Segments begun and topics defined, so far; and those that are noted. */
  #news = 0;
  #newsNoted = 0;
  /** The end of the log when the segment being written was last opened. */
  #opened: KnownEnd = { commit: 0, next: [] };

  constructor(options: CommitLogOptions) {
    this.#options = options;
    const { state, logger } = options;
    this.#reservation = new Reservation({
      note: () => this.#note(),
      given: () => state.offsetsGiven,
      logger,
    });
    this.#framer = new CommitFramer(options.compression);
    this.#next = new NextSegment(options.segments, options.logger);
  }

  get unsynced(): boolean {
    return this.#unsynced;
  }

  /**
   * Finds the end of the log, whatever is damaged. `remembered`: what the state database knows of it.
   */
  async open(remembered: Checkpoint | undefined): Promise<OpenedLog> {
    const { segments, state, logger, readOnly } = this.#options;
    const end = await findLogEnd({ segments, logger, readOnly, remembered });
    const { active, activeTail, checkpoint, unreadable, missing, lastCommit } = end;
    this.#active = active;
    if (active > 0) state.lastCheckpoint = { segment: active, commit: -1 };
    const found = { unreadable, missing, lastCommit };
    if (checkpoint === undefined) return { ...found, identity: undefined, holes: [] };
    if (activeTail?.checkpoint !== undefined) {
      this.#resumeSegment(activeTail.checkpoint, activeTail);
    }
    state.restoreCheckpoint(checkpoint);
    state.producers.restoreAll(end.producers, checkpoint === activeTail?.checkpoint);
    const { skipped, holes } = state.replay(checkpoint, end.commits, logger);
    // What was skipped once is not skipped again at every start.
    if (skipped || end.tellsLess) this.#checkpointDue = true;
    state.heads.forgetPending();
    state.allDurable();
    this.#identity = { incarnation: checkpoint.incarnation, createdMs: checkpoint.createdMs };
    return { ...found, identity: this.#identity, holes };
  }

  /** Makes ready to write. Not for read-only stores. */
  async start(identity: LogIdentity): Promise<void> {
    const { segments, state } = this.#options;
    this.#identity = identity;
    this.#reservation.begin();
    this.#noteOpened();
    if (this.#active === 0) {
      this.#active = state.lastCommit + 1;
      await segments.create(this.#active);
      this.#database = await segments.hold(this.#active);
      // From here on a log without entries is a log that was lost.
      await this.write(new Batch(), true);
    } else {
      this.#database = await segments.hold(this.#active);
      if (this.isFull) this.#next.create(state.lastCommit + 1 + LIMITS.segmentAheadCommits);
    }
  }

  /** The next commit is preceded by a checkpoint: a place where retention may cut. */
  checkpointSoon(): void {
    this.#checkpointDue = true;
  }

  /** Lets the next commits begin a new segment, so that this one can be removed as a whole. */
  rollSoon(): void {
    this.#rollDue = true;
  }

  /** The next commit begins a new segment, whatever was made ahead. */
  rollNow(): void {
    this.#rollsNow = true;
  }

  get rollsNow(): boolean {
    return this.#rollsNow;
  }

  /** First commit of the segment being written. */
  get active(): number {
    return this.#active;
  }

  /** The one being written is due to be followed by another. */
  get isFull(): boolean {
    return this.#segmentBytes >= this.#options.segmentBytes;
  }

  /** Log bytes in the segment being written. */
  get activeBytes(): number {
    return this.#segmentBytes;
  }

  /** Writes the batch as one commit. Resolved with `sync`: it and all before it are durable. */
  async write(batch: Batch, sync: boolean): Promise<void> {
    const { state, clock } = this.#options;
    await this.#roll(state.lastCommit + 1);
    await this.#reservation.allow(batch.records);
    const database = must(this.#database, 'the log was started');
    const number = state.lastCommit + 1;
    const topics = state.registry.undurable();
    const { stamp, jumpMs } = clock.read();
    if (jumpMs !== 0) batch.followJump(jumpMs, stamp.wallMs);
    const encoded = this.#encoder.encode(batch, topics, stamp);
    const value = await this.#framer.frame(number, encoded);
    const begins = this.#previousCheckpoint < 0;
    const described = this.#checkpointDue ? this.#describe(begins) : undefined;
    const checkpoint = described === undefined ? undefined : frameCheckpoint(described);
    if (checkpoint !== undefined) {
      await database.write([
        { key: entryKey(number - 1, 'checkpoint'), value: checkpoint },
        { key: this.#framer.key, value },
      ]);
      state.syncs++;
      if (this.#unsynced) await this.#sync(database);
    } else if (sync && !this.#unsynced) {
      await database.put(this.#framer.key, value, true);
      state.syncs++;
    } else {
      await database.put(this.#framer.key, value, false);
      if (sync) await this.#sync(database);
    }
    this.#written(batch, encoded, topics, value.length, checkpoint?.length);
    if (described !== undefined && number === this.#active) this.#options.onBegun(described);
    if (sync || checkpoint !== undefined) this.#durable();
    else this.#unsynced = true;
    this.#news += (begins ? 1 : 0) + topics.length;
    if (!this.#unsynced) this.#reservation.renew(this.#news > this.#newsNoted);
  }

  async #note(): Promise<void> {
    await this.sync();
    const news = this.#news;
    await this.#options.note(this.#active, this.describe(this.#identity));
    this.#newsNoted = news;
  }

  /** Makes every commit durable. */
  async sync(): Promise<void> {
    if (!this.#unsynced) return;
    await this.#sync(must(this.#database, 'the log was started'));
    this.#durable();
  }

  async #sync(database: Database): Promise<void> {
    await database.sync();
    this.#options.state.syncs++;
  }

  /**
   * After a failed write: opens the segment again and makes sure that everything written before is
   * there. Opening has LevelDB copy the write-ahead file into a new table and sync that: so what is
   * found counts by a sync of its own, whatever became of the one that failed. A commit whose write
   * was reported as failed may be there nevertheless; then it counts.
   */
  async recover(): Promise<void> {
    const { state, logger, onLost } = this.#options;
    await this.#next.settled();
    const tail = await this.#reopen();
    const expected = state.lastCommit;
    const lost = lostFrom(tail, expected, state.heads.committed).filter(
      ({ stream, toOffset }) => toOffset > (state.heads.start[stream] ?? 0),
    );
    if (lost.length > 0) {
      logger.error(
        { event: 'store.lost', lost },
        'acknowledged commits are missing after a failed write; readers get the range as a gap',
      );
      await onLost(lost);
    }
    this.#segmentBytes += takeIn(tail, state);
    if (state.lastCommit > expected) {
      logger.warn(
        { fromCommit: expected + 1, toCommit: state.lastCommit + 1 },
        'a commit whose write was reported as failed is in the log; it counts',
      );
    }
    await this.#sync(must(this.#database, 'the segment was opened'));
    this.#durable();
    this.#noteOpened();
    this.#checkpointDue = true;
    state.heads.forgetPending();
    state.producers.forgetPending();
  }

  async #reopen(): Promise<WrittenTail> {
    const { segments } = this.#options;
    const read = async (): Promise<WrittenTail> => {
      this.#database = await segments.reopen(this.#active);
      return readWritten(this.#database, this.#opened, LIMITS.verifyBytes);
    };
    try {
      return await read();
    } catch (error) {
      if (!isDamage(error) || !(await segments.repair(this.#active))) throw error;
    }
    return read();
  }

  #noteOpened(): void {
    const { lastCommit, heads } = this.#options.state;
    this.#opened = { commit: lastCommit, next: heads.committed.slice() };
  }

  async close(): Promise<void> {
    await this.#next.settled();
    this.#framer.close();
    this.#database = undefined;
    await this.#options.segments.close();
  }

  #resumeSegment(checkpoint: Checkpoint, tail: Tail): void {
    const after = tail.commits.reduce((sum, { storedBytes }) => sum + storedBytes, 0);
    this.#segmentBytes = checkpoint.segmentBytes + after;
    this.#sinceCheckpoint = after;
    this.#checkpointDue = after >= LIMITS.checkpointEveryBytes;
    this.#previousCheckpoint = checkpoint.commit;
    this.#options.state.lastCheckpoint = { segment: this.#active, commit: checkpoint.commit };
    const holdsProducers = checkpoint.producers.length > 0 || checkpoint.producersBefore < 0;
    this.#previousProducers = holdsProducers ? checkpoint.commit : checkpoint.producersBefore;
  }

  #durable(): void {
    this.#unsynced = false;
    this.#options.state.allDurable();
  }

  #written(
    batch: Batch,
    encoded: EncodedCommit,
    topics: readonly StoredTopic[],
    valueBytes: number,
    checkpointBytes: number | undefined,
  ): void {
    const { state } = this.#options;
    if (checkpointBytes !== undefined) this.#checkpointed(checkpointBytes);
    state.lastCommit++;
    state.commits++;
    state.recordsAppended += batch.records;
    state.bytesAppended += batch.bytes;
    state.applyRuns(encoded.runs, valueBytes, encoded.clock);
    state.registry.durable(topics);
    if (batch.producers !== undefined) state.producers.commit(batch.producers);
    this.#segmentBytes += valueBytes;
    this.#sinceCheckpoint += valueBytes;
    const every = Math.max(LIMITS.checkpointEveryBytes, CHECKPOINT_SHARE * this.#checkpointBytes);
    // Definitions stand in a commit and in a checkpoint, so that no single damage loses them.
    if (this.#sinceCheckpoint >= every || topics.length > 0) this.#checkpointDue = true;
  }

  #checkpointed(bytes: number): void {
    const { lastCommit, heads, producers } = this.#options.state;
    const first = this.#previousCheckpoint < 0;
    if (first) heads.latest.fill(-1);
    if (first || producers.changed().length > 0) this.#previousProducers = lastCommit;
    producers.checkpointed();
    this.#previousCheckpoint = lastCommit;
    this.#options.state.lastCheckpoint = { segment: this.#active, commit: lastCommit };
    this.#checkpointDue = false;
    // A segment's first one may hold many producers; those after it hold only what changed.
    if (!first) this.#checkpointBytes = bytes;
    this.#sinceCheckpoint = 0;
    this.#segmentBytes += bytes;
  }

  /** Where everything stands, all producers included. */
  describe(identity: LogIdentity): Checkpoint {
    this.#identity = identity;
    return this.#describe(true);
  }

  /** Covers everything up to the last commit written. `whole`: with all producers. */
  #describe(asked: boolean): Checkpoint {
    const { state } = this.#options;
    const { heads, registry, producers } = state;
    // The commits after the last one were lost: it is written anew, and MUST NOT point to itself.
    const anew = this.#previousCheckpoint >= state.lastCommit;
    const whole = asked || anew;
    return {
      commit: state.lastCommit,
      previous: anew ? -1 : this.#previousCheckpoint,
      ...this.#identity,
      segmentBytes: this.#segmentBytes,
      topics: registry.all(),
      ...heads.listed(registry.streams),
      producers: whole ? producers.all() : producers.changed(),
      producersBefore: whole ? -1 : this.#previousProducers,
      clock: state.stamp && {
        stamp: state.stamp,
        boots: state.boots.packed(LIMITS.clockBootsKept),
      },
    };
  }

  /** Opens the next segment ahead of need, and moves to it at its first commit. */
  async #roll(number: number): Promise<void> {
    const { segments } = this.#options;
    const next = this.#next;
    const isDue = this.#rollDue || this.isFull;
    // The folder of the next one is evidence that all up to here was synced: see lost-end.ts.
    if (this.#rollsNow || (next.first === undefined && isDue)) await this.sync();
    if (this.#rollsNow) {
      this.#rollsNow = false;
      if (await next.giveWay()) next.create(number);
    }
    if (next.first === undefined) {
      if (!isDue) return;
      this.#rollDue = false;
      next.create(number + LIMITS.segmentAheadCommits);
      return;
    }
    if (number < next.first) return;
    assert(number === next.first, 'a segment begins with the commit it is named by');
    await this.sync();
    const database = await next.hold(number);
    if (database === undefined) {
      this.#rollDue = true;
      return;
    }
    segments.release(this.#active);
    this.#active = number;
    next.taken();
    this.#database = database;
    this.#noteOpened();
    this.#segmentBytes = 0;
    this.#checkpointDue = true;
    this.#previousCheckpoint = -1;
    this.#previousProducers = -1;
  }
}
