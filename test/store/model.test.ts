import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { StreamId } from '../../src/record.ts';
import type { LogCursor, Store } from '../../src/store/log.ts';
import {
  append,
  appendOnce,
  drain,
  FOREVER,
  inMemory,
  readAll,
  text,
  type Place,
} from '../support/store-kit.ts';

const PARTITIONS = 4;

interface Modelled {
  readonly value: string;
  readonly time: number;
}

/** A store beside the simplest model of a log: an array per partition. */
class History {
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
    expect(await Promise.all(offsets)).toEqual(expected);
  }

  async appendOnce(index: number, sequence: number): Promise<void> {
    const list = this.#list(index);
    const fresh = sequence > this.#lastSequence;
    const value = `once ${sequence}`;
    const stored = appendOnce(this.#store, 'p', sequence, this.#stream(index), Buffer.from(value));
    expect(await stored).toBe(fresh ? list.length : -1);
    if (fresh) list.push({ value, time: 1 });
    this.#lastSequence = Math.max(this.#lastSequence, sequence);
  }

  async read(maxRecords: number, maxBytes: number): Promise<void> {
    const batch = await this.#cursor.next({ maxRecords, maxBytes });
    expect(batch.gaps).toEqual([]);
    expect(batch.records).toBeLessThanOrEqual(maxRecords);
    const left = this.#model.some((list, index) => (this.#read[index] ?? 0) < list.length);
    expect(batch.records > 0).toBe(left);
    for (const { stream, records } of batch.slices) {
      const index = this.#streams.indexOf(stream);
      const from = this.#read[index] ?? 0;
      expect(records.map(({ offset }) => offset)).toEqual(records.map((_, at) => from + at));
      expect(records.map(({ value, timestampMs: time }) => ({ value: text(value), time }))).toEqual(
        this.#list(index).slice(from, from + records.length),
      );
      this.#read[index] = from + records.length;
    }
  }

  async findTime(index: number, time: number): Promise<void> {
    const list = this.#list(index);
    const found = list.findIndex((record) => record.time >= time);
    expect(await this.#store.reader.offsetAtTime(this.#stream(index), time)).toBe(
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

  async end(): Promise<void> {
    const rest = await drain(this.#cursor, { maxRecords: 17, maxBytes: 2000 });
    const whole = await readAll(this.#store, this.#streams);
    for (const [index, stream] of this.#streams.entries()) {
      const expected = this.#list(index).map(({ value }) => value);
      const values = (whole.records.get(stream) ?? []).map(({ value }) => text(value));
      expect(values).toEqual(expected);
      const left = (rest.records.get(stream) ?? []).map(({ value }) => text(value));
      expect(left).toEqual(expected.slice(this.#read[index]));
    }
    await this.#store.close();
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

type Step = (history: History) => Promise<void>;

const partition = fc.nat(PARTITIONS - 1);
const several = fc.array(partition, { minLength: 1, maxLength: 30 });
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(several, fc.constantFrom(0, 3, 40, 400, 3000)).map(
      ([partitions, size]): Step =>
        (history) =>
          history.append(partitions, size),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(partition, fc.nat(10)).map(
      ([index, sequence]): Step =>
        (history) =>
          history.appendOnce(index, sequence),
    ),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 5000 })).map(
      ([records, bytes]): Step =>
        (history) =>
          history.read(records, bytes),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(partition, fc.nat(1000)).map(
      ([index, time]): Step =>
        (history) =>
          history.findTime(index, time),
    ),
  },
  { weight: 1, arbitrary: fc.constant<Step>((history) => history.reopen()) },
  { weight: 1, arbitrary: fc.constant<Step>((history) => history.retain()) },
);

test('any history of appends, repeats, reads, searches, reopenings and retention', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), fc.nat(1000), async (steps, seed) => {
      const place = await inMemory.make();
      const history = new History(place, await place.open({ segmentBytes: 3000 }), seed);
      for (const take of steps) await take(history);
      await history.end();
    }),
    { numRuns: 200 },
  );
}, 120_000);
