import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { AssertionError } from '../../src/assert.ts';
import { LIMITS } from '../../src/limits.ts';
import type { LogRecord, StreamId } from '../../src/record.ts';
import type { Store, TopicInfo } from '../../src/store/log.ts';
import { SimClock } from './sim-clock.ts';
import {
  append,
  drain,
  fill,
  FOREVER,
  NONE,
  readAll,
  text,
  type Place,
  type PlaceFactory,
} from './store-kit.ts';

/** The reading half of what every store promises, with positions and durability classes. */
export function describeReading(factory: PlaceFactory): void {
  describe(`reading the log on ${factory.name}`, () => {
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

    describe('reading', () => {
      test('memory that is given back is gone; other batches have their own', async () => {
        const value = Buffer.from('compressible '.repeat(10_000));
        for (let index = 0; index < 20; index++) await append(store, left, { value });
        const limits = { maxRecords: 10, maxBytes: 1e7 };
        const cursor = store.reader.cursor(new Map([[left, 0]]));
        const [one, other] = [await cursor.next(limits), await cursor.next(limits)];
        await cursor.close();
        const unchanged = (records: readonly LogRecord[] = []): number =>
          records.filter((record) => value.equals(record.value ?? Buffer.alloc(0))).length;
        const record = one.slices[0]?.records[0];
        expect(unchanged(one.slices[0]?.records)).toBe(10);
        one.release?.();
        one.release?.();
        expect(() => record?.value).toThrow(TypeError);
        expect(unchanged(other.slices[0]?.records)).toBe(10);
        expect(unchanged((await readAll(store, [left])).records.get(left))).toBe(20);
      });

      test('small commits share memory with others, which is never given away', async () => {
        const value = Buffer.from('compressible '.repeat(50));
        for (let index = 0; index < 20; index++) await append(store, left, { value });
        const cursor = store.reader.cursor(new Map([[left, 0]]));
        const batch = await cursor.next({ maxRecords: 10, maxBytes: 1e6 });
        const bystander = Buffer.from('kept in the same pool');
        batch.release?.();
        expect(bystander.toString()).toBe('kept in the same pool');
        expect(Buffer.from('made later').toString()).toBe('made later');
        expect((await cursor.next({ maxRecords: 10, maxBytes: 1e6 })).records).toBe(10);
        await cursor.close();
      });

      test('a cursor over several streams gives each in offset order, whatever the limits', async () => {
        await fill(store, topic, 500, { perCommit: 37 });
        for (const limits of [
          { maxRecords: 1, maxBytes: 1_000_000 },
          { maxRecords: 7, maxBytes: 1_000_000 },
          { maxRecords: 1_000_000, maxBytes: 1 },
          { maxRecords: 1_000_000, maxBytes: 950 },
        ]) {
          const cursor = store.reader.cursor(
            new Map([
              [left, 3],
              [right, 249],
            ]),
          );
          const { records, gaps } = await drain(cursor, limits);
          expect(gaps).toEqual([]);
          expect(records.get(left)?.map(({ offset }) => offset)).toEqual(
            Array.from({ length: 247 }, (_, index) => index + 3),
          );
          expect(records.get(right)?.map(({ offset }) => offset)).toEqual([249]);
        }
      });

      test('a batch keeps to its limits, yet holds at least one record', async () => {
        const value = Buffer.alloc(100);
        await Promise.all(Array.from({ length: 50 }, () => append(store, left, { value })));
        const cursor = store.reader.cursor(new Map([[left, 0]]));
        expect(await cursor.next({ maxRecords: 4, maxBytes: 1e6 })).toMatchObject({ records: 4 });
        expect(await cursor.next({ maxRecords: 100, maxBytes: 350 })).toMatchObject({
          records: 3,
          bytes: 300,
        });
        expect(await cursor.next({ maxRecords: 100, maxBytes: 10 })).toMatchObject({ records: 1 });
        expect(await cursor.next({ maxRecords: 100, maxBytes: 1e6 })).toMatchObject({
          records: 42,
        });
        expect(await cursor.next({ maxRecords: 100, maxBytes: 1e6 })).toMatchObject({
          slices: [],
          gaps: [],
          records: 0,
          bytes: 0,
        });
      });

      test('waiting ends when its streams get something, not when others do, and on abort', async () => {
        const cursor = store.reader.cursor(new Map([[left, 0]]));
        let woken = false;
        const mark = async (): Promise<void> => {
          await cursor.wait(new AbortController().signal);
          woken = true;
        };
        const waiting = mark();
        await append(store, right);
        expect(woken).toBe(false);
        await append(store, left);
        await waiting;
        expect((await cursor.next({ maxRecords: 9, maxBytes: 99 })).records).toBe(1);
        const abort = new AbortController();
        const aborted = cursor.wait(abort.signal);
        abort.abort();
        await aborted;
        const closed = cursor.wait(new AbortController().signal);
        await cursor.close();
        await closed;
      });

      test('closing the store ends waiting, and reading then fails with its code', async () => {
        await append(store, left);
        const cursor = store.reader.cursor(new Map([[right, 0]]));
        const waiting = cursor.wait(new AbortController().signal);
        await store.close();
        await waiting;
        const late = store.reader.cursor(new Map([[left, 0]]));
        await expect(late.next({ maxRecords: 1, maxBytes: 1 })).rejects.toMatchObject({
          code: 'STORE_CLOSED',
        });
        store = await place.open();
        expect((await readAll(store, [left])).records.get(left)).toHaveLength(1);
      });

      test('timestampAt tells the record’s time, or nothing at the end', async () => {
        await Promise.all([10, 20, 30].map((timestampMs) => append(store, left, { timestampMs })));
        expect(await store.reader.timestampAt(left, 1)).toBe(20);
        expect(await store.reader.timestampAt(left, 3)).toBeUndefined();
        expect(await store.reader.timestampAt(right, 0)).toBeUndefined();
      });

      test('offsetAtTime finds the first at or after a time, also where clocks jumped', async () => {
        const times = [50, 40, 60, 5, 70, 70, 1, 90, 80];
        for (const timestampMs of times) await append(store, left, { timestampMs });
        await append(store, right, { timestampMs: 1000 });
        for (let time = 0; time <= 100; time += 5) {
          const found = times.findIndex((timestampMs) => timestampMs >= time);
          expect(await store.reader.offsetAtTime(left, time)).toBe(
            found < 0 ? times.length : found,
          );
        }
        expect(await store.reader.offsetAtTime(right, 1001)).toBe(1);
      });
    });

    describe('positions and values', () => {
      test('a position moves forward, never back, and is there after reopening', async () => {
        const reader = await store.positions('mirror', { pins: true });
        expect(reader.get(left)).toBeUndefined();
        await reader.advance(new Map([[left, 0]]));
        await Promise.all([append(store, left), append(store, left)]);
        await reader.advance(new Map([[left, 2]]));
        await expect(reader.advance(new Map([[left, 1]]))).rejects.toBeInstanceOf(AssertionError);
        await reopen();
        const again = await store.positions('mirror', { pins: true });
        expect([...again.all()]).toEqual([[left, 2]]);
        await again.seek(new Map([[left, 1]]));
        expect(again.get(left)).toBe(1);
        await store.forgetPositions('mirror');
        expect([...(await store.positions('mirror', { pins: true })).all()]).toEqual([]);
      });

      test('changes of positions happen one after the other, and a forgotten reader has none', async () => {
        const reader = await store.positions('mirror', { pins: true });
        const changes = await Promise.allSettled([
          reader.advance(new Map([[left, 10]])),
          reader.advance(new Map([[left, 7]])),
          reader.advance(new Map([[left, 12]])),
        ]);
        expect(changes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
        expect(reader.get(left)).toBe(12);
        const late = reader.advance(new Map([[left, 13]]));
        await store.forgetPositions('mirror');
        await late;
        await reopen();
        expect([...(await store.positions('mirror', { pins: true })).all()]).toEqual([]);
      });

      test('positions make the topics they name durable first', async () => {
        const late = store.writer.defineTopic('late', FOREVER);
        const { commits } = store.counters();
        const reader = await store.positions('mirror', { pins: true });
        await reader.advance(new Map([[late.streams[0] as StreamId, 0]]));
        expect(store.counters().commits).toBe(commits + 1);
        await reopen();
        expect(store.reader.topic('late')?.streams).toEqual(late.streams);
      });

      test('spaces of values do not see each other', async () => {
        const [one, two] = [store.keyValue('one'), store.keyValue('one/two')];
        await one.put('two/key', Buffer.from('1'));
        await two.put('key', Buffer.from('2'));
        await reopen();
        expect(text(await store.keyValue('one').get('two/key'))).toBe('1');
        expect(text(await store.keyValue('one/two').get('key'))).toBe('2');
        await store.keyValue('one').delete('two/key');
        expect(await store.keyValue('one').get('two/key')).toBeUndefined();
        expect(text(await store.keyValue('one/two').get('key'))).toBe('2');
      });
    });

    describe('durability classes', () => {
      test('class none is answered at once, written within its bound and then read', async () => {
        await store.close();
        const clock = new SimClock();
        store = await place.open({ clock });
        define();
        let answered = -2;
        store.writer.append(left, 1, null, Buffer.from('q0'), NONE, 'none', (_error, offset) => {
          answered = offset;
        });
        expect(answered).toBe(0);
        expect(store.reader.range(left).endOffset).toBe(0);
        await clock.advance(LIMITS.memoryWaitMs);
        await expect.poll(() => store.reader.range(left).endOffset).toBe(1);
        store.writer.append(left, 1, null, Buffer.from('q0'), NONE, 'none', () => {});
        await append(store, left);
        expect(store.reader.range(left).endOffset).toBe(3);
      });

      test('class os is answered when written and read when synced, within its bound', async () => {
        await store.close();
        const clock = new SimClock();
        store = await place.open({ clock });
        define();
        expect(await append(store, left, { durability: 'os' })).toBe(0);
        expect(store.reader.range(left).endOffset).toBe(0);
        await clock.advance(LIMITS.osSyncWithinMs);
        await expect.poll(() => store.reader.range(left).endOffset).toBe(1);
        await append(store, left, { durability: 'os' });
        expect(store.reader.range(left).endOffset).toBe(1);
        await append(store, right);
        expect(store.reader.range(left).endOffset).toBe(2);
      });

      test('a linger gathers appends into one commit', async () => {
        await store.close();
        const clock = new SimClock();
        store = await place.open({ clock, lingerMs: 20 });
        define();
        const before = store.counters().commits;
        const first = append(store, left);
        await clock.advance(10);
        const second = append(store, right);
        expect(store.counters().commits).toBe(before);
        await clock.advance(10);
        await Promise.all([first, second]);
        expect(store.counters().commits).toBe(before + 1);
      });

      test('syncs are counted: of commits, and of what stands beside the log', async () => {
        await append(store, left); // With the topic's definition;
        await append(store, left); // with a checkpoint.
        const before = store.counters();
        await append(store, left);
        await append(store, left, { durability: 'os' });
        const after = store.counters();
        expect(after.commits).toBe(before.commits + 2);
        expect(after.syncs).toBe(before.syncs + 1);
        // Where the log stands is noted in the background, at any moment.
        await store.keyValue('test').put('a', Buffer.from('b'));
        expect(store.counters().stateSyncs).toBeGreaterThan(after.stateSyncs);
      });
    });
  });
}
