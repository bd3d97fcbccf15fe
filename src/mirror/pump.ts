import { assert } from '../assert.ts';
import type { Coverage, Coverages } from '../coverage.ts';
import { GatelogError } from '../errors.ts';
import type { LogRecord, StreamId } from '../record.ts';
import type { Slice } from '../store/log.ts';
import type { Clock, Timer } from '../time.ts';
import { formatDuration } from '../units.ts';
import {
  type Expired,
  isEmpty,
  type MirrorBatch,
  type MirrorCursor,
  type MirrorGap,
  type Sampled,
} from './mirror-cursor.ts';
import { takeAlong } from './batch-ranges.ts';
import type { Batching, LinkPace, Receipt, Rejection, UpstreamSession } from './upstream.ts';

/** Why a session ended. `local` means our own log or positions failed, not the far side. */
export interface PumpFailure {
  readonly error: unknown;
  readonly local: boolean;
}

/** A record that the far side will never take, and why. */
export interface Refused {
  readonly stream: StreamId;
  readonly record: LogRecord;
  readonly reason: string;
  readonly oversize?: boolean | undefined;
}

/** What the pump tells its mirror, in the order of the log. */
export interface PumpObserver {
  /** What was to be sent next is not there. Positions move past it only after this has resolved. */
  missing(gaps: readonly MirrorGap[]): Promise<void>;
  /** The same of what is left out because its time is over. */
  expired(expired: readonly Expired[]): Promise<void>;
  /** The same of stretches of which only a sample is sent. */
  sampled(sampled: readonly Sampled[]): Promise<void>;
  /**
   * Puts records aside, in parts: `progress` is called after each. All are durable when resolved.
   * MUST reject soon after `signal` aborts.
   */
  quarantine(refused: readonly Refused[], signal: AbortSignal, progress: () => void): Promise<void>;
  /** What the far side has, or we have put aside, or never will be had. Called in send order. */
  settled(settlement: Settlement): void;
  /** A read hit the durable end, or did not. */
  atEnd(atEnd: boolean): void;
}

export interface Settlement {
  /** Of the batch's streams. */
  readonly positions: Coverages;
  readonly batch: MirrorBatch;
  /** The stream of each record of the batch that went to quarantine instead. */
  readonly quarantined: readonly StreamId[];
  readonly bytesSent: number;
  readonly pace: LinkPace | undefined;
  /** There was more behind it when it was read. */
  readonly isFull: boolean;
}

/** What the far side owes an answer to, the oldest of it: bytes as read, and since when. */
export interface Owed {
  readonly bytes: number;
  readonly forMs: number;
}

export interface PumpOptions {
  readonly cursor: MirrorCursor;
  /** What was had before the cursor's first batch. */
  readonly from: Coverages;
  /** Looked at anew for every batch. */
  readonly batching: Batching;
  /** Batches sent and not yet settled, at most. Asked for every batch. */
  readonly window: () => number;
  /**
   * A batch unanswered for this long fails the session, or for twice as long as that waits by itself;
   * putting records aside counts as progress.
   */
  readonly sendMs: number;
  readonly clock: Clock;
  readonly observer: PumpObserver;
  /** Aborted with the first failure: nobody answers any more what the cursor may be waiting for. */
  readonly failed?: AbortController;
}

interface Flight {
  readonly batch: MirrorBatch;
  readonly after: Coverages;
  readonly isFull: boolean;
  readonly sentMs: number;
  /** `stream:offset` → stream. */
  readonly quarantined: Map<string, StreamId>;
}

/**
 * One session's way from the log to the far side: read → send → receipt, at most `window` batches
 * in flight, receipts handled strictly in send order. It holds no records beyond those batches and
 * never waits by polling: whoever can end a wait (the log, a receipt, a failure, a stop) wakes it.
 */
export class Pump {
  readonly #options: PumpOptions;
  readonly #flights: Flight[] = [];
  /** What has been had when everything that was sent has arrived. */
  readonly #sent: Map<StreamId, Coverage>;
  #session: UpstreamSession | undefined;
  #failure: PumpFailure | undefined;
  /** Aborts with the first failure. */
  readonly #failed: AbortController;
  #over = false;
  #chain: Promise<void> = Promise.resolve();
  #handling: Promise<void> = Promise.resolve();
  #wake: () => void = () => {};
  #watchdog: Timer | undefined;
  #oldestSentMs = 0;
  #puttingAside = false;

  constructor(options: PumpOptions) {
    assert(options.window() >= 1, 'a pump may send at least one batch');
    this.#options = options;
    this.#failed = options.failed ?? new AbortController();
    this.#sent = new Map(options.from);
  }

  /** Milliseconds (monotonic) since when the far side owes an answer; undefined when it owes none. */
  get waitingSinceMs(): number | undefined {
    return this.#flights.length === 0 ? undefined : this.#oldestSentMs;
  }

  /** Milliseconds (monotonic) since when the oldest batch without a receipt is on its way. */
  get underWaySinceMs(): number | undefined {
    return this.#flights[0]?.sentMs;
  }

  /** undefined when nothing is. */
  get owed(): Owed | undefined {
    const [oldest] = this.#flights;
    if (oldest === undefined) return undefined;
    const forMs = this.#options.clock.monotonicMs() - this.#oldestSentMs;
    return { bytes: oldest.batch.bytes, forMs };
  }

  /**
   * Runs until `signal` aborts and what was sent is settled (the caller bounds that by closing the
   * session), or until something fails. Never rejects.
   */
  async run(session: UpstreamSession, signal: AbortSignal): Promise<PumpFailure | undefined> {
    this.#session = session;
    session.broken.catch((error: unknown) => this.fail({ error, local: false }));
    const onAbort = (): void => this.#wake();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      while (!signal.aborted && this.#failure === undefined) await this.#step(signal);
      while (this.#flights.length > 0 && this.#failure === undefined) await this.#woken();
    } catch (error) {
      this.fail({ error, local: true });
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#watchdog?.cancel();
    }
    return this.#failure;
  }

  /** Ends the run with this failure, unless it failed before. */
  fail(failure: PumpFailure): void {
    this.#failure ??= failure;
    this.#failed.abort();
    this.#wake();
  }

  /** After `run`: takes no more receipts; resolves when the one being handled is done with. */
  async finished(): Promise<void> {
    this.#over = true;
    await this.#handling.catch(() => {}); // Its failure is the run's failure already.
  }

  /**
   * For an upstream that must see rejected records stored before it commits beyond them. Rejects
   * soon when the session has failed: whoever closes it waits for the upstream, which waits here.
   */
  async quarantine(rejected: readonly Rejection[]): Promise<void> {
    try {
      let rest = rejected;
      for (const flight of this.#flights.slice()) rest = await this.#putAside(flight, rest);
      assert(rest.length === 0, 'only a record that is being sent can be rejected');
    } catch (error) {
      this.fail({ error, local: true });
      throw error;
    }
  }

  async #step(signal: AbortSignal): Promise<void> {
    if (this.#flights.length >= this.#options.window()) return this.#woken();
    const { cursor, batching, observer } = this.#options;
    const batch = await cursor.next(batching);
    if (signal.aborted || this.#failure !== undefined) return;
    const { gaps, expired = [], sampled = [] } = batch;
    if (!isEmpty(batch)) {
      if (gaps.length > 0) await observer.missing(gaps);
      if (expired.length > 0) await observer.expired(expired);
      if (sampled.length > 0) await observer.sampled(sampled);
      if (this.#hasFailed()) return;
      const full = isFull(batch, batching);
      if (full) observer.atEnd(false);
      this.#dispatch(batch, full);
      return;
    }
    observer.atEnd(true);
    await this.#readable(signal);
  }

  /** Waits for something to read; then lets a little more gather, so that small batches are rarer. */
  async #readable(signal: AbortSignal): Promise<void> {
    const waiting = new AbortController();
    this.#wake = () => {
      if (signal.aborted || this.#failure !== undefined) waiting.abort();
    };
    this.#wake();
    await this.#options.cursor.wait(waiting.signal);
    const { maxWaitMs } = this.#options.batching;
    if (maxWaitMs > 0) await this.#options.clock.sleep(maxWaitMs, waiting.signal);
    this.#wake = () => {};
  }

  #hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  async #woken(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = () => {};
  }

  #dispatch(batch: MirrorBatch, full: boolean): void {
    const after = takeAlong(this.#sent, batch);
    const sentMs = this.#options.clock.monotonicMs();
    const flight: Flight = { batch, after, isFull: full, sentMs, quarantined: new Map() };
    this.#flights.push(flight);
    if (this.#flights.length === 1) this.#watch();
    const sent = this.#send(batch, after);
    sent.catch(() => {}); // Looked at below, in its turn.
    this.#chain = this.#chain.then(() => this.#settle(flight, sent));
  }

  async #send(batch: MirrorBatch, after: Coverages): Promise<Receipt> {
    assert(this.#session !== undefined, 'the pump sends within a session');
    return this.#session.send(batch.slices, after);
  }

  async #settle(flight: Flight, sent: Promise<Receipt>): Promise<void> {
    let receipt: Receipt;
    try {
      receipt = await sent;
    } catch (error) {
      this.fail({ error, local: false });
      return;
    }
    if (this.#failure !== undefined || this.#over) return;
    try {
      this.#handling = this.#handle(flight, receipt);
      await this.#handling;
    } catch (error) {
      this.fail({ error, local: true });
    }
  }

  async #handle(flight: Flight, receipt: Receipt): Promise<void> {
    const strangers = await this.#putAside(flight, receipt.rejected);
    assert(strangers.length === 0, 'a rejection names a record of its batch');
    const { batch, after: positions, isFull: full } = flight;
    const quarantined = [...flight.quarantined.values()];
    const { bytesSent, pace } = receipt;
    this.#options.observer.settled({
      positions,
      batch,
      quarantined,
      bytesSent,
      pace,
      isFull: full,
    });
    if (this.#session?.copiesRecords === true) batch.release?.();
    const first = this.#flights.shift();
    assert(first === flight, 'receipts are handled in send order');
    this.#watch();
    this.#wake();
  }

  /** Each record once, and all together, so that few commits cover many. Gives those of other batches. */
  async #putAside(flight: Flight, rejected: readonly Rejection[]): Promise<readonly Rejection[]> {
    if (rejected.length === 0) return rejected;
    const slices = Map.groupBy(flight.batch.slices, ({ stream }) => stream);
    const fresh = new Map<string, Refused>();
    const others: Rejection[] = [];
    for (const rejection of rejected) {
      const { stream, offset, reason, oversize } = rejection;
      const record = recordAt(slices.get(stream) ?? [], offset);
      if (record === undefined) others.push(rejection);
      else fresh.set(`${stream}:${offset}`, { stream, record, reason, oversize });
    }
    for (const name of flight.quarantined.keys()) fresh.delete(name);
    if (fresh.size > 0) await this.#store([...fresh.values()]);
    for (const [name, { stream }] of fresh) flight.quarantined.set(name, stream);
    return others;
  }

  async #store(refused: readonly Refused[]): Promise<void> {
    this.#puttingAside = true;
    try {
      await this.#options.observer.quarantine(refused, this.#failed.signal, () => this.#watch());
    } finally {
      this.#puttingAside = false;
    }
  }

  #watch(): void {
    this.#watchdog?.cancel();
    this.#watchdog = undefined;
    if (this.#flights.length === 0 || this.#failure !== undefined) return;
    const { clock } = this.#options;
    this.#oldestSentMs = clock.monotonicMs();
    this.#watchdog = clock.after(this.#sendMs, () => this.fail(this.#overdue()));
  }

  get #sendMs(): number {
    return Math.max(this.#options.sendMs, 2 * (this.#session?.patienceMs ?? 0));
  }

  #overdue(): PumpFailure {
    const waited = formatDuration(this.#sendMs);
    if (this.#puttingAside) {
      const text = `the log has not stored refused records for ${waited}`;
      return { error: new GatelogError('STORE_UNAVAILABLE', text), local: true };
    }
    const text = `the far side has neither confirmed nor refused a batch for ${waited}`;
    return { error: new GatelogError('UPSTREAM_UNCERTAIN', text), local: false };
  }
}

/** Full enough to say that there is more behind it: a cursor may end a batch before the limit. */
function isFull({ records, bytes, hasBacklog = false }: MirrorBatch, batching: Batching): boolean {
  return hasBacklog || records >= batching.maxRecords || bytes >= batching.maxBytes / 2;
}

function recordAt(slices: readonly Slice[], offset: number): LogRecord | undefined {
  for (const { records } of slices) {
    const first = records[0];
    const record = first === undefined ? undefined : records[offset - first.offset];
    if (record !== undefined) return record;
  }
  return undefined;
}
