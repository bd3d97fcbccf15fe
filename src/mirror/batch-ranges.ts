import { type Coverage, upTo, withRange, withSampled } from '../coverage.ts';
import type { OffsetRange } from '../range-set.ts';
import type { StreamId } from '../record.ts';
import type { MirrorBatch, Sampled } from './mirror-cursor.ts';

/** What a batch takes along: its records, the gaps that were met on the way, and what it leaves out. */
function rangesOf(batch: MirrorBatch): Map<StreamId, OffsetRange[]> {
  const ranges = new Map<StreamId, OffsetRange[]>();
  const note = (stream: StreamId, from: number, to: number): void => {
    const known = ranges.get(stream);
    if (known === undefined) ranges.set(stream, [{ from, to }]);
    else known.push({ from, to });
  };
  for (const { stream, fromOffset, toOffset } of batch.gaps) note(stream, fromOffset, toOffset);
  for (const { stream, offsets } of [...(batch.expired ?? []), ...(batch.resumed ?? [])]) {
    for (const { from, to } of runsOf(offsets)) note(stream, from, to);
  }
  for (const { stream, records } of batch.slices) {
    const [first, last] = [records[0], records.at(-1)];
    if (first !== undefined && last !== undefined) note(stream, first.offset, last.offset + 1);
  }
  return ranges;
}

/** Ascending offsets as ranges. */
export function runsOf(offsets: readonly number[]): OffsetRange[] {
  const runs: { from: number; to: number }[] = [];
  for (const offset of offsets) {
    const last = runs.at(-1);
    if (last?.to === offset) last.to++;
    else runs.push({ from: offset, to: offset + 1 });
  }
  return runs;
}

/** What of [from, to) is in none of the ranges. */
export function leftBetween(
  from: number,
  to: number,
  taken: readonly OffsetRange[],
): OffsetRange[] {
  const left: OffsetRange[] = [];
  let at = from;
  for (const range of taken.toSorted((one, other) => one.from - other.from)) {
    if (range.from > at) left.push({ from: at, to: Math.min(range.from, to) });
    at = Math.max(at, range.to);
  }
  if (at < to) left.push({ from: at, to });
  return left;
}

/** Adds what the batch takes along; gives the coverages of its streams. */
export function takeAlong(
  had: Map<StreamId, Coverage>,
  batch: MirrorBatch,
): Map<StreamId, Coverage> {
  const after = new Map<StreamId, Coverage>();
  const take = (stream: StreamId, more: Coverage): void => {
    had.set(stream, more);
    after.set(stream, more);
  };
  const sampled = Map.groupBy(batch.sampled ?? [], ({ stream }) => stream);
  for (const [stream, stretches] of sampled) {
    take(stream, stretches.reduce(withStretch, had.get(stream) ?? upTo(0)));
  }
  for (const [stream, ranges] of rangesOf(batch)) {
    if (sampled.has(stream)) continue;
    // In order, so that no more lies ahead than the batch leaves there.
    const inOrder = ranges.toSorted((one, other) => one.from - other.from);
    let more = had.get(stream) ?? upTo(0);
    for (const { from, to } of inOrder) more = withRange(more, from, to);
    take(stream, more);
  }
  return after;
}

/** What stands in a stretch beside its sample, gaps and what expired, comes again with the rest. */
function withStretch(had: Coverage, { from, to, left, rest }: Sampled): Coverage {
  const isWhole = left.length === 0 && from <= had.next;
  return rest === 'ledger' || isWhole ? withRange(had, from, to) : withSampled(had, to);
}
