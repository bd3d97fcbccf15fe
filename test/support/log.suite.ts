import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { encodeHeaders } from '../../src/headers.ts';
import { LIMITS } from '../../src/limits.ts';
import type { StreamId } from '../../src/record.ts';
import type { Store, TopicInfo } from '../../src/store/log.ts';
import {
  append,
  appendOnce,
  FOREVER,
  NONE,
  readAll,
  text,
  type Place,
  type PlaceFactory,
} from './store-kit.ts';

/** The writing half of what every store promises at its door (src/store/log.ts), whatever it stands on. */
export function describeLog(factory: PlaceFactory): void {
  describe(`log on ${factory.name}`, () => {
    let place: Place;
    let store: Store;
    let topic: TopicInfo;
    let left: StreamId;
    let right: StreamId;

    const define = (): void => {
      topic = store.writer.defineTopic('telemetry', FOREVER);
      [left, right] = topic.streams as unknown as [StreamId, StreamId];
    };
    const reopen = async (): Promise<void> => {
      await store.close();
      store = await place.open();
      topic = store.reader.topic('telemetry') as TopicInfo;
    };

    beforeEach(async () => {
      place = await factory.make();
      store = await place.open();
      define();
    });
    afterEach(async () => {
      await store.close();
      await place.remove();
    });

    describe('appending', () => {
      test('offsets are dense from 0 in every partition, and go on after reopening', async () => {
        expect(await Promise.all([append(store, left), append(store, right)])).toEqual([0, 0]);
        expect(await append(store, left)).toBe(1);
        await reopen();
        expect(await append(store, left)).toBe(2);
        expect(await append(store, right)).toBe(1);
        expect(store.reader.range(left)).toEqual({ startOffset: 0, endOffset: 3 });
      });

      test('answers come in the order of the calls, over partitions, classes and repeats', async () => {
        const order: number[] = [];
        const all: Promise<void>[] = [];
        const expectNext = (index: number, call: (done: () => void) => void): void => {
          all.push(
            new Promise((resolve) => {
              call(() => {
                order.push(index);
                resolve();
              });
            }),
          );
        };
        for (let index = 0; index < 10_000; index++) {
          const stream = index % 3 === 0 ? left : right;
          const value = Buffer.from(String(index));
          const kind = index % 7;
          expectNext(index, (done) => {
            if (kind === 3) store.writer.settled(done);
            else if (kind === 5) {
              store.writer.appendOnce('p', index % 2, stream, 1, null, value, NONE, 'fsync', done);
            } else {
              const durability = kind === 1 ? 'os' : kind === 2 ? 'none' : 'fsync';
              store.writer.append(stream, 1, null, value, NONE, durability, done);
            }
          });
        }
        await Promise.all(all);
        expect(order).toEqual(Array.from({ length: 10_000 }, (_, index) => index));
      });

      test('settled is called at once when nothing waits, and after what waits', async () => {
        const calls: string[] = [];
        store.writer.settled(() => calls.push('idle'));
        expect(calls).toEqual(['idle']);
        const appended = append(store, left).then(() => calls.push('appended'));
        const settled = new Promise<void>((resolve) => {
          store.writer.settled(() => {
            calls.push('settled');
            resolve();
          });
        });
        expect(calls).toEqual(['idle']);
        await Promise.all([appended, settled]);
        expect(calls.toSorted()).toEqual(['appended', 'idle', 'settled']);
      });

      test('what an answer asks for comes after the answers that were due before it', async () => {
        const order: string[] = [];
        await new Promise<void>((resolve) => {
          store.writer.append(left, 1, null, null, NONE, 'fsync', () => {
            order.push('first');
            store.writer.settled(() => {
              order.push('asked by the first');
              resolve();
            });
            store.writer.append(left, 1, null, null, NONE, 'none', () => {
              order.push('appended by the first');
            });
          });
          store.writer.append(right, 1, null, null, NONE, 'fsync', () => order.push('second'));
        });
        await append(store, left);
        expect(order).toEqual(['first', 'second', 'asked by the first', 'appended by the first']);
      });

      test('keys, values and headers come back as they were: also null, empty and large', async () => {
        const headers = encodeHeaders([
          { key: 'a', value: Buffer.from('1') },
          { key: 'a', value: null },
        ]);
        const large = Buffer.alloc(300_000, 'x');
        const records = [
          { key: null, value: null },
          { key: NONE, value: NONE, headers },
          { key: Buffer.from('k'), value: null, headers },
          { key: null, value: Buffer.from([0, 255, 10]), timestampMs: 5 },
          { key: Buffer.from('ключ'), value: large, timestampMs: 4_102_444_800_000 },
        ];
        await Promise.all(records.map((record) => append(store, left, record)));
        const { records: read } = await readAll(store, [left]);
        expect(
          read.get(left)?.map(({ key, value, headers: bytes, timestampMs, offset }) => ({
            key: key === null ? null : Buffer.from(key).toString('hex'),
            value: value === null ? null : Buffer.from(value).toString('hex'),
            headers: Buffer.from(bytes).toString('hex'),
            timestampMs,
            offset,
          })),
        ).toEqual(
          records.map((record, offset) => ({
            key: record.key === null ? null : Buffer.from(record.key).toString('hex'),
            value: record.value === null ? null : Buffer.from(record.value).toString('hex'),
            headers: Buffer.from(record.headers ?? NONE).toString('hex'),
            timestampMs: record.timestampMs ?? 1000,
            offset,
          })),
        );
      });

      test('a record over the limit is refused in its turn, and the others are stored', async () => {
        const results = await Promise.allSettled([
          append(store, left),
          append(store, left, { value: Buffer.alloc(LIMITS.recordBytes + 1) }),
          append(store, left, { value: Buffer.alloc(LIMITS.recordBytes) }),
        ]);
        expect(results).toEqual([
          { status: 'fulfilled', value: 0 },
          { status: 'rejected', reason: expect.objectContaining({ code: 'RECORD_TOO_LARGE' }) },
          { status: 'fulfilled', value: 1 },
        ]);
      });

      test('what waits is counted, and relief comes when it is committed', async () => {
        expect(store.writer.pendingBytes()).toBe(0);
        const value = Buffer.alloc(1000);
        const waiting = Promise.all([1, 2, 3].map(() => append(store, left, { value })));
        expect(store.writer.pendingBytes()).toBe(3000);
        await waiting;
        await store.writer.relieved();
        expect(store.writer.pendingBytes()).toBe(0);
      });

      test('a closed store refuses appends with its code', async () => {
        await store.close();
        await expect(append(store, left)).rejects.toMatchObject({ code: 'STORE_CLOSED' });
        await store.close();
      });

      test('closing commits what waits', async () => {
        const waiting = append(store, left, { value: Buffer.from('last') });
        await store.close();
        expect(await waiting).toBe(0);
        store = await place.open();
        expect(text((await readAll(store, [left])).records.get(left)?.[0]?.value)).toBe('last');
      });
    });

    describe('appending once', () => {
      test('a repeat is answered with -1 and not stored, also after reopening', async () => {
        const value = Buffer.from('v');
        expect(await appendOnce(store, 'gateway', 7, left, value)).toBe(0);
        expect(await appendOnce(store, 'gateway', 7, left, value)).toBe(-1);
        expect(await appendOnce(store, 'gateway', 3, left, value)).toBe(-1);
        expect(await appendOnce(store, 'other', 3, left, value)).toBe(1);
        await reopen();
        expect(await appendOnce(store, 'gateway', 7, left, value)).toBe(-1);
        expect(await appendOnce(store, 'other', 3, left, value)).toBe(-1);
        expect(await appendOnce(store, 'gateway', 8, left, value)).toBe(2);
        expect(store.reader.range(left).endOffset).toBe(3);
      });

      test('a repeat is told what its producer had last, what is not durable yet included', async () => {
        const told: unknown[] = [];
        const one = (sequence: number): Promise<void> =>
          new Promise((resolve) => {
            store.writer.appendOnce('p', sequence, left, 1, null, null, NONE, 'fsync', (...all) => {
              told.push(all.slice(2));
              resolve();
            });
          });
        await Promise.all([one(4), one(9), one(4)]);
        await reopen();
        await one(9);
        expect(told.map((all) => (all as unknown[])[0])).toEqual([undefined, undefined, 9, 9]);
      });

      test('a repeat in the same commit as its original is known', async () => {
        const value = Buffer.from('v');
        const both = [
          appendOnce(store, 'p', 0, left, value),
          appendOnce(store, 'p', 0, left, value),
        ];
        expect(await Promise.all(both)).toEqual([0, -1]);
      });
    });

    describe('topics', () => {
      test('are there after reopening, with their options and streams', async () => {
        const grown = store.writer.defineTopic('alarms', {
          ...FOREVER,
          partitions: 3,
          durability: 'os',
          retentionMs: 5,
          retentionBytes: 7,
        });
        await append(store, left);
        await reopen();
        expect(store.reader.topic('alarms')).toEqual(grown);
        expect(store.reader.topics().map(({ name }) => name)).toEqual(['telemetry', 'alarms']);
      });

      test('a definition without any append is there after a clean close', async () => {
        store.writer.defineTopic('quiet', FOREVER);
        await reopen();
        expect(store.reader.topic('quiet')?.streams).toHaveLength(2);
      });

      test('grow in partitions and keep their streams; never shrink', async () => {
        await append(store, right);
        const grown = store.writer.defineTopic('telemetry', { ...FOREVER, partitions: 100 });
        expect(grown.streams.slice(0, 2)).toEqual([left, right]);
        expect(await append(store, grown.streams[99] as StreamId)).toBe(0);
        expect(() => store.writer.defineTopic('telemetry', FOREVER)).toThrow(
          /has 100 partitions, and 2 are asked for/u,
        );
        await reopen();
        expect(topic.streams).toEqual(grown.streams);
        expect(await append(store, right)).toBe(1);
      });

      test.each([
        ['', 1],
        ['.', 1],
        ['a/b', 1],
        ['ü', 1],
        ['x'.repeat(250), 1],
        ['ok', 0],
        ['ok', 1.5],
        ['ok', 1025],
      ])('%j with %d partitions is refused', (name, partitions) => {
        expect(() => store.writer.defineTopic(name, { ...FOREVER, partitions })).toThrow(
          expect.objectContaining({ code: 'CONFIG_INVALID' }),
        );
      });
    });
  });
}
