import { deepStrictEqual as same } from 'node:assert/strict';
import type { StreamId } from '../../src/record.ts';
import type { LogCursor, Store } from '../../src/store/log.ts';
import {
  append,
  appendOnce,
  drain,
  FOREVER,
  readAll,
  text,
  type Drained,
  type Place,
} from './store-kit.ts';

export const PARTITIONS = 4;

interface Modelled {
  readonly value: string;
  readonly time: number;
}

/** A store beside the simplest model of a log: an array per partition. */
export class History {
  readonly #place: Place;
  #store: Store;
  #streams: readonly StreamId[];
  #cursor: LogCursor;
  readonly #model: Modelled[][] = Array.from({ length: PARTITIONS }, () => []);
  readonly #read: number[] = Array.from({ length: PARTITIONS }, () => 0);
  #lastSequence = -1;
  #counter: number;

  constructor(place: Place, store: Store, seed: number) {
    this.#place = place;
    this.#store = store;
    this.#counter = seed;
    this.#streams = store.writer.defineTopic('t', { ...FOREVER, partitions: PARTITIONS }).streams;
    this.#cursor = this.#openCursor();
  }

  async append(partitions: readonly number[], size: number): Promise<void> {
    const expected: number[] = [];
    const offsets = partitions.map((index) => {
      const time = (++this.#counter * 7919) % 1000;
      const value = `${this.#counter}${'x'.repeat(size)}`;
      expected.push(this.#list(index).push({ value, time }) - 1);
      return append(this.#store, this.#stream(index), {
        value: Buffer.from(value),
        timestampMs: time,
      });
    });
    same(await Promise.all(offsets), expected);
  }

  async appendOnce(index: number, sequence: number): Promise<void> {
    const list = this.#list(index);
    const fresh = sequence > this.#lastSequence;
    const value = `once ${sequence}`;
    const stored = appendOnce(this.#store, 'p', sequence, this.#stream(index), Buffer.from(value));
    same(await stored, fresh ? list.length : -1);
    if (fresh) list.push({ value, time: 1 });
    this.#lastSequence = Math.max(this.#lastSequence, sequence);
  }

  async read(maxRecords: number, maxBytes: number): Promise<void> {
    const batch = await this.#cursor.next({ maxRecords, maxBytes });
    same(batch.gaps, []);
    same(batch.records <= maxRecords, true);
    const left = this.#model.some((list, index) => (this.#read[index] ?? 0) < list.length);
    same(batch.records > 0, left);
    for (const { stream, records } of batch.slices) {
      const index = this.#streams.indexOf(stream);
      const from = this.#read[index] ?? 0;
      same(
        records.map(({ offset }) => offset),
        records.map((_, at) => from + at),
      );
      same(
        records.map(({ value, timestampMs: time }) => ({ value: text(value), time })),
        this.#list(index).slice(from, from + records.length),
      );
      this.#read[index] = from + records.length;
    }
  }

  async findTime(index: number, time: number): Promise<void> {
    const list = this.#list(index);
    const found = list.findIndex((record) => record.time >= time);
    same(
      await this.#store.reader.offsetAtTime(this.#stream(index), time),
      found < 0 ? list.length : found,
    );
  }

  retain(): Promise<void> {
    return this.#store.retain();
  }

  async reopen(): Promise<void> {
    await this.#store.close();
    this.#store = await this.#place.open({ segmentBytes: 3000 });
    this.#cursor = this.#openCursor();
  }

  /** All there is to read, from the beginning and from where the cursor stood, and what should be. */
  async end(): Promise<{ readonly found: unknown; readonly expected: unknown }> {
    const rest = await drain(this.#cursor, { maxRecords: 17, maxBytes: 2000 });
    const whole = await readAll(this.#store, this.#streams);
    await this.#store.close();
    const values = ({ records }: Drained, stream: StreamId): (string | null)[] =>
      (records.get(stream) ?? []).map(({ value }) => text(value));
    const modelled = this.#model.map((list) => list.map(({ value }) => value));
    return {
      found: this.#streams.map((stream) => [values(whole, stream), values(rest, stream)]),
      expected: modelled.map((list, index) => [list, list.slice(this.#read[index])]),
    };
  }

  #openCursor(): LogCursor {
    const from = this.#streams.map((stream, index) => [stream, this.#read[index] ?? 0] as const);
    return this.#store.reader.cursor(new Map(from));
  }

  #list(index: number): Modelled[] {
    return this.#model[index] ?? [];
  }

  #stream(index: number): StreamId {
    return this.#streams[index] as StreamId;
  }
}
