import { must } from '../assert.ts';
import { RangeSet, type OffsetRange } from '../range-set.ts';
import type { OffsetSet } from './offset-set.ts';

export interface AuditGap extends OffsetRange {
  /** Why, where the loss was declared by the gateway; undefined is an unexplained gap. */
  readonly declared: string | undefined;
}

/** What must be there by the log's own word. */
export interface Expected {
  /** Where the log begins; undefined: where it began to be sent is not known. */
  readonly from: number | undefined;
  /** One past the last. */
  readonly to: number;
}

/** `records`: how many of the range are lost, if not all. */
interface Declared extends OffsetRange {
  readonly records: number;
  readonly reason: string;
}

/** What the gateway of a source says of it: what will never come, and what comes again. */
export class Declarations {
  readonly lost: Declared[] = [];
  /** A person had these sent again. */
  readonly resent: RangeSet = new RangeSet('forget');

  /** Ranges that are lost as a whole and follow one another become one. */
  addLost({ from, to }: OffsetRange, reason: string, records: number): void {
    const last = this.lost.at(-1);
    const isWhole = records === to - from && last !== undefined && holesIn(last) === 0;
    if (isWhole && last.reason === reason && last.from <= from && from <= last.to) {
      const end = Math.max(last.to, to);
      this.lost[this.lost.length - 1] = {
        from: last.from,
        to: end,
        records: end - last.from,
        reason,
      };
    } else {
      this.lost.push({ from, to, records, reason });
    }
  }
}

/** What is known of a source when its gaps are looked for. */
interface Arrived {
  readonly seen: OffsetSet;
  readonly expected: Expected | undefined;
  /** Gaps at or above it are not judged. */
  readonly judgedTo: number;
  readonly told: Declarations;
}

export function endOf({ seen, expected }: Arrived): number {
  return Math.max(expected?.to ?? 0, seen.last + 1);
}

/** Ascending; each before the log's start, or behind it. */
export function* gapsOf(state: Arrived): Generator<AuditGap> {
  const { seen, expected, judgedTo } = state;
  const from = Math.min(expected?.from ?? Number.POSITIVE_INFINITY, seen.first);
  const to = Math.min(judgedTo, endOf(state));
  if (from >= to) return;
  const declared = new Explanations(state.told.lost);
  for (const hole of seen.missing(from, to)) {
    for (const part of splitAt(hole, expected?.from ?? 0)) {
      yield* explain(part, declared.of(part));
    }
  }
}

/** What is left of a declaration. */
interface Explanation extends OffsetRange {
  records: number;
  readonly reason: string;
  readonly holes: number;
  readonly order: number;
}

/** Asked for holes in ascending order, it looks at each declaration a few times only. */
class Explanations {
  readonly #byStart: readonly Explanation[];
  #first = 0;

  constructor(declared: readonly Declared[]) {
    this.#byStart = declared
      .map((loss, order) => ({ ...loss, holes: holesIn(loss), order }))
      .toSorted((one, other) => one.from - other.from);
  }

  /** What explains its whole range goes before what explains some of it. */
  of(hole: OffsetRange): Explanation[] {
    while ((this.#byStart[this.#first]?.to ?? Infinity) <= hole.from) this.#first++;
    const found: Explanation[] = [];
    for (let index = this.#first; index < this.#byStart.length; index++) {
      const loss = must(this.#byStart[index], 'within its length');
      if (loss.from >= hole.to) break;
      if (loss.to > hole.from) found.push(loss);
    }
    return found.toSorted((one, other) => one.holes - other.holes || one.order - other.order);
  }
}

function splitAt({ from, to }: OffsetRange, at: number): OffsetRange[] {
  return from < at && at < to
    ? [
        { from, to: at },
        { from: at, to },
      ]
    : [{ from, to }];
}

function holesIn({ from, to, records }: Declared): number {
  return to - from - records;
}

/**
 * Splits a hole by what was declared lost. Overlapping declarations: the first one counts; each
 * explains as many records as it says, and no more.
 */
function explain(hole: OffsetRange, declared: readonly Explanation[]): AuditGap[] {
  let open: OffsetRange[] = [hole];
  const gaps: AuditGap[] = [];
  for (const loss of declared) {
    const rest: OffsetRange[] = [];
    for (const { from, to } of open) {
      const lostFrom = Math.max(from, loss.from);
      const lostTo = Math.min(to, loss.to, lostFrom + loss.records);
      if (lostFrom >= lostTo) {
        rest.push({ from, to });
        continue;
      }
      loss.records -= lostTo - lostFrom;
      gaps.push({ from: lostFrom, to: lostTo, declared: loss.reason });
      if (from < lostFrom) rest.push({ from, to: lostFrom });
      if (lostTo < to) rest.push({ from: lostTo, to });
    }
    open = rest;
  }
  for (const { from, to } of open) gaps.push({ from, to, declared: undefined });
  return gaps.toSorted((one, other) => one.from - other.from);
}
