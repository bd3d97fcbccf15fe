import { LIMITS } from '../limits.ts';
import {
  LOSS_REASONS,
  type LedgerEntry,
  type Loss,
  type LossReason,
  type LossTotals,
} from '../loss.ts';
import { RangeSet } from '../range-set.ts';
import type { Write } from './database.ts';
import { coversAll, extended, ledgerKind, newEntry } from './ledger-entry.ts';
import { packed } from './pack.ts';

export const CLOSED_PREFIX = 'ledger/closed/';
export const OPEN_PREFIX = 'ledger/open/';
export const BOOKS_KEY: Buffer = Buffer.from('ledger/books');
const NUMBER_DIGITS = 16;

type Totals = Record<LossReason, { records: number; bytes: number }>;

export interface StoredBooks {
  /** Number of the next entry to be closed. */
  readonly next: number;
  /** Entries below it are in `_gaps`. */
  readonly projected: number;
  readonly totals: Partial<LossTotals>;
}

/** A change that was worked out and is not yet written: nothing of it counts before `apply`. */
export interface BooksChange {
  readonly writes: Write[];
  /** Entries that this change closes, with their numbers. */
  readonly closed: ReadonlyMap<number, LedgerEntry>;
  /** After the writes are durable. */
  apply(): void;
}

/**
 * What the ledger knows in memory: which offsets stand in it, the entries that may still grow, and
 * the totals. It works changes out; the ledger writes them.
 */
export class LedgerBooks {
  readonly #known = new Map<string, RangeSet>();
  readonly #open = new Map<string, LedgerEntry>();
  #totals: Totals = noTotals();
  #next = 0;
  /** Entries below it are in `_gaps`. */
  projected = 0;
  /** Of the log that losses are told of from now on. */
  incarnation = '';

  get next(): number {
    return this.#next;
  }

  get open(): readonly LedgerEntry[] {
    return [...this.#open.values()];
  }

  totals(): LossTotals {
    return this.#totals;
  }

  restoreBooks({ next, projected, totals }: StoredBooks): void {
    this.#next = next;
    this.projected = projected;
    for (const reason of LOSS_REASONS) {
      const found = totals[reason];
      if (found !== undefined) this.#totals[reason] = { ...found };
    }
  }

  restoreClosed(number: number, entry: LedgerEntry): void {
    this.#next = Math.max(this.#next, number + 1);
    this.#note(entry, entry.incarnation);
  }

  restoreOpen(entry: LedgerEntry): void {
    this.#open.set(ledgerKind(entry), entry);
    this.#note(entry, entry.incarnation);
  }

  /** Numbers below were given by a ledger before this one, in a state database that was lost. */
  skipTo(number: number): void {
    this.#next = Math.max(this.#next, number);
    this.projected = Math.max(this.projected, number);
  }

  /** undefined when all of it is known. */
  recording(losses: readonly Loss[], nowMs: number): BooksChange | undefined {
    const fresh = this.#fresh(losses);
    if (fresh.length === 0) return undefined;
    const open = new Map(this.#open);
    const closing: LedgerEntry[] = [];
    const changed = new Set<string>();
    for (const loss of fresh) {
      const entry = newEntry(loss, this.incarnation, nowMs);
      const kind = ledgerKind(entry);
      const before = open.get(kind);
      const grown = before === undefined ? undefined : extended(before, entry, nowMs);
      if (before !== undefined && grown === undefined) closing.push(before);
      open.delete(kind); // The one that grew last stands last.
      open.set(kind, grown ?? entry);
      changed.add(kind);
    }
    for (const [kind, entry] of open) {
      if (open.size <= LIMITS.ledgerOpenEntries) break;
      open.delete(kind);
      closing.push(entry);
    }
    return this.#change(open, changed, closing, fresh);
  }

  /** Closes what has not grown for a while; undefined when there is none. */
  closingIdle(nowMs: number, idleMs: number): BooksChange | undefined {
    const open = new Map(this.#open);
    const closing: LedgerEntry[] = [];
    for (const [kind, entry] of this.#open) {
      // A clock that jumped, either way, closes them too: no harm.
      const isIdle = Math.abs(nowMs - entry.untilMs) >= idleMs;
      if (!isIdle && Math.abs(nowMs - entry.atMs) < LIMITS.ledgerOpenMs) continue;
      open.delete(kind);
      closing.push(entry);
    }
    return closing.length === 0 ? undefined : this.#change(open, new Set(), closing, []);
  }

  #change(
    open: Map<string, LedgerEntry>,
    changed: ReadonlySet<string>,
    closing: readonly LedgerEntry[],
    fresh: readonly Loss[],
  ): BooksChange {
    const closed = new Map(closing.map((entry, index) => [this.#next + index, entry]));
    const totals = addedTo(this.#totals, fresh);
    const next = this.#next + closing.length;
    const writes: Write[] = [];
    for (const [number, entry] of closed) {
      writes.push({ key: closedKey(number), value: packed(entry) });
    }
    for (const kind of this.#open.keys()) {
      if (!open.has(kind)) writes.push({ key: openKey(kind), value: undefined });
    }
    for (const kind of changed) {
      const entry = open.get(kind);
      if (entry !== undefined) writes.push({ key: openKey(kind), value: packed(entry) });
    }
    const books: StoredBooks = { next, projected: this.projected, totals };
    writes.push({ key: BOOKS_KEY, value: packed(books) });
    return {
      writes,
      closed,
      apply: () => {
        this.#next = next;
        this.#totals = totals;
        this.#open.clear();
        for (const [kind, entry] of open) this.#open.set(kind, entry);
        for (const loss of fresh) this.#note(loss, this.incarnation);
      },
    };
  }

  /** The parts that do not stand in it yet; within these losses too. */
  #fresh(losses: readonly Loss[]): Loss[] {
    const fresh: Loss[] = [];
    const seen = new Map<string, RangeSet>();
    for (const loss of losses) {
      const { fromOffset, toOffset } = loss;
      if (!coversAll(loss) || fromOffset === undefined || toOffset === undefined) {
        if (loss.records > 0 || loss.fromOffset === undefined) fresh.push(loss);
        continue;
      }
      const places = placesOf(loss, this.incarnation);
      let parts = [{ from: fromOffset, to: toOffset }];
      for (const place of places) {
        for (const known of [this.#known.get(place), seen.get(place)]) {
          parts = parts.flatMap(({ from, to }) => known?.rest(from, to) ?? [{ from, to }]);
        }
      }
      for (const { from, to } of parts) {
        rangesOf(seen, placeOf(loss, this.incarnation)).add(from, to);
        fresh.push(part(loss, from, to));
      }
    }
    return fresh;
  }

  #note(loss: Loss, incarnation: string): void {
    const { fromOffset, toOffset } = loss;
    if (!coversAll(loss) || fromOffset === undefined || toOffset === undefined) return;
    rangesOf(this.#known, placeOf(loss, incarnation)).add(fromOffset, toOffset);
  }
}

export function closedKey(number: number): Buffer {
  return Buffer.from(CLOSED_PREFIX + String(number).padStart(NUMBER_DIGITS, '0'));
}

function openKey(kind: string): Buffer {
  return Buffer.from(OPEN_PREFIX + kind);
}

function rangesOf(all: Map<string, RangeSet>, place: string): RangeSet {
  let ranges = all.get(place);
  if (ranges === undefined) all.set(place, (ranges = new RangeSet('forget')));
  return ranges;
}

function placeOf({ topic, partition, mirror }: Loss, incarnation: string): string {
  return `${incarnation}/${topic}/${partition ?? ''}/${mirror ?? ''}`;
}

/** What is lost for every reader is lost for this mirror too. */
function placesOf(loss: Loss, incarnation: string): string[] {
  const everyone = placeOf({ ...loss, mirror: undefined }, incarnation);
  return loss.mirror === undefined ? [everyone] : [everyone, placeOf(loss, incarnation)];
}

function part(loss: Loss, fromOffset: number, toOffset: number): Loss {
  const records = toOffset - fromOffset;
  if (records === loss.records) return loss;
  const bytes =
    loss.bytes === undefined ? undefined : Math.round((loss.bytes * records) / loss.records);
  return { ...loss, fromOffset, toOffset, records, bytes };
}

function noTotals(): Totals {
  return Object.fromEntries(
    LOSS_REASONS.map((reason) => [reason, { records: 0, bytes: 0 }]),
  ) as Totals;
}

function addedTo(totals: Totals, fresh: readonly Loss[]): Totals {
  const added = structuredClone(totals);
  for (const { reason, records, bytes } of fresh) {
    added[reason].records += records;
    added[reason].bytes += bytes ?? 0;
  }
  return added;
}
