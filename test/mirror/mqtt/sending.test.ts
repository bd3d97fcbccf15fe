import { expect, test } from 'vitest';
import { Receipts } from '../../../src/mirror/mqtt/receipts.ts';
import type { Place } from '../../../src/mirror/mqtt/own-records.ts';
import { inTurn, Sending } from '../../../src/mirror/mqtt/sending.ts';
import { type LogRecord, streamId } from '../../../src/record.ts';
import type { Slice } from '../../../src/store/log.ts';
import { SimClock } from '../../support/sim-clock.ts';

function sending(streams: readonly number[], records: number, before: readonly Sending[]): Sending {
  const one = (offset: number): LogRecord => ({
    offset,
    timestampMs: 0,
    key: null,
    value: null,
    headers: new Uint8Array(0),
  });
  const slices = streams.map((stream): Slice => ({
    stream: streamId(stream),
    records: Array.from({ length: records }, (_, offset) => one(offset)),
  }));
  const made = new Sending(
    slices,
    { placeOf: (stream) => ({ stream }) as Place, isHad: () => false },
    Promise.withResolvers(),
  );
  made.isReady = true;
  made.isFree = !before.some((earlier) => earlier.sharesStreams(made));
  return made;
}

test('a small batch of other streams overtakes a large one; one of the same streams never', () => {
  const bulk = sending([0, 1], 50, []);
  const more = sending([1, 2], 3, [bulk]);
  const alarm = sending([3], 2, [bulk, more]);
  expect(inTurn([bulk, more, alarm])).toEqual([alarm, bulk, more]);
  // What is left counts.
  for (let taken = 0; taken < 99; taken++) bulk.next();
  expect(inTurn([bulk, more, alarm])).toEqual([bulk, more, alarm]);
});

test('one whose packet ids are not noted yet holds nobody up', () => {
  const bulk = sending([0], 50, []);
  const alarm = sending([3], 1, [bulk]);
  alarm.isReady = false;
  expect(inTurn([bulk, alarm])).toEqual([bulk, alarm]);
});

test('the pace: from the end of the batch before, or from its own beginning and a round trip', async () => {
  const clock = new SimClock();
  const receipts = new Receipts(
    { stream: { bytesWritten: 70 } as never },
    { fastestMs: 100 },
    900,
    clock,
  );
  const begunMs = clock.monotonicMs();
  await clock.advance(500);
  expect(receipts.of({ rejected: [], begunMs })).toMatchObject({
    bytesSent: 70,
    pace: { leastMs: 300, mostMs: 400, idleMs: 100 },
  });
  await clock.advance(250);
  expect(receipts.of({ rejected: [], begunMs: begunMs + 10 })).toMatchObject({
    bytesSent: 0,
    pace: { leastMs: 250, mostMs: 250 },
  });
});

test('a batch of which nothing was sent tells no pace', () => {
  const receipts = new Receipts({ stream: {} as never }, { fastestMs: 100 }, 900, new SimClock());
  expect(receipts.of({ rejected: [], begunMs: undefined })).toEqual({ rejected: [], bytesSent: 0 });
});

test('where all packets are large, what a small one takes is known from connecting', async () => {
  const clock = new SimClock();
  const stream = {} as never;
  const receipts = new Receipts({ stream }, { fastestMs: 3000 }, 200, clock);
  const begunMs = clock.monotonicMs();
  await clock.advance(3000);
  const { pace } = receipts.of({ rejected: [], begunMs });
  expect(pace).toMatchObject({ leastMs: 2600, mostMs: 2800 });
});
