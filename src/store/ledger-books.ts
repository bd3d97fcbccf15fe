import { LIMITS } from '../limits.ts';
import {
  LOSS_REASONS,
  type LedgerEntry,
  type Loss,
  type LossReason,
  type LossTotals,
} from '../loss.ts';
import type { OffsetRange, RangeSet } from '../range-set.ts';
import type { Write } from './database.ts';
import { coversAll, extended, ledgerKind, newEntry } from './ledger-entry.ts';
import { LedgerRanges, rangesOf } from './ledger-ranges.ts';
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
  /** What did not stand in it before. */
  readonly fresh: readonly Loss[];
  /** After the writes are durable. */
  apply(): void;
}

/**
 * What the ledger knows in memory: which offsets stand in it, the entries that may still grow, and
 * the totals. It works changes out; the ledger writes them.
 */
export class LedgerBooks {
  readonly #known: LedgerRanges;
  readonly #open = new Map<string, LedgerEntry>();
  #totals: Totals = noTotals();
  #next = 0;
  /** Entries below it are in `_gaps`. */
  projected = 0;
  /** Open entries are closed by nothing but what does not continue them. */
  grows = false;
  /** Of the log that losses are told of from now on. */
  incarnation = '';

  /** `ranges`: known by heart at most; LIMITS.ledgerRanges by default. */
  constructor(ranges?: number) {
    this.#known = new LedgerRanges(ranges);
  }

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

  /** Where the totals were lost, what is left of the entries tells them. */
  count({ reason, records, bytes }: Loss): void {
    this.#totals[reason].records += records;
    this.#totals[reason].bytes += bytes ?? 0;
  }

  /**
   * Closed entries that are in `_gaps`, with the numbers from `first` on. Those that were open when the
   * state database was as it is now stand among them as they were closed.
   */
  refilling(first: number, entries: readonly LedgerEntry[]): BooksChange {
    const end = first + entries.length;
    const known = new Set(entries.map(beginningOf));
    const stale = [...this.#open].filter(([, entry]) => known.has(beginningOf(entry)));
    const totals = addedTo(this.#totals, entries);
    for (const [, { reason, records, bytes }] of stale) {
      totals[reason].records -= records;
      totals[reason].bytes -= bytes ?? 0;
    }
    const next = Math.max(this.#next, end);
    const books: StoredBooks = { next, projected: Math.max(this.projected, end), totals };
    const numbered = entries.map((entry, index) => ({ number: first + index, entry }));
    const closed = numbered.map(({ number, entry }) => ({
      key: closedKey(number),
      value: packed(entry),
    }));
    return {
      writes: [
        ...closed,
        ...stale.map(([kind]) => ({ key: openKey(kind), value: undefined })),
        { key: BOOKS_KEY, value: packed(books) },
      ],
      fresh: [],
      apply: () => {
        this.restoreBooks(books);
        for (const [kind] of stale) this.#open.delete(kind);
        for (const { number, entry } of numbered) this.restoreClosed(number, entry);
      },
    };
  }

  /** Numbers below were given by a ledger before this one, in a state database that was lost. */
  skipTo(number: number): void {
    this.#next = Math.max(this.#next, number);
    this.projected = Math.max(this.projected, number);
  }

  /** The parts of [from, to) that are lost for every reader. */
  lost(topic: string, partition: number, from: number, to: number): OffsetRange[] {
    const place = placeOf({ topic, partition, mirror: undefined }, this.incarnation);
    return this.#known.of(place)?.within(from, to) ?? [];
  }

  /** What of the losses may stand in stored entries that are not known by heart; usually nothing. */
  doubts(losses: readonly Loss[]): Doubts {
    const doubts = new Map<string, OffsetRange>();
    for (const loss of losses) {
      const range = rangeOf(loss);
      if (range === undefined) continue;
      for (const place of placesOf(loss, this.incarnation)) {
        if (!this.#known.isDoubtful(place, range)) continue;
        const { from, to } = doubts.get(place) ?? range;
        doubts.set(place, { from: Math.min(from, range.from), to: Math.max(to, range.to) });
      }
    }
    return new Doubts(doubts);
  }

  /** undefined when all of it is known. `recalled`: from the stored entries, where there are doubts. */
  recording(losses: readonly Loss[], nowMs: number, recalled?: Doubts): BooksChange | undefined {
    const fresh = this.#fresh(losses, recalled?.found ?? new Map());
    if (fresh.length === 0) return undefined;
    const open = new Map(this.#open);
    const closing: LedgerEntry[] = [];
    const changed = new Set<string>();
    for (const loss of fresh) {
      const entry = newEntry(loss, this.incarnation, nowMs);
      const kind = ledgerKind(entry);
      const before = open.get(kind);
      const grown =
        before === undefined
          ? undefined
          : extended(before, entry, nowMs, this.grows ? Infinity : LIMITS.ledgerOpenMs);
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
    const totals = addedTo(this.#totals, fresh);
    const next = this.#next + closing.length;
    const writes: Write[] = [];
    for (const [index, entry] of closing.entries()) {
      writes.push({ key: closedKey(this.#next + index), value: packed(entry) });
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
      fresh,
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
  #fresh(losses: readonly Loss[], seen: Map<string, RangeSet>): Loss[] {
    const fresh: Loss[] = [];
    for (const loss of losses) {
      const range = rangeOf(loss);
      if (range === undefined) {
        if (loss.records > 0 || loss.fromOffset === undefined) fresh.push(loss);
        continue;
      }
      const places = placesOf(loss, this.incarnation);
      let parts: OffsetRange[] = [range];
      for (const place of places) {
        for (const known of [this.#known.of(place), seen.get(place)]) {
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
    const range = rangeOf(loss);
    if (range !== undefined) this.#known.add(placeOf(loss, incarnation), range);
  }
}

/** What is looked for in the stored entries, and what was found of it. */
export class Doubts {
  /** By place: from the lowest to the highest offset in doubt. */
  readonly #wanted: ReadonlyMap<string, OffsetRange>;
  readonly found: Map<string, RangeSet> = new Map();

  constructor(wanted: ReadonlyMap<string, OffsetRange>) {
    this.#wanted = wanted;
  }

  get any(): boolean {
    return this.#wanted.size > 0;
  }

  look(entry: LedgerEntry): void {
    const range = rangeOf(entry);
    const place = placeOf(entry, entry.incarnation);
    const wanted = this.#wanted.get(place);
    if (range === undefined || wanted === undefined) return;
    if (range.from < wanted.to && range.to > wanted.from) {
      rangesOf(this.found, place).add(range.from, range.to);
    }
  }
}

/** Of which every offset is lost; undefined: it says nothing of the offsets in it. */
function rangeOf(loss: Loss): OffsetRange | undefined {
  const { fromOffset: from, toOffset: to } = loss;
  return coversAll(loss) && from !== undefined && to !== undefined ? { from, to } : undefined;
}

/** What stays the same of an entry while it grows. */
function beginningOf(entry: LedgerEntry): string {
  return `${entry.atMs} ${entry.fromOffset ?? ''} ${ledgerKind(entry)}`;
}

export function closedKey(number: number): Buffer {
  return Buffer.from(CLOSED_PREFIX + String(number).padStart(NUMBER_DIGITS, '0'));
}

function openKey(kind: string): Buffer {
  return Buffer.from(OPEN_PREFIX + kind);
}

function placeOf(
  { topic, partition, mirror }: Pick<Loss, 'topic' | 'partition' | 'mirror'>,
  incarnation: string,
): string {
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
