import { GatelogError, messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { LedgerEntry, Loss, LossTotals } from '../loss.ts';
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
import type { LossLedger } from './log.ts';
import { unpacked } from './pack.ts';

export interface LedgerOptions {
  readonly database: Database;
  readonly clock: Clock;
  readonly logger: Logger;
  /** An entry that has not grown for so long is closed, and goes to `_gaps`. */
  readonly idleMs: number;
}

/** Takes closed entries on, in order; resolves when they are durable there. */
export type LedgerOutlet = (number: number, entry: LedgerEntry) => Promise<void>;

/**
 * The loss ledger stands in the state database, so that it is written in one step with what it
 * describes there (where partitions start), is kept longer than the log, and can be written when
 * the log can not. A closed entry is also put into the topic `_gaps` of the log, once, in order:
 * from there it is mirrored like any record.
 */
export class Ledger implements LossLedger {
  readonly #options: LedgerOptions;
  readonly #books = new LedgerBooks();
  /** Closed and not in `_gaps` yet. */
  readonly #waiting = new Map<number, LedgerEntry>();
  #oldest = 0;
  #writing: Promise<void> = Promise.resolve();
  #outlet: LedgerOutlet | undefined;
  #putting: Promise<void> | undefined;
  #timer: Timer | undefined;
  #closed = false;

  private constructor(options: LedgerOptions) {
    this.#options = options;
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
    for (const number of this.#waiting.keys()) {
      if (number < this.#books.projected) this.#waiting.delete(number);
    }
    this.#later(this.#options.idleMs);
    this.#put();
  }

  record(losses: readonly Loss[]): Promise<void> {
    return this.write(losses, []);
  }

  /** As `record`, with other changes of the state database in the same step. */
  write(losses: readonly Loss[], alongside: readonly Write[]): Promise<void> {
    return this.#change(
      () => this.#books.recording(losses, this.#options.clock.nowMs()),
      alongside,
    );
  }

  totals(): LossTotals {
    return this.#books.totals();
  }

  async *entries(): AsyncGenerator<LedgerEntry> {
    await this.#writing;
    const open = this.#books.open.toSorted((left, right) => left.atMs - right.atMs);
    for await (const [, entry] of this.#stored(CLOSED_PREFIX)) yield entry;
    yield* open;
  }

  /** Resolves when nothing is being written any more. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#putting;
    await this.#writing;
  }

  async #load(): Promise<void> {
    const { database } = this.#options;
    const books = await database.get(BOOKS_KEY);
    if (books !== undefined) this.#books.restoreBooks(unpacked(books) as StoredBooks);
    let first: number | undefined;
    for await (const [key, entry] of this.#stored(CLOSED_PREFIX)) {
      const number = Number(key.slice(CLOSED_PREFIX.length));
      first ??= number;
      this.#books.restoreClosed(number, entry);
      if (number >= this.#books.projected) this.#waiting.set(number, entry);
    }
    this.#oldest = first ?? this.#books.next;
    for await (const [, entry] of this.#stored(OPEN_PREFIX)) this.#books.restoreOpen(entry);
  }

  async *#stored(prefix: string): AsyncGenerator<[string, LedgerEntry]> {
    const entries = this.#options.database.entries({
      gte: Buffer.from(prefix),
      lte: Buffer.from(`${prefix}\u{10FFFF}`),
    });
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

  /** One change after the other; what it says counts once it is durable. */
  #change(change: () => BooksChange | undefined, alongside: readonly Write[]): Promise<void> {
    const before = this.#writing;
    const changing = (async () => {
      await before;
      const made = change();
      const writes = [...(made?.writes ?? []), ...alongside];
      if (writes.length === 0) return;
      await this.#write(writes);
      if (made === undefined) return;
      made.apply();
      for (const [number, entry] of made.closed) this.#waiting.set(number, entry);
    })();
    this.#writing = changing.catch(() => {});
    return changing.then(() => this.#put());
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

  /** Puts what waits into `_gaps`, in order; what can't be put is tried again later. */
  #put(): void {
    if (this.#closed || this.#outlet === undefined || this.#waiting.size === 0) return;
    this.#putting ??= this.#putAll(this.#outlet).finally(() => {
      this.#putting = undefined;
    });
  }

  async #putAll(outlet: LedgerOutlet): Promise<void> {
    try {
      for (const [number, entry] of this.#waiting) {
        if (this.#closed) return;
        await outlet(number, entry);
        this.#waiting.delete(number);
        this.#books.projected = number + 1;
      }
    } catch (error) {
      this.#options.logger.warn(
        { error: messageOf(error), waiting: this.#waiting.size },
        'entries of the loss ledger wait to be put into the topic _gaps',
      );
      this.#later(LIMITS.ledgerRetryMs);
    }
  }

  #later(delayMs: number): void {
    this.#timer?.cancel();
    if (this.#closed) return;
    this.#timer = this.#options.clock.after(delayMs, () => void this.#tend());
  }

  /** Closes entries that do not grow any more, and lets go of the oldest. */
  async #tend(): Promise<void> {
    const { clock, idleMs, logger } = this.#options;
    try {
      await this.#change(() => this.#books.closingIdle(clock.nowMs(), idleMs), []);
      await this.#trim(clock.nowMs());
    } catch (error) {
      logger.warn({ error: messageOf(error) }, 'the loss ledger could not be tended');
    }
    this.#put();
    this.#later(idleMs);
  }

  async #trim(nowMs: number): Promise<void> {
    const surplus = this.#books.next - this.#oldest - LIMITS.ledgerEntries;
    const writes: Write[] = [];
    let kept = this.#oldest;
    for await (const [key, entry] of this.#stored(CLOSED_PREFIX)) {
      const number = Number(key.slice(CLOSED_PREFIX.length));
      const isOld = nowMs - entry.untilMs > LIMITS.ledgerKeepMs;
      const goes = (isOld || number < this.#oldest + surplus) && number < this.#books.projected;
      if (!goes || writes.length >= LIMITS.ledgerStep) break;
      writes.push({ key: closedKey(number), value: undefined });
      kept = number + 1;
    }
    if (writes.length === 0) return;
    await this.#change(() => undefined, writes);
    this.#oldest = kept;
  }
}

/** What was undefined is nil in msgpack. */
function entryOf(value: Uint8Array): LedgerEntry {
  const stored = unpacked(value) as Record<keyof LedgerEntry, unknown>;
  const fields = Object.entries(stored).map(([name, field]) => [name, field ?? undefined]);
  return Object.fromEntries(fields) as LedgerEntry;
}
