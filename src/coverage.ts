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
}

export type Coverages = ReadonlyMap<StreamId, Coverage>;

const NOTHING: readonly OffsetRange[] = [];

/** Everything below `next`, and nothing ahead. */
export function upTo(next: number): Coverage {
  return { next, ahead: NOTHING };
}

/** With [from, to) added. */
export function withRange({ next, ahead }: Coverage, from: number, to: number): Coverage {
  if (from >= to) return { next, ahead };
  if (ahead.length === 0 && from <= next) return upTo(Math.max(next, to));
  const before = ahead.filter((range) => range.to < from);
  const after = ahead.filter((range) => range.from > to);
  const touched = ahead.slice(before.length, ahead.length - after.length);
  const merged = {
    from: Math.min(from, touched[0]?.from ?? from),
    to: Math.max(to, touched.at(-1)?.to ?? to),
  };
  if (merged.from > next) return { next, ahead: [...before, merged, ...after] };
  return { next: Math.max(next, merged.to), ahead: after };
}

export function union(one: Coverage, other: Coverage): Coverage {
  const start = withRange(one, 0, other.next);
  return other.ahead.reduce((all, { from, to }) => withRange(all, from, to), start);
}

/** One past the last offset that was had. */
export function topOf({ next, ahead }: Coverage): number {
  return ahead.at(-1)?.to ?? next;
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

/** The parts of `one` that `other` has not. */
export function without(one: Coverage, other: Coverage): OffsetRange[] {
  return [{ from: 0, to: one.next }, ...one.ahead].flatMap(({ from, to }) =>
    holesIn(other, from, to),
  );
}

/** Whether `one` has everything that `other` has. */
export function covers(one: Coverage, other: Coverage): boolean {
  return other.next <= one.next && other.ahead.length === 0
    ? true
    : without(other, one).length === 0;
}

export function sameCoverage(one: Coverage, other: Coverage): boolean {
  return one.next === other.next && formatAhead(one) === formatAhead(other);
}

/** `120-340,400-410`, the second number one past the last; empty when nothing is ahead. */
export function formatAhead({ ahead }: Coverage): string {
  return ahead.map(({ from, to }) => `${from}-${to}`).join(',');
}

const RANGE = /^(\d{1,16})-(\d{1,16})$/u;

/** undefined when the text is none that `formatAhead` gives for this `next`. */
export function parseCoverage(next: number, ahead: string): Coverage | undefined {
  if (ahead === '') return upTo(next);
  const ranges: OffsetRange[] = [];
  let before = next;
  for (const part of ahead.split(',')) {
    const [, from, to] = RANGE.exec(part) ?? [];
    const range = { from: Number(from), to: Number(to) };
    if (!(before < range.from && range.from < range.to)) return undefined;
    ranges.push(range);
    before = range.to;
  }
  return { next, ahead: ranges };
}

/** As numbers for storing: `[from, to, from, to, …]`. */
export function flatAhead({ ahead }: Coverage): number[] {
  return ahead.flatMap(({ from, to }) => [from, to]);
}

/** What `flatAhead` gave; throws an AssertionError for anything else. */
export function fromFlat(next: number, flat: readonly number[] = []): Coverage {
  const ahead: OffsetRange[] = [];
  let before = next;
  for (let at = 0; at < flat.length; at += 2) {
    const [from = NaN, to = NaN] = flat.slice(at, at + 2);
    assert(before < from && from < to, 'stored ranges ascend and lie apart');
    ahead.push({ from, to });
    before = to;
  }
  return { next, ahead };
}
