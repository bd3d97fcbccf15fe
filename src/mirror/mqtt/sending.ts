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
  /** It shares no stream with those before it, so it may overtake them. */
  isFree = false;
  /** When its first packet left, monotonic. */
  begunMs: number | undefined;
  readonly rejected: Rejection[] = [];
  readonly resolve: (receipt: Receipt) => void;
  readonly reject: (error: Error) => void;
  readonly streams: ReadonlySet<StreamId>;
  readonly #slices: readonly Slice[];
  readonly #placeOf: (stream: StreamId) => Place;
  readonly #isHad: (stream: StreamId, offset: number) => boolean;
  #slice = 0;
  #record = 0;
  #left: number;
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
    this.streams = new Set(slices.map(({ stream }) => stream));
    this.#left = slices.reduce((sum, { records }) => sum + records.length, 0);
    this.#placeOf = placeOf;
    this.#isHad = isHad;
    this.resolve = resolve;
    this.reject = reject;
  }

  /** Records that have not come up in their turn. */
  get left(): number {
    return this.#left;
  }

  sharesStreams({ streams }: Sending): boolean {
    return [...streams].some((stream) => this.streams.has(stream));
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
      this.#left--;
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

/**
 * In what order batches are published: as they came, but one that shares no stream with those before it
 * goes ahead of them when it is smaller than what is left of the first. An alarm does not wait for a
 * batch of the backlog to be over.
 */
export function inTurn(sendings: readonly Sending[]): readonly Sending[] {
  if (sendings.length < 2) return sendings;
  const [first, ...others] = sendings.filter(({ exhausted }) => !exhausted);
  if (first === undefined || others.length === 0) return sendings;
  const ahead = others
    .filter(({ isFree, isReady, left }) => isFree && isReady && left < first.left)
    .toSorted((one, other) => one.left - other.left);
  if (ahead.length === 0) return sendings;
  return [...ahead, ...sendings.filter((one) => !ahead.includes(one))];
}
