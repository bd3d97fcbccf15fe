import { type Coverage, type Coverages, upTo, withRange } from '../../coverage.ts';
import { GatelogError } from '../../errors.ts';
import type { StreamId } from '../../record.ts';
import type { Slice } from '../../store/log.ts';
import {
  type ExportEnd,
  type ExportHeader,
  type ExportRange,
  endOf,
  headerOf,
  rangeOf,
} from './export-header.ts';
import type { Frame } from './frames.ts';
import { decodeRecords } from './records-body.ts';

/** What one frame says, once it is known to follow the ones before. */
export type ExportPiece =
  | { readonly kind: 'header'; readonly header: ExportHeader }
  | { readonly kind: 'records'; readonly slice: Slice }
  | { readonly kind: 'gap' | 'elsewhere'; readonly range: ExportRange }
  | { readonly kind: 'end'; readonly end: ExportEnd };

/**
 * Reads the frames of one export in order, and holds each against those before: a header first,
 * offsets without holes, and an end that counts the same. Throws EXPORT_DAMAGED.
 */
export class ExportContent {
  #header: ExportHeader | undefined;
  readonly #next = new Map<StreamId, number>();
  readonly #held = new Map<StreamId, Coverage>();
  #records = 0;
  #ended = false;

  get header(): ExportHeader | undefined {
    return this.#header;
  }

  get records(): number {
    return this.#records;
  }

  /** Records that were read, and gaps; not what is elsewhere. */
  get held(): Coverages {
    return this.#held;
  }

  get isWhole(): boolean {
    return this.#ended;
  }

  async take(frame: Frame): Promise<ExportPiece> {
    if (this.#ended) throw wrong('something follows its end');
    if (frame.kind === 'header') return this.#begin(headerOf(frame));
    if (this.#header === undefined) throw wrong('it does not begin with a header');
    if (frame.kind === 'end') return this.#finish(endOf(frame));
    if (frame.kind === 'gap' || frame.kind === 'elsewhere') {
      const range = rangeOf(frame);
      this.#pass(range);
      if (frame.kind === 'gap') this.#hold(range);
      return { kind: frame.kind, range };
    }
    const slice = await decodeRecords(frame.body);
    const from = slice.records[0]?.offset ?? 0;
    const range = { stream: slice.stream, from, to: from + slice.records.length };
    this.#pass(range);
    this.#hold(range);
    this.#records += slice.records.length;
    return { kind: 'records', slice };
  }

  #begin(header: ExportHeader): ExportPiece {
    if (this.#header !== undefined) throw wrong('it has two headers');
    this.#header = header;
    for (const { stream, from } of header.streams) this.#next.set(stream, from);
    return { kind: 'header', header };
  }

  #finish(end: ExportEnd): ExportPiece {
    const same = [...this.#next].every(([stream, next]) => end.ends.get(stream) === next);
    if (!same || end.records !== this.#records) throw wrong('its end counts other records');
    this.#ended = true;
    return { kind: 'end', end };
  }

  #hold({ stream, from, to }: ExportRange): void {
    this.#held.set(stream, withRange(this.#held.get(stream) ?? upTo(0), from, to));
  }

  #pass({ stream, from, to }: ExportRange): void {
    if (this.#next.get(stream) !== from || to <= from) throw wrong('offsets do not follow');
    this.#next.set(stream, to);
  }
}

function wrong(why: string): GatelogError {
  return new GatelogError('EXPORT_DAMAGED', why);
}
