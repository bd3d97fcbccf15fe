import { GatelogError, messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { LedgerEntry, Loss, LossTotals } from '../loss.ts';
import type { OffsetRange } from '../range-set.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock, Timer } from '../time.ts';
import type { Database, Write } from './database.ts';
import {
  BOOKS_KEY,
  CLOSED_PREFIX,
  LedgerBooks,
  OPEN_PREFIX,
  closedKey,
  type BooksChange,
  type StoredBooks,
} from './ledger-books.ts';
import { coversAll } from './ledger-entry.ts';
import type { LossLedger } from './log.ts';
import { unpacked } from './pack.ts';

export interface LedgerOptions {
  readonly database: Database;
  readonly clock: Clock;
  readonly logger: Logger;
  /** An entry that has not grown for so long is closed, and goes to `_gaps`. */
  readonly idleMs: number;
  /** Ranges known by heart at most; LIMITS.ledgerRanges by default. */
  readonly ranges?: number;
  /** `lost` is asked right after the loading; else it may miss some of many entries for a moment. */
  readonly isAllWanted?: boolean;
}

/** Takes closed entries on, in order. */
export interface LedgerOutlet {
  /** Resolves when it is durable there. */
  put(number: number, entry: LedgerEntry): Promise<void>;
  /** They had better wait in the ledger: what was put there last is not mirrored. */
  isHeld(): Promise<boolean>;
}

/**
 * The loss ledger stands in the state database, so that it is written in one step with what it
 * describes there (where partitions start), is kept longer than the log, and can be written when
 * the log can not. A closed entry is also put into the topic `_gaps` of the log, once, in order:
 * from there it is mirrored like any record.
 */
export class Ledger implements LossLedger {
  readonly #options: LedgerOptions;
  readonly #books: LedgerBooks;
  #oldest = 0;
  #writing: Promise<unknown> = Promise.resolve();
  #knowing: Promise<void> | undefined;
  #outlet: LedgerOutlet | undefined;
  #putting: Promise<void> | undefined;
  #timer: Timer | undefined;
  #closed = false;

  private constructor(options: LedgerOptions) {
    this.#options = options;
    this.#books = new LedgerBooks(options.ranges);
  }

  static async load(options: LedgerOptions): Promise<Ledger> {
    const ledger = new Ledger(options);
    await ledger.#load();
    return ledger;
  }

  /** Losses told from now on are of this log. */
  set incarnation(incarnation: string) {
    this.#books.incarnation = incarnation;
  }

  /** `given`: how many entries `_gaps` was ever given, by the log's own books. */
  begin(given: number, outlet: LedgerOutlet): void {
    this.#books.skipTo(given);
    this.#outlet = outlet;
    // Not after the idle time: where processes end sooner than that, nothing would ever be closed.
    this.#later(Math.min(this.#options.idleMs, LIMITS.ledgerRetryMs));
    this.#put();
  }

  /** How many of the `given` entries that `_gaps` was ever given it does not know of. */
  lacks(given: number): number {
    return Math.max(0, given - this.#books.next);
  }

  /** Puts back entries of this log that `_gaps` holds, oldest first, with the numbers from `first` on. */
  async refill(entries: readonly LedgerEntry[], first: number): Promise<void> {
    const isEmpty = this.#oldest === this.#books.next;
    await this.#change(() => this.#books.refilling(first, entries), []);
    this.#oldest = isEmpty ? first : Math.min(this.#oldest, first);
  }

  async record(losses: readonly Loss[]): Promise<void> {
    await this.tell(losses);
  }

  /** As `record`; resolves with the parts that did not stand in it before. */
  tell(losses: readonly Loss[]): Promise<readonly Loss[]> {
    return this.#change(() => this.#recording(losses), []);
  }

  /** As `record`, with other changes of the state database in the same step. */
  async write(losses: readonly Loss[], alongside: readonly Write[]): Promise<void> {
    await this.#change(() => this.#recording(losses), alongside);
  }

  lost(topic: string, partition: number, from: number, to: number): readonly OffsetRange[] {
    return this.#books.lost(topic, partition, from, to);
  }

  totals(): LossTotals {
    return this.#books.totals();
  }

  async *entries(): AsyncGenerator<LedgerEntry> {
    await this.#writing;
    const open = this.#books.open.toSorted((left, right) => left.atMs - right.atMs);
    const end = closedKey(this.#books.next).toString('utf8');
    for await (const [key, entry] of this.#stored(CLOSED_PREFIX)) {
      // Closed since, before the walk began in the database: it is among the open ones here.
      if (key >= end) break;
      yield entry;
    }
    yield* open;
  }

  /** Resolves when nothing is being written any more. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#putting;
    await this.#writing;
    await this.#knowing?.catch(() => {});
  }

  async #load(): Promise<void> {
    const { database, isAllWanted = false } = this.#options;
    const books = await database.get(BOOKS_KEY);
    if (books !== undefined) this.#books.restoreBooks(unpacked(books) as StoredBooks);
    this.#oldest = this.#books.next;
    for await (const [key] of this.#stored(CLOSED_PREFIX, { oneByOne: true })) {
      this.#oldest = numberOf(key);
      break;
    }
    const isCounted = books !== undefined;
    for await (const [, entry] of this.#stored(OPEN_PREFIX)) {
      this.#books.restoreOpen(entry);
      if (!isCounted) this.#books.count(entry);
    }
    const isSmall = this.#books.next - this.#oldest <= LIMITS.ledgerStep;
    if (isSmall || isAllWanted || !isCounted) await this.#known(isCounted);
  }

  /** Resolves when the books know the closed entries; many of them not before a start is over. */
  #known(isCounted: boolean = true): Promise<void> {
    this.#knowing ??= this.#learn(isCounted).catch((error: unknown) => {
      this.#knowing = undefined;
      throw error;
    });
    return this.#knowing;
  }

  async #learn(isCounted: boolean): Promise<void> {
    for await (const [key, entry] of this.#stored(CLOSED_PREFIX)) {
      this.#books.restoreClosed(numberOf(key), entry);
      if (!isCounted) this.#books.count(entry);
    }
  }

  async *#stored(
    prefix: string,
    { from = Buffer.from(prefix), ...how }: { from?: Uint8Array; oneByOne?: boolean } = {},
  ): AsyncGenerator<[string, LedgerEntry]> {
    const lte = Buffer.from(`${prefix}\u{10FFFF}`);
    const entries = this.#options.database.entries({ gte: from, lte, ...how });
    try {
      for (;;) {
        const batch = await entries.next();
        if (batch.length === 0) return;
        for (const [key, value] of batch) {
          yield [Buffer.from(key).toString('utf8'), entryOf(value)];
        }
      }
    } finally {
      await entries.close();
    }
  }

  async #recording(losses: readonly Loss[]): Promise<BooksChange | undefined> {
    if (losses.some(coversAll)) await this.#known();
    const doubts = this.#books.doubts(losses);
    if (doubts.any) {
      for await (const [, entry] of this.#stored(CLOSED_PREFIX)) doubts.look(entry);
      for (const entry of this.#books.open) doubts.look(entry);
    }
    return this.#books.recording(losses, this.#options.clock.nowMs(), doubts);
  }

  /** One change after the other; what it says counts once it is durable. */
  #change(
    change: () => BooksChange | undefined | Promise<BooksChange | undefined>,
    alongside: readonly Write[],
  ): Promise<readonly Loss[]> {
    const before = this.#writing;
    const changing = (async () => {
      await before;
      const made = await change();
      const writes = [...(made?.writes ?? []), ...alongside];
      if (writes.length === 0) return [];
      await this.#write(writes);
      if (made === undefined) return [];
      made.apply();
      return made.fresh;
    })();
    this.#writing = changing.catch(() => {});
    return changing.then((fresh) => {
      this.#put();
      return fresh;
    });
  }

  async #write(writes: readonly Write[]): Promise<void> {
    try {
      await this.#options.database.write(writes);
    } catch (error) {
      throw new GatelogError(
        'STORE_WRITE_FAILED',
        `the loss ledger could not be written (${messageOf(error)}): check the disk's space and health`,
        { cause: error },
      );
    }
  }

  /** Closed and not in `_gaps` yet: they wait in the database, however many they become. */
  get #waiting(): number {
    return this.#books.next - this.#books.projected;
  }

  /** Puts what waits into `_gaps`, in order; what can't be put is tried again later. */
  #put(): void {
    if (this.#closed || this.#outlet === undefined || this.#waiting <= 0) return;
    this.#putting ??= this.#putAll(this.#outlet).finally(() => {
      this.#putting = undefined;
    });
  }

  async #putAll(outlet: LedgerOutlet): Promise<void> {
    try {
      while (this.#waiting > 0) {
        for (const [number, entry] of await this.#oldestWaiting()) {
          if (this.#closed) return;
          if (await this.#isHeld()) return this.#later(LIMITS.ledgerRetryMs);
          await outlet.put(number, entry);
          this.#books.projected = number + 1;
        }
      }
    } catch (error) {
      this.#options.logger.warn(
        { error: messageOf(error), waiting: this.#waiting },
        'entries of the loss ledger wait to be put into the topic _gaps',
      );
      this.#later(LIMITS.ledgerRetryMs);
    }
  }

  async #oldestWaiting(): Promise<readonly (readonly [number, LedgerEntry])[]> {
    const found: (readonly [number, LedgerEntry])[] = [];
    const from = closedKey(this.#books.projected);
    for await (const [key, entry] of this.#stored(CLOSED_PREFIX, { from })) {
      found.push([numberOf(key), entry]);
      if (found.length >= LIMITS.ledgerStep) break;
    }
    // Nothing is there any more, as after damage.
    if (found.length === 0) this.#books.projected = this.#books.next;
    return found;
  }

  #later(delayMs: number): void {
    this.#timer?.cancel();
    if (this.#closed) return;
    this.#timer = this.#options.clock.after(delayMs, () => void this.#tend());
  }

  /** Closes entries that do not grow any more, and lets go of the oldest. */
  async #tend(): Promise<void> {
    const { clock, idleMs, logger } = this.#options;
    let delayMs = idleMs;
    try {
      await this.#known();
      // What waits anyway may grow: so an outage, however long, makes few entries.
      this.#books.grows = await this.#isHeld();
      if (this.#books.grows) delayMs = Math.min(idleMs, LIMITS.ledgerRetryMs);
      else await this.#change(() => this.#books.closingIdle(clock.nowMs(), idleMs), []);
      await this.#trim();
    } catch (error) {
      logger.warn({ error: messageOf(error) }, 'the loss ledger could not be tended');
    }
    this.#put();
    this.#later(delayMs);
  }

  /** Too many to wait are put all the same. */
  async #isHeld(): Promise<boolean> {
    if (this.#outlet === undefined || this.#waiting >= LIMITS.ledgerEntries) return false;
    return this.#outlet.isHeld();
  }

  /** By their number and not by age: no clock, however wrong, makes an entry go. */
  async #trim(): Promise<void> {
    const surplus = this.#books.next - this.#oldest - LIMITS.ledgerEntries;
    const end = Math.min(this.#oldest + surplus, this.#books.projected);
    const kept = Math.min(end, this.#oldest + LIMITS.ledgerStep);
    if (kept <= this.#oldest) return;
    const writes: Write[] = [];
    for (let number = this.#oldest; number < kept; number++) {
      writes.push({ key: closedKey(number), value: undefined });
    }
    await this.#change(() => undefined, writes);
    this.#oldest = kept;
  }
}

function numberOf(closed: string): number {
  return Number(closed.slice(CLOSED_PREFIX.length));
}

/** What was undefined is nil in msgpack. */
function entryOf(value: Uint8Array): LedgerEntry {
  const stored = unpacked(value) as Record<keyof LedgerEntry, unknown>;
  const fields = Object.entries(stored).map(([name, field]) => [name, field ?? undefined]);
  return Object.fromEntries(fields) as LedgerEntry;
}
