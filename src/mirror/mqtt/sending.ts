import { must } from '../../assert.ts';
import type { LogRecord, StreamId } from '../../record.ts';
import type { Slice } from '../../store/log.ts';
import type { Receipt, Rejection } from '../upstream.ts';
import type { Place } from './own-records.ts';

/** A record that has its turn. */
export interface Item {
  readonly place: Place;
  readonly record: LogRecord;
  /** `stream:offset` */
  readonly name: string;
}

export interface SendingOptions {
  readonly placeOf: (stream: StreamId) => Place;
  /** The far side has it: it is not sent. */
  readonly isHad: (stream: StreamId, offset: number) => boolean;
}

/** One call of `send`: its records come up one by one, each once. */
export class Sending {
  /** Published and not answered. */
  waiting = 0;
  /** Its records may be published. */
  isReady = false;
  readonly rejected: Rejection[] = [];
  readonly resolve: (receipt: Receipt) => void;
  readonly reject: (error: Error) => void;
  readonly #slices: readonly Slice[];
  readonly #placeOf: (stream: StreamId) => Place;
  readonly #isHad: (stream: StreamId, offset: number) => boolean;
  #slice = 0;
  #record = 0;
  #exhausted = false;
  #hasNoFirsts = false;
  /** Those that came up before their turn. */
  readonly #ahead = new Set<string>();

  constructor(
    slices: readonly Slice[],
    { placeOf, isHad }: SendingOptions,
    { resolve, reject }: Pick<PromiseWithResolvers<Receipt>, 'resolve' | 'reject'>,
  ) {
    this.#slices = slices;
    this.#placeOf = placeOf;
    this.#isHad = isHad;
    this.resolve = resolve;
    this.reject = reject;
  }

  /** `next` has given all. */
  get exhausted(): boolean {
    return this.#exhausted;
  }

  /** `firsts` gives none any more: all streams that have records left are proven. */
  get hasNoFirsts(): boolean {
    return this.#hasNoFirsts;
  }

  /** In the log's order; undefined when there are no more. */
  next(): Item | undefined {
    for (;;) {
      const slice = this.#slices[this.#slice];
      if (slice === undefined) {
        this.#exhausted = true;
        return undefined;
      }
      const record = slice.records[this.#record];
      if (record === undefined) {
        this.#slice++;
        this.#record = 0;
        continue;
      }
      this.#record++;
      const item = this.#item(slice.stream, record);
      if (!this.#ahead.delete(item.name)) return item;
    }
  }

  /** Of each stream that is not proven its first record to be sent that has not come up; they have then. */
  firsts(): Item[] {
    const found = new Map<StreamId, Item>();
    for (const { stream, records } of this.#slices.slice(this.#slice)) {
      if (found.has(stream) || this.#placeOf(stream).proven) continue;
      const first = records.find(
        ({ offset }) => !this.#ahead.has(`${stream}:${offset}`) && !this.#isHad(stream, offset),
      );
      if (first !== undefined) found.set(stream, this.#item(stream, first));
    }
    this.#hasNoFirsts = found.size === 0;
    for (const { name } of found.values()) this.#ahead.add(name);
    return [...found.values()];
  }

  #item(stream: StreamId, record: LogRecord): Item {
    const place = must(this.#placeOf(stream), 'a stream of this session');
    return { place, record, name: `${stream}:${record.offset}` };
  }
}
