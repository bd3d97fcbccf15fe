import { assert } from '../assert.ts';
import { GatelogError, messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { Durability, StreamId } from '../record.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock, Timer } from '../time.ts';
import { Batch } from './batch.ts';
import type { CommitLog } from './commit-log.ts';
import type { AppendDone, LogWriter, TopicInfo, TopicOptions } from './log.ts';
import type { LogState } from './log-state.ts';

export interface WriterOptions {
  readonly log: CommitLog;
  readonly state: LogState;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly lingerMs: number;
  /** The durable end moved. */
  readonly onDurable: () => void;
}

type Phase = 'ready' | 'recovering' | 'broken' | 'closing' | 'closed';

/** Batches kept for reuse: one gathers, one is written. */
const SPARE_BATCHES = 2;

/**
 * Group commit. While one commit is being written everything that arrives gathers for the next, so
 * batches grow by themselves when the disk is slow. Work is per commit, not per record.
 */
export class Writer implements LogWriter {
  readonly #options: WriterOptions;
  readonly #state: LogState;
  #phase: Phase = 'ready';
  #gathering: Batch = new Batch();
  /** Batches that are full, oldest first, before the gathering one. */
  readonly #full: Batch[] = [];
  readonly #spare: Batch[] = [];
  #writing: Batch | undefined;
  #running = false;
  #woken = false;
  /** Entries whose `done` was not called yet. */
  #waiting = 0;
  #pendingBytes = 0;
  #relieved: (() => void)[] = [];
  #lingerTimer: Timer | undefined;
  #memoryTimer: Timer | undefined;
  #syncTimer: Timer | undefined;
  #retryTimer: Timer | undefined;
  #retryMs: number = LIMITS.recoverFirstMs;
  #idle: (() => void)[] = [];

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#state = options.state;
  }

  defineTopic(name: string, options: TopicOptions): TopicInfo {
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
  ): void {
    const bytes =
      (key === null ? 0 : key.length) + (value === null ? 0 : value.length) + headers.length;
    if (this.#refuse(bytes, done)) return;
    const batch = this.#room(bytes);
    this.#add(batch, stream, timestampMs, key, value, headers, bytes, durability, done);
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
  ): void {
    const bytes =
      (key === null ? 0 : key.length) + (value === null ? 0 : value.length) + headers.length;
    if (this.#refuse(bytes, done)) return;
    const { producers } = this.#state;
    if (sequence <= producers.last(producer)) {
      this.#marker(durability !== 'os' && this.#options.log.unsynced, repeated(done));
      return;
    }
    producers.note(producer, sequence);
    const batch = this.#room(bytes);
    batch.addProducer(producer, sequence);
    this.#add(batch, stream, timestampMs, key, value, headers, bytes, durability, done);
  }

  settled(done: AppendDone): void {
    this.#marker(false, done);
  }

  pendingBytes(): number {
    return this.#pendingBytes;
  }

  relieved(): Promise<void> {
    if (this.#pendingBytes <= LIMITS.pendingBytes / 2) return Promise.resolve();
    return new Promise((resolve) => this.#relieved.push(resolve));
  }

  /** Resolves when the topics defined so far are in the log. */
  topicsDurable(): Promise<void> {
    if (this.#state.registry.undurable().length === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      if (this.#refuse(0, (error) => reject(error ?? new Error('refused')))) return;
      const batch = this.#room(0);
      batch.addMarker((error) => (error === null ? resolve() : reject(error)));
      batch.needsSync = true;
      batch.urgent = true;
      this.#waiting++;
      this.#wake();
    });
  }

  /** Commits what waits and ends. After it every append is refused. */
  async close(): Promise<void> {
    if (this.#phase === 'closed') return;
    while (this.#phase === 'recovering') await this.#untilIdle();
    if (this.#phase === 'ready') await this.#finish();
    this.#phase = 'closed';
    for (const timer of [this.#lingerTimer, this.#memoryTimer, this.#syncTimer, this.#retryTimer]) {
      timer?.cancel();
    }
    this.#settleAll(closedError());
  }

  #untilIdle(): Promise<void> {
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  async #finish(): Promise<void> {
    this.#phase = 'closing';
    this.#gathering.urgent = true;
    this.#lingerTimer?.cancel();
    this.#lingerTimer = undefined;
    if (!this.#running) void this.#run();
    while (this.#running) await this.#untilIdle();
    await this.#options.log.sync();
  }

  /** A refusal keeps its place in the order. */
  #refuse(bytes: number, done: AppendDone): boolean {
    if (this.#phase === 'ready' && bytes <= LIMITS.recordBytes) return false;
    const error = this.#phase === 'ready' ? tooLarge(bytes) : this.#refusal();
    if (this.#waiting === 0) done(error, -1);
    else this.#marker(false, failing(error, done));
    return true;
  }

  #refusal(): GatelogError {
    const closed = this.#phase === 'closed' || this.#phase === 'closing';
    return closed ? closedError() : brokenError();
  }

  #room(bytes: number): Batch {
    const batch = this.#gathering;
    if (batch.hasRoom(bytes)) return batch;
    this.#full.push(batch);
    this.#gathering = this.#spare.pop() ?? new Batch();
    this.#wake();
    return this.#gathering;
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
    done: AppendDone,
  ): void {
    assert(stream < this.#state.registry.streams, 'the stream was defined');
    const offset = this.#state.heads.give(stream);
    this.#pendingBytes += bytes;
    if (durability === 'none' && this.#waiting === 0) {
      batch.addRecord(stream, offset, timestampMs, key, value, headers, bytes, undefined);
      this.#armMemoryTimer();
      done(null, offset);
      return;
    }
    batch.addRecord(stream, offset, timestampMs, key, value, headers, bytes, done);
    if (durability === 'fsync') batch.needsSync = true;
    else if (durability === 'os') batch.hasWritten = true;
    batch.urgent = true;
    this.#waiting++;
    this.#wake();
  }

  #marker(needsSync: boolean, done: AppendDone): void {
    if (this.#waiting === 0 && !needsSync) {
      done(null, -1);
      return;
    }
    const batch = this.#room(0);
    batch.addMarker(done);
    batch.needsSync ||= needsSync;
    batch.urgent = true;
    this.#waiting++;
    this.#wake();
  }

  /** The commit begins after the sockets that are readable now were read: they share it. */
  #wake(): void {
    if (this.#running || this.#woken || this.#phase !== 'ready') return;
    if (this.#lingers()) {
      this.#lingerTimer ??= this.#options.clock.after(this.#options.lingerMs, () => {
        this.#lingerTimer = undefined;
        this.#start();
      });
      return;
    }
    this.#woken = true;
    setImmediate(this.#begin);
  }

  #lingers(): boolean {
    return this.#options.lingerMs > 0 && this.#full.length === 0;
  }

  readonly #begin = (): void => {
    this.#woken = false;
    this.#start();
  };

  #start(): void {
    if (!this.#running && this.#phase !== 'closed') void this.#run();
  }

  async #run(): Promise<void> {
    this.#running = true;
    try {
      for (;;) {
        const batch = this.#take();
        if (batch === undefined) break;
        this.#writing = batch;
        await this.#commit(batch);
        this.#writing = undefined;
        this.#settle(batch, null);
        if (this.#phase === 'ready' && this.#lingers()) break;
      }
      this.#running = false;
      if (this.#gathering.urgent) this.#wake();
    } catch (error) {
      this.#running = false;
      await this.#fail(error);
    }
    this.#releaseIdle();
  }

  #take(): Batch | undefined {
    const full = this.#full.shift();
    if (full !== undefined) return full;
    if (!this.#gathering.urgent) return undefined;
    if (this.#gathering.count + this.#extra() === 0) {
      this.#gathering.urgent = false;
      return undefined;
    }
    const batch = this.#gathering;
    this.#gathering = this.#spare.pop() ?? new Batch();
    this.#memoryTimer?.cancel();
    this.#memoryTimer = undefined;
    return batch;
  }

  /** Definitions without records are committed too, when somebody asks or on closing. */
  #extra(): number {
    return this.#phase === 'closing' ? this.#state.registry.undurable().length : 0;
  }

  async #commit(batch: Batch): Promise<void> {
    const { log } = this.#options;
    const { registry } = this.#state;
    const closing = this.#phase === 'closing';
    const sync = batch.needsSync || !batch.hasWritten || closing;
    const topics = registry.undurable().length > 0 && (batch.needsSync || closing);
    if (batch.records === 0 && !topics) {
      if (batch.needsSync || closing) await log.sync();
    } else {
      await log.write(batch, sync);
    }
    if (log.unsynced) this.#armSyncTimer();
    else this.#options.onDurable();
  }

  #settle(batch: Batch, error: Error | null): void {
    this.#pendingBytes -= batch.bytes;
    const { waiting } = batch;
    batch.settle(error);
    // Only now: what an answer appends must queue behind the answers that follow it.
    this.#waiting -= waiting;
    if (this.#spare.length < SPARE_BATCHES) this.#spare.push(batch);
    if (this.#relieved.length > 0 && this.#pendingBytes <= LIMITS.pendingBytes / 2) {
      const waiters = this.#relieved;
      this.#relieved = [];
      for (const resolve of waiters) resolve();
    }
  }

  #settleAll(error: Error): void {
    if (this.#writing !== undefined) this.#full.unshift(this.#writing);
    this.#writing = undefined;
    // An answer may append again: refused in turn, behind those before it.
    while (this.#full.length > 0 || this.#gathering.count > 0) {
      const batch = this.#full.shift() ?? this.#gathering;
      if (batch === this.#gathering) this.#gathering = this.#spare.pop() ?? new Batch();
      this.#settle(batch, error);
    }
  }

  /** Stop acknowledging, tell everybody, close, reopen, verify, go on. */
  async #fail(cause: unknown): Promise<void> {
    const { logger } = this.#options;
    logger.error(
      { error: messageOf(cause), waiting: this.#waiting },
      'a commit could not be written; nothing of it is acknowledged; the log is opened again',
    );
    const closing = this.#phase === 'closing';
    this.#phase = 'recovering';
    const error = new GatelogError(
      'STORE_WRITE_FAILED',
      `the log could not be written (${messageOf(cause)}): nothing of this was stored; check the ` +
        `disk's space and health`,
      { cause },
    );
    this.#settleAll(error);
    await this.#recover(closing);
  }

  async #recover(closing: boolean): Promise<void> {
    const { log, logger, clock, onDurable } = this.#options;
    this.#phase = 'recovering';
    try {
      await log.recover();
      this.#retryMs = LIMITS.recoverFirstMs;
      this.#phase = 'ready';
      logger.info(
        { commit: this.#state.lastCommit },
        'the log is verified and takes appends again',
      );
      onDurable();
      if (this.#gathering.urgent) this.#wake();
    } catch (error) {
      this.#settleAll(brokenError(error));
      this.#phase = 'broken';
      logger.error(
        { error: messageOf(error), retryMs: this.#retryMs },
        'the log could not be opened again; appends are refused until it can',
      );
      if (!closing) {
        this.#retryTimer = clock.after(this.#retryMs, () => void this.#retry());
        this.#retryMs = Math.min(this.#retryMs * 2, LIMITS.recoverMaxMs);
      }
    }
  }

  async #retry(): Promise<void> {
    if (this.#phase !== 'broken') return;
    await this.#recover(false);
    this.#releaseIdle();
  }

  #releaseIdle(): void {
    if (this.#running) return;
    const waiters = this.#idle;
    this.#idle = [];
    for (const resolve of waiters) resolve();
  }

  #armMemoryTimer(): void {
    this.#memoryTimer ??= this.#options.clock.after(LIMITS.memoryWaitMs, () => {
      this.#memoryTimer = undefined;
      if (this.#gathering.count === 0) return;
      this.#gathering.urgent = true;
      this.#wake();
    });
  }

  /** Class `os`: what was written is synced within its bound, also if nothing else comes. */
  #armSyncTimer(): void {
    this.#syncTimer ??= this.#options.clock.after(LIMITS.osSyncWithinMs / 2, () => {
      this.#syncTimer = undefined;
      if (!this.#options.log.unsynced || this.#phase !== 'ready') return;
      this.#gathering.needsSync = true;
      this.#gathering.urgent = true;
      this.#waiting++;
      this.#gathering.addMarker(() => {});
      this.#wake();
    });
  }
}

function repeated(done: AppendDone): AppendDone {
  return (error) => done(error, -1);
}

function failing(error: Error, done: AppendDone): AppendDone {
  return () => done(error, -1);
}

function tooLarge(bytes: number): GatelogError {
  return new GatelogError(
    'RECORD_TOO_LARGE',
    `a record of ${bytes} bytes was appended; at most ${LIMITS.recordBytes} bytes of key, value ` +
      `and headers are possible`,
  );
}

function closedError(): GatelogError {
  return new GatelogError('STORE_CLOSED', 'the store is closed: nothing can be appended');
}

function brokenError(cause?: unknown): GatelogError {
  return new GatelogError(
    'STORE_WRITE_FAILED',
    `the log can't be written at present${cause === undefined ? '' : ` (${messageOf(cause)})`}: ` +
      `check the disk's space and health; gatelog tries again by itself`,
  );
}
