import { assert } from './assert.ts';
import type { OffsetRange } from './range-set.ts';
import type { StreamId } from './record.ts';

/**
 * What a reader has had of a stream: everything below `next`, and the ranges `ahead` of it. Where
 * records are read in the order of the log nothing is ever ahead, and a coverage is a position.
 */
export interface Coverage {
  /** The first offset that the reader has not had: the floor that retention keeps. */
  readonly next: number;
  /** Ascending, apart from each other and from `next`. */
  readonly ahead: readonly OffsetRange[];
  /**
   * Sampled up to here: of [next, sampledTo) some were had too, and which these are only the book of a
   * mirror knows (sampled-book.ts). Here they count as not had. Absent, or above `next`.
   */
  readonly sampledTo?: number | undefined;
}

export type Coverages = ReadonlyMap<StreamId, Coverage>;

const NOTHING: readonly OffsetRange[] = [];

/** Everything below `next`, and nothing ahead. */
export function upTo(next: number): Coverage {
  return { next, ahead: NOTHING };
}

/** The same, sampled up to `to` at least. */
export function withSampled(
  { next, ahead, sampledTo = 0 }: Coverage,
  to: number | undefined,
): Coverage {
  const highest = Math.max(sampledTo, to ?? 0);
  return highest > next ? { next, ahead, sampledTo: highest } : { next, ahead };
}

/** With [from, to) added. */
export function withRange(had: Coverage, from: number, to: number): Coverage {
  const { next, ahead, sampledTo } = had;
  if (from >= to) return had;
  if (ahead.length === 0 && from <= next) {
    return withSampled(upTo(Math.max(next, to)), sampledTo);
  }
  const before = ahead.filter((range) => range.to < from);
  const after = ahead.filter((range) => range.from > to);
  const touched = ahead.slice(before.length, ahead.length - after.length);
  const merged = {
    from: Math.min(from, touched[0]?.from ?? from),
    to: Math.max(to, touched.at(-1)?.to ?? to),
  };
  if (merged.from > next) {
    return withSampled({ next, ahead: [...before, merged, ...after] }, sampledTo);
  }
  return withSampled({ next: Math.max(next, merged.to), ahead: after }, sampledTo);
}

export function union(one: Coverage, other: Coverage): Coverage {
  const start = withRange(one, 0, other.next);
  const whole = other.ahead.reduce((all, { from, to }) => withRange(all, from, to), start);
  return withSampled(whole, other.sampledTo);
}

/** One past the last offset that was had. */
export function topOf({ next, ahead, sampledTo = 0 }: Coverage): number {
  return Math.max(ahead.at(-1)?.to ?? next, sampledTo);
}

/** The parts of [from, to) that were not had. */
export function holesIn({ next, ahead }: Coverage, from: number, to: number): OffsetRange[] {
  const holes: OffsetRange[] = [];
  let at = Math.max(from, next);
  for (const range of ahead) {
    if (range.from >= to) break;
    if (range.from > at) holes.push({ from: at, to: range.from });
    at = Math.max(at, range.to);
  }
  if (at < to) holes.push({ from: at, to });
  return holes;
}

/** The parts of `one` that `other` has not; of what `one` has sampled all that may have been had. */
export function without(one: Coverage, other: Coverage): OffsetRange[] {
  const { next, ahead, sampledTo = next } = one;
  const sampled = holesIn(one, next, sampledTo).map(({ from, to }) => ({
    from: Math.max(from, other.sampledTo ?? 0),
    to,
  }));
  return [{ from: 0, to: next }, ...ahead, ...sampled].flatMap(({ from, to }) =>
    holesIn(other, from, to),
  );
}

/** Whether `one` has everything that `other` has. */
export function covers(one: Coverage, other: Coverage): boolean {
  const isPlain = other.ahead.length === 0 && other.sampledTo === undefined;
  return other.next <= one.next && isPlain ? true : without(other, one).length === 0;
}

export function sameCoverage(one: Coverage, other: Coverage): boolean {
  return one.next === other.next && formatAhead(one) === formatAhead(other);
}

/**
 * `120-340,400-410~500`, the second number of a range one past the last, behind `~` how far it was sampled;
 * empty when nothing is ahead.
 */
export function formatAhead({ ahead, sampledTo }: Coverage): string {
  const ranges = ahead.map(({ from, to }) => `${from}-${to}`).join(',');
  return sampledTo === undefined ? ranges : `${ranges}~${sampledTo}`;
}

const RANGE = /^(\d{1,16})-(\d{1,16})$/u;
const SAMPLED = /^(.*)~(\d{1,16})$/u;

/** undefined when the text is none that `formatAhead` gives for this `next`. */
export function parseCoverage(next: number, text: string): Coverage | undefined {
  if (text === '') return upTo(next);
  const [, before, sampled] = SAMPLED.exec(text) ?? [];
  if (before !== undefined) {
    const sampledTo = Number(sampled);
    const rest = before.includes('~') ? undefined : parseCoverage(next, before);
    return rest === undefined || sampledTo <= next ? undefined : withSampled(rest, sampledTo);
  }
  const ranges: OffsetRange[] = [];
  let at = next;
  for (const part of text.split(',')) {
    const [, from, to] = RANGE.exec(part) ?? [];
    const range = { from: Number(from), to: Number(to) };
    if (!(at < range.from && range.from < range.to)) return undefined;
    ranges.push(range);
    at = range.to;
  }
  return { next, ahead: ranges };
}

/** For storing: `[from, to, from, to, …]` of what is ahead, and how far it was sampled; only what there is. */
export type FlatCoverage = readonly [next: number, ahead?: number[], sampledTo?: number];

export function flat({ next, ahead, sampledTo }: Coverage): FlatCoverage {
  const ranges = ahead.flatMap(({ from, to }) => [from, to]);
  if (sampledTo !== undefined) return [next, ranges, sampledTo];
  return ranges.length === 0 ? [next] : [next, ranges];
}

/** What `flat` gave; throws an AssertionError for anything else. */
export function fromFlat(
  next: number,
  ranges: readonly number[] = [],
  sampledTo?: number,
): Coverage {
  const ahead: OffsetRange[] = [];
  let before = next;
  for (let at = 0; at < ranges.length; at += 2) {
    const [from = NaN, to = NaN] = ranges.slice(at, at + 2);
    assert(before < from && from < to, 'stored ranges ascend and lie apart');
    ahead.push({ from, to });
    before = to;
  }
  return withSampled({ next, ahead }, sampledTo);
}
