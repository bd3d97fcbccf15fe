import { expect, test } from 'vitest';
import { upTo, withSampled } from '../../src/coverage.ts';
import type { Sampled } from '../../src/mirror/mirror-cursor.ts';
import { SampledBook } from '../../src/mirror/sampled-book.ts';
import { SamplingCursor } from '../../src/mirror/sampling-cursor.ts';
import { type StreamId, streamId } from '../../src/record.ts';
import { MemoryLog } from '../support/memory-log.ts';
import { SimClock } from '../support/sim-clock.ts';

const ONE = streamId(1);
const TWO = streamId(2);

function stretch(stream: StreamId, from: number, to: number, kept: readonly number[]): Sampled {
  return { stream, from, to, kept, left: [], leftBytes: 0, rest: 'later' };
}

/** A mirror stands at 0, sampled so far. */
function at(...sampledTo: readonly (readonly [StreamId, number])[]) {
  return new Map(sampledTo.map(([stream, to]) => [stream, withSampled(upTo(0), to)]));
}

test('what is noted outlives the process, for each stream as far as it arrived', async () => {
  const space = new MemoryLog().sampled;
  const book = await SampledBook.load(space);
  await book.note([stretch(ONE, 0, 10, [3, 9]), stretch(TWO, 5, 8, [7])]);
  await book.note([stretch(ONE, 10, 20, [10, 19])]);
  const again = await SampledBook.load(space);
  expect(await again.begin(at([ONE, 10], [TWO, 8]))).toEqual(
    new Map([[TWO, [{ from: 0, to: 5 }]]]),
  );
  expect(again.keptIn(ONE, 0, 100)).toEqual([3, 9]);
  expect(again.keptIn(ONE, 4, 9)).toEqual([]);
  expect(again.keptIn(TWO, 0, 100)).toEqual([7]);
  expect(again.keptAhead(ONE, { next: 4, ahead: [], sampledTo: 10 })).toBe(1);
  expect((await space.entries()).length).toBe(1);
  await again.passed(new Map([[ONE, upTo(10)]]));
  await again.begin(new Map([[TWO, upTo(8)]]));
  expect(await space.entries()).toEqual([]);
});

test('a stretch that is noted anew was never sent, also where the old one is still on disk', async () => {
  const space = new MemoryLog().sampled;
  const book = await SampledBook.load({ ...space, deleteAll: () => Promise.resolve() });
  await book.note([stretch(ONE, 0, 20, [4, 19])]);
  await book.begin(at([ONE, 0]));
  await book.note([stretch(ONE, 0, 10, [9])]);
  const again = await SampledBook.load(space);
  expect(await again.begin(at([ONE, 10]))).toEqual(new Map());
  expect(again.keptIn(ONE, 0, 100)).toEqual([9]);
});

test('what can not be forgotten ends the session that wants to, and the next one tries again', async () => {
  const space = new MemoryLog().sampled;
  let fails = true;
  const book = await SampledBook.load({
    ...space,
    deleteAll: (keys) => (fails ? Promise.reject(new Error('no space')) : space.deleteAll(keys)),
  });
  await book.note([stretch(ONE, 0, 20, [4])]);
  await expect(book.begin(at([ONE, 0]))).rejects.toThrow('no space');
  fails = false;
  await book.begin(at([ONE, 0]));
  expect(await space.entries()).toEqual([]);
});

test('it is bounded: nothing is sampled then, and everything waits', async () => {
  const log = new MemoryLog();
  const book = await SampledBook.load(log.sampled, 1000);
  const kept = Array.from({ length: 250 }, (_, offset) => offset);
  expect(book.isFull).toBe(false);
  await book.note([stretch(ONE, 0, 250, kept)]);
  expect(book.isFull).toBe(true);
  const stream = log.topic('t').streams[0] ?? ONE;
  log.add(stream, 'x');
  const clock = new SimClock();
  const over = new AbortController();
  const cursor = new SamplingCursor({
    reader: log.reader,
    ranges: new Map([[stream, [{ from: 0, to: Infinity }]]]),
    ruleOf: () => ({ when: 'metered', perMs: 1000, rest: 'later' }),
    clock,
    signal: over.signal,
    isHeld: () => book.isFull,
  });
  expect(cursor.readable).toBe(false);
  expect((await cursor.next({ maxRecords: 10, maxBytes: 1000 })).sampled).toBeUndefined();
  const waited = cursor.wait(over.signal);
  over.abort();
  await waited;
  await book.passed(new Map([[ONE, upTo(kept.length)]]));
  expect(book.isFull).toBe(false);
  expect(cursor.readable).toBe(true);
  await cursor.close();
});
