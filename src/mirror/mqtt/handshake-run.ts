import { MIRROR_LIMITS } from '../../mirror-limits.ts';
import { type OffsetRange, RangeSet } from '../../range-set.ts';
import { streamId, type StreamId } from '../../record.ts';
import type { Slice } from '../../store/log.ts';

/** How far a record has come. Numbers are stored: they MUST stay the same for ever. */
export const PROGRESS = {
  none: 0,
  /** PUBLISH may have left. */
  sent: 1,
  /** PUBREC came: the far side has it, and holds it until PUBREL. */
  received: 2,
  /** PUBACK or PUBCOMP came. */
  done: 3,
  /** The far side has nothing of it, and its id is free. */
  refused: 4,
} as const;

export type Progress = (typeof PROGRESS)[keyof typeof PROGRESS];

/** Lengths: so many of one progress, then so many of another. */
export type StoredRun = [
  stream: number,
  from: number,
  firstId: number,
  lengths: [Progress, number][],
];

/** Records of a stream that follow each other, and how far each has come. */
export class Run {
  readonly stream: StreamId;
  readonly from: number;
  readonly to: number;
  /** Packet id of the first, those of the others follow; 0: they have none of their own. */
  readonly firstId: number;
  readonly #progress: Uint8Array;
  /** Sent or received. */
  #open = 0;

  constructor(stream: StreamId, { from, to }: OffsetRange, firstId: number) {
    this.stream = stream;
    this.from = from;
    this.to = to;
    this.firstId = firstId;
    this.#progress = new Uint8Array(to - from);
  }

  /** Of what was handed over nobody knows whether it was sent. */
  static restored([stream, from, firstId, lengths]: StoredRun): Run {
    const count = lengths.reduce((sum, [, length]) => sum + length, 0);
    const run = new Run(streamId(stream), { from, to: from + count }, firstId);
    let at = from;
    for (const [progress, length] of lengths) {
      const known = progress === PROGRESS.none ? PROGRESS.sent : progress;
      for (const end = at + length; at < end; at++) run.set(at, known);
    }
    return run;
  }

  stored(): StoredRun {
    const lengths: [Progress, number][] = [];
    for (const progress of this.#progress) {
      const last = lengths.at(-1);
      if (last?.[0] === progress) last[1]++;
      else lengths.push([progress as Progress, 1]);
    }
    return [this.stream, this.from, this.firstId, lengths];
  }

  /** One past the last id. */
  get endId(): number {
    return this.firstId + this.#progress.length;
  }

  get isOpen(): boolean {
    return this.#open > 0;
  }

  has(stream: StreamId, offset: number): boolean {
    return stream === this.stream && offset >= this.from && offset < this.to;
  }

  idOf(offset: number): number {
    return this.firstId === 0 ? 0 : this.firstId + offset - this.from;
  }

  at(offset: number): Progress {
    return this.#progress[offset - this.from] as Progress;
  }

  set(offset: number, progress: Progress): void {
    this.#open += Number(isOpen(progress)) - Number(isOpen(this.at(offset)));
    this.#progress[offset - this.from] = progress;
  }

  openOffsets(): number[] {
    return [...this.#progress.keys()]
      .map((index) => this.from + index)
      .filter((offset) => isOpen(this.at(offset)));
  }
}

function isOpen(progress: Progress): boolean {
  return progress === PROGRESS.sent || progress === PROGRESS.received;
}

/** Of each stream, what follows each other as one range. */
export function rangesOf(slices: readonly Slice[]): Map<StreamId, RangeSet> {
  const ranges = new Map<StreamId, RangeSet>();
  for (const { stream, records } of slices) {
    const [first] = records;
    if (first === undefined) continue;
    const known = ranges.get(stream) ?? new RangeSet('keep');
    known.add(first.offset, first.offset + records.length);
    ranges.set(stream, known);
  }
  return ranges;
}

/** What of these is in none of the runs, in pieces for which ids in a row are found. */
export function outside(ranges: RangeSet, runs: readonly Run[]): OffsetRange[] {
  const known = new RangeSet('keep');
  for (const { from, to } of runs) known.add(from, to);
  return ranges
    .within(0, Number.MAX_SAFE_INTEGER)
    .flatMap(({ from, to }) => known.rest(from, to))
    .flatMap(({ from, to }) => pieces(from, to, MIRROR_LIMITS.mqttRunRecords));
}

function pieces(from: number, to: number, most: number): OffsetRange[] {
  return Array.from({ length: Math.ceil((to - from) / most) }, (_, index) => ({
    from: from + index * most,
    to: Math.min(from + (index + 1) * most, to),
  }));
}
