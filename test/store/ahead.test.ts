import { expect, test } from 'vitest';
import { type StreamId, streamId } from '../../src/record.ts';
import { SimClock } from '../support/sim-clock.ts';
import { append, entriesOf, fill, FOREVER, inMemory, onDisk } from '../support/store-kit.ts';

/** What a mirror had beyond its position survives, and is not told as lost when it goes. */
test('records beyond a position that were had: kept through a restart, and no loss', async () => {
  const place = await onDisk.make();
  const clock = new SimClock();
  const options = { clock, segmentBytes: 30_000, compression: 'none' as const };
  let store = await place.open(options);
  const kept = { ...FOREVER, partitions: 1, retentionBytes: 60_000 };
  const topic = store.writer.defineTopic('t', kept);
  const [stream] = topic.streams as [StreamId];
  const had = { next: 100, ahead: [{ from: 300, to: 400 }] };
  const more = {
    next: 100,
    ahead: [
      { from: 300, to: 500 },
      { from: 1990, to: 2000 },
    ],
  };
  let positions = await store.positions('mirror.far', { pins: true });
  await positions.advance(new Map([[stream, 0]]));
  await fill(store, topic, 2000);
  await positions.advance(new Map([[stream, had]]));
  await positions.advance(new Map([[stream, more]]));
  await expect(positions.advance(new Map([[stream, had]]))).rejects.toThrow('never moves back');
  expect(positions.get(stream)).toBe(100);
  await store.close();
  store = await place.open(options);
  positions = await store.positions('mirror.far', { pins: true });
  expect(positions.coverage(stream)).toEqual(more);
  await store.retain();
  await append(store, stream);
  await store.retain();
  const { startOffset } = store.reader.range(stream);
  expect(startOffset).toBeGreaterThan(500);
  expect(startOffset).toBeLessThan(1990);
  expect(await entriesOf(store)).toMatchObject([
    { fromOffset: 100, toOffset: 300, records: 200, reason: 'retention' },
    { fromOffset: 500, toOffset: startOffset, records: startOffset - 500, reason: 'retention' },
  ]);
  await positions.seek(new Map([[stream, 600]]));
  expect(positions.coverages()).toEqual(new Map([[stream, { next: 600, ahead: [] }]]));
  await store.close();
  await place.remove();
});

test('who does not say whether a reader holds records back leaves that as it is', async () => {
  const place = await onDisk.make();
  const store = await place.open({ segmentBytes: 30_000, compression: 'none' as const });
  const topic = store.writer.defineTopic('t', { ...FOREVER, partitions: 1, retentionMs: 1 });
  const [stream] = topic.streams as [StreamId];
  for (const [name, pins] of [
    ['must', true],
    ['may', false],
  ] as const) {
    const positions = await store.positions(name, { pins });
    await positions.advance(new Map([[stream, 0]]));
    expect(await store.positions(name, {})).toBe(positions);
  }
  await fill(store, topic, 2000);
  await append(store, stream);
  await store.retain();
  expect(store.reader.range(stream).startOffset).toBe(0);
  await store.forgetPositions('must');
  await store.retain();
  expect(store.reader.range(stream).startOffset).toBeGreaterThan(1000);
  await store.close();
  await place.remove();
});

test('how far a stream was sampled is kept through a restart', async () => {
  const place = await inMemory.make();
  const had = { next: 1, ahead: [{ from: 3, to: 4 }], sampledTo: 5 };
  let store = await place.open();
  const topic = store.writer.defineTopic('t', { ...FOREVER, partitions: 1 });
  const [stream = streamId(-1)] = topic.streams;
  await fill(store, topic, 6);
  await (await store.positions('one', { pins: true })).advance(new Map([[stream, had]]));
  await store.close();
  store = await place.open();
  expect((await store.positions('one', {})).coverage(stream)).toEqual(had);
  await store.close();
});
