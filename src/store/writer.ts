import { assert } from '../assert.ts';
import { messageOf, type GatelogError } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { Durability, StreamId } from '../record.ts';
import type { Timer } from '../time.ts';
import { bytesOf, type Batch } from './batch.ts';
import { CommitMeter } from './commit-meter.ts';
import type { AppendDone, LogWriter, ProducerBook, TopicInfo, TopicOptions } from './log.ts';
import type { LogState } from './log-state.ts';
import { failing, Queue, repeated } from './queue.ts';
import { UntoldRefusals } from './untold-refusals.ts';
import {
  brokenError,
  closedError,
  failedError,
  isFull,
  readOnlyError,
  tooLarge,
} from './write-errors.ts';
import type { WriterOptions, WriterPhase } from './writer-options.ts';

const NOTHING: AppendDone = () => {};

/**
 * Group commit. While one commit is being written everything that arrives gathers for the next, so
 * commits grow by themselves when the disk is slow. Work is per commit, not per record.
 */
export class Writer implements LogWriter {
  readonly producers: ProducerBook;
  readonly #options: WriterOptions;
  readonly #state: LogState;
  readonly #queue = new Queue();
  readonly #refusals = new UntoldRefusals();
  #phase: WriterPhase = 'ready';
  #running = false;
  #woken = false;
  #lingerTimer: Timer | undefined;
  #memoryTimer: Timer | undefined;
  #syncTimer: Timer | undefined;
  #retryTimer: Timer | undefined;
  #retryMs: number = LIMITS.recoverFirstMs;
  readonly #idle: (() => void)[] = [];
  /** Why the log can't be written at present, for people; null when it can. */
  trouble: string | null = null;

  readonly meter: CommitMeter;
  constructor(options: WriterOptions) {
    this.meter = new CommitMeter(options.clock);
    this.#options = options;
    this.#state = options.state;
    this.producers = options.state.producers;
  }

  defineTopic(name: string, options: TopicOptions): TopicInfo {
    if (this.#options.readOnly) throw readOnlyError();
    const topic = this.#state.registry.define(name, options);
    this.#state.heads.ensure(this.#state.registry.streams);
    return topic;
  }

  append(
    stream: StreamId,
    timestampMs: number,
    key: Uint8Array | null,
    value: Uint8Array | null,
    headers: Uint8Array,
    durability: Durability,
    done: AppendDone,
    given: boolean = false,
  ): void {
    const bytes = bytesOf(key, value, headers);
    const refusal = this.#refusalOf(stream, bytes);
    if (refusal !== undefined) return this.#refuse(refusal, done);
    const batch = this.#room(bytes);
    this.#add(batch, stream, timestampMs, key, value, headers, bytes, durability, given, done);
  }

  appendOnce(
    producer: string,
    sequence: number,
    stream: StreamId,
    timestampMs: number,
    key: Uint8Array | null,
    value: Uint8Array | null,
    headers: Uint8Array,
    durability: Durability,
    done: AppendDone,
    given: boolean = true,
  ): void {
    const bytes = bytesOf(key, value, headers);
    const refusal = this.#refusals.of(producer) ?? this.#refusalOf(stream, bytes);
    if (refusal !== undefined) {
      return this.#refuse(refusal, this.#refusals.telling(producer, refusal, done));
    }
    const { producers } = this.#state;
    const last = producers.last(producer);
    if (sequence <= last) {
      // The original may be in a commit that was written and not synced.
      this.#mark(durability !== 'os', repeated(done, last));
      return;
    }
    producers.note(producer, sequence);
    const batch = this.#room(bytes);
    batch.addProducer(producer, sequence);
    // Idempotence is a promise about what is stored: it is never kept in memory only.
    const kept = durability === 'none' ? 'fsync' : durability;
    this.#add(batch, stream, timestampMs, key, value, headers, bytes, kept, given, done);
  }

  settled(done: AppendDone): void {
    this.#mark(false, done);
  }

  pendingBytes(): number {
    return this.#queue.bytes;
  }

  relieved(): Promise<void> {
    return this.#queue.relieved();
  }

  /** Resolves when the topics defined so far are in the log. */
  topicsDurable(): Promise<void> {
    if (this.#state.registry.undurable().length === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const done: AppendDone = (error) => (error === null ? resolve() : reject(error));
      // A full disk refuses records and not this: positions wait for it.
      if (this.#phase !== 'ready') done(this.#refusal(undefined), -1);
      else this.#markSynced(done);
    });
  }

  /** Begins a new segment, so that the one before can be given up. Resolves also when it can't. */
  async roll(): Promise<void> {
    if (this.#phase !== 'ready') return;
    await new Promise<void>((resolve) => {
      this.#options.log.rollNow();
      this.#markSynced(() => resolve());
    });
  }

  #markSynced(done: AppendDone): void {
    this.#queue.mark(done).needsSync = true;
    this.#wake();
  }

  /** Resolves when no recovery is under way. */
  async recovered(): Promise<void> {
    while (this.#phase === 'recovering') await this.#untilIdle();
  }

  /** Commits what waits and ends. After it every append is refused. */
  async close(): Promise<void> {
    if (this.#phase === 'closed') return;
    await this.recovered();
    if (this.#phase === 'ready' && !this.#options.readOnly) await this.#finish();
    this.#phase = 'closed';
    const timers = [this.#lingerTimer, this.#memoryTimer, this.#syncTimer, this.#retryTimer];
    for (const timer of timers) timer?.cancel();
    this.#queue.settleAll(closedError());
  }

  async #finish(): Promise<void> {
    this.#phase = 'closing';
    this.#queue.gathering.urgent = true;
    this.#lingerTimer?.cancel();
    this.#lingerTimer = undefined;
    if (!this.#running) void this.#run();
    while (this.#running) await this.#untilIdle();
    try {
      await this.#options.log.sync();
    } catch (error) {
      const { logger } = this.#options;
      logger.error({ error: messageOf(error) }, 'the log could not be synced on closing');
    }
  }

  #untilIdle(): Promise<void> {
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  #refusalOf(stream: StreamId, bytes: number): GatelogError | undefined {
    const { readOnly, gate } = this.#options;
    const ready = this.#phase === 'ready' && !readOnly && gate.refusalOf(stream) === undefined;
    if (ready && bytes <= LIMITS.recordBytes) return undefined;
    return ready ? tooLarge(bytes) : this.#refusal(stream);
  }

  /** A refusal keeps its place in the order. */
  #refuse(error: GatelogError, done: AppendDone): void {
    if (this.#queue.waiting === 0) return done(error, -1);
    this.#queue.mark(failing(error, done));
    this.#wake();
  }

  #refusal(stream: StreamId | undefined): GatelogError {
    const { readOnly, gate } = this.#options;
    if (readOnly) return readOnlyError();
    if (this.#phase === 'closed' || this.#phase === 'closing') return closedError();
    gate.touch(); // No commit does it now.
    const full = stream === undefined ? undefined : gate.refusalOf(stream);
    if (full !== undefined) gate.refused++;
    return full ?? brokenError();
  }

  #room(bytes: number): Batch {
    const batch = this.#queue.room(bytes);
    if (this.#queue.anyFull) this.#wake();
    return batch;
  }

  #add(
    batch: Batch,
    stream: StreamId,
    timestampMs: number,
    key: Uint8Array | null,
    value: Uint8Array | null,
    headers: Uint8Array,
    bytes: number,
    durability: Durability,
    given: boolean,
    done: AppendDone,
  ): void {
    assert(stream < this.#state.registry.streams, 'the stream was defined');
    assert(Number.isSafeInteger(timestampMs), 'a timestamp is a whole number of milliseconds');
    const offset = this.#state.heads.give(stream);
    this.#queue.bytes += bytes;
    if (durability === 'none' && this.#queue.waiting === 0) {
      batch.addRecord(stream, offset, timestampMs, key, value, headers, bytes, undefined, given);
      this.#armMemoryTimer();
      done(null, offset);
      return;
    }
    batch.addRecord(stream, offset, timestampMs, key, value, headers, bytes, done, given);
    if (durability === 'fsync') batch.needsSync = true;
    else if (durability === 'os') batch.hasWritten = true;
    batch.urgent = true;
    this.#queue.waiting++;
    this.#wake();
  }

  #mark(needsSync: boolean, done: AppendDone): void {
    const sync = needsSync && (this.#queue.waiting > 0 || this.#options.log.unsynced);
    if (this.#queue.waiting === 0 && !sync) {
      done(null, -1);
      return;
    }
    const batch = this.#queue.mark(done);
    if (sync) batch.needsSync = true;
    this.#wake();
  }

  #lingers(): boolean {
    return this.#phase === 'ready' && this.#lingerMs() > 0 && !this.#queue.anyFull;
  }

  /** What is left of the wait: a commit under way meanwhile is part of it, not on top. */
  #lingerMs(): number {
    const { clock, lingerMs } = this.#options;
    const { sinceMs } = this.#queue.gathering;
    return lingerMs() - (sinceMs === -1 ? 0 : clock.monotonicMs() - sinceMs);
  }

  /** The commit begins after the sockets that are readable now were read: they share it. */
  #wake(): void {
    this.meter.waits(this.#queue.gathering);
    if (this.#running || this.#woken || this.#phase !== 'ready') return;
    if (this.#lingers()) {
      this.#lingerTimer ??= this.#options.clock.after(this.#lingerMs(), this.#begin);
      return;
    }
    this.#woken = true;
    setImmediate(this.#begin);
  }

  readonly #begin = (): void => {
    this.#woken = false;
    this.#lingerTimer?.cancel();
    this.#lingerTimer = undefined;
    if (!this.#running && this.#phase === 'ready') void this.#run();
  };

  /** Rejects only for a programmer's error, as when an answer throws: that ends the process. */
  async #run(): Promise<void> {
    this.#running = true;
    for (;;) {
      const batch = this.#queue.take(this.#definitionsOnClosing());
      if (batch === undefined) break;
      this.meter.begins();
      const failure = await this.#commit(batch);
      if (failure !== undefined) {
        await this.#fail(failure.cause);
        break;
      }
      this.meter.done(batch);
      this.#queue.settle(batch, null);
      if (this.#lingers()) break;
    }
    this.#running = false;
    if (this.#queue.gathering.urgent) this.#wake();
    this.#releaseIdle();
  }

  /** Definitions without records are committed on closing. */
  #definitionsOnClosing(): boolean {
    return this.#phase === 'closing' && this.#state.registry.undurable().length > 0;
  }

  async #commit(batch: Batch): Promise<{ readonly cause: unknown } | undefined> {
    const { log, onDurable, gate } = this.#options;
    gate.touch();
    const sync = batch.needsSync || this.#phase === 'closing';
    const definitions = sync && this.#state.registry.undurable().length > 0;
    try {
      if (batch.records > 0 || definitions || log.rollsNow) {
        // A batch of nothing but class `none` is synced: readers may see it then.
        await log.write(batch, sync || !batch.hasWritten);
      } else if (sync) {
        await log.sync();
      }
    } catch (cause) {
      return { cause };
    }
    gate.wrote();
    if (log.unsynced) this.#armSyncTimer();
    else onDurable();
    return undefined;
  }

  /** Stop acknowledging, tell everybody, close, reopen, verify, go on. */
  async #fail(cause: unknown): Promise<void> {
    const { logger, gate } = this.#options;
    const closing = this.#phase === 'closing';
    this.#phase = 'recovering';
    const { waiting, answered: lost } = this.#queue;
    const also = lost === 0 ? '' : `, and ${lost} of class none that were in it are lost`;
    logger.error(
      { event: 'store.write-failed', error: messageOf(cause), waiting, lost },
      `a commit could not be written; nothing of it is acknowledged${also}; the log is opened again`,
    );
    this.#queue.forEachAnswered(this.#options.onForgotten);
    this.#queue.settleAll(failedError(cause));
    if (isFull(cause)) gate.full();
    await this.#recover(closing);
  }

  async #recover(closing: boolean): Promise<void> {
    const { log, logger, clock, onDurable } = this.#options;
    this.#phase = 'recovering';
    try {
      await log.recover();
      this.#phase = closing ? 'closing' : 'ready';
      this.trouble = null;
      this.#retryMs = LIMITS.recoverFirstMs;
      logger.info(
        { commit: this.#state.lastCommit },
        'the log is verified and can be written again',
      );
      onDurable();
    } catch (error) {
      this.#phase = 'broken';
      this.trouble = messageOf(error);
      logger.error(
        { error: messageOf(error), retryMs: this.#retryMs },
        'the log could not be opened again; appends are refused until it can',
      );
      if (closing) return;
      this.#retryTimer = clock.after(this.#retryMs, () => void this.#retry());
      this.#retryMs = Math.min(this.#retryMs * 2, LIMITS.recoverMaxMs);
    }
  }

  async #retry(): Promise<void> {
    if (this.#phase !== 'broken') return;
    await this.#recover(false);
    this.#releaseIdle();
  }

  #releaseIdle(): void {
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  #armMemoryTimer(): void {
    this.#memoryTimer ??= this.#options.clock.after(LIMITS.memoryWaitMs, () => {
      this.#memoryTimer = undefined;
      if (this.#queue.gathering.count === 0) return;
      this.#queue.gathering.urgent = true;
      this.#wake();
    });
  }

  /** Class `os`: what was written is synced within its bound, also if nothing else comes. */
  #armSyncTimer(): void {
    this.#syncTimer ??= this.#options.clock.after(LIMITS.osSyncWithinMs / 2, () => {
      this.#syncTimer = undefined;
      if (this.#phase === 'ready') this.#mark(true, NOTHING);
    });
  }
}
