import { expect, test } from 'vitest';
import { LIMITS } from '../../src/limits.ts';
import type { StreamId } from '../../src/record.ts';
import type { Store, TopicInfo } from '../../src/store/log.ts';
import { Producers } from '../../src/store/producers.ts';
import { appendOnce, fill, FOREVER, inMemory } from '../support/store-kit.ts';

test('last sequences survive reopening from any checkpoint and any segment', async () => {
  const place = await inMemory.make();
  const open = async (): Promise<[Store, TopicInfo]> => {
    const store = await place.open({ segmentBytes: 8000 });
    // With a time bound retention asks for a checkpoint before the next commit, each time it runs.
    const topic = store.writer.defineTopic('t', { ...FOREVER, retentionMs: 1e15 });
    return [store, topic];
  };
  let [store, topic] = await open();
  const stream = topic.streams[0] as StreamId;
  const last = new Map<string, number>();
  for (let round = 0; round < 40; round++) {
    const producer = `gateway-${round % 7}`;
    const value = Buffer.from(String(round));
    expect(await appendOnce(store, producer, round, stream, value)).toBeGreaterThanOrEqual(0);
    last.set(producer, round);
    await store.retain();
    await fill(store, topic, 18, { bytes: 300, perCommit: 1 });
    await store.close();
    [store, topic] = await open();
    for (const [name, sequence] of last) {
      expect(await appendOnce(store, name, sequence, stream, value)).toBe(-1);
    }
  }
  expect(store.counters().segments).toBeGreaterThan(1);
  await store.close();
});

test('they survive many commits by others in between, without a reopening', async () => {
  const place = await inMemory.make();
  let store = await place.open();
  const topic = store.writer.defineTopic('t', FOREVER);
  const stream = topic.streams[0] as StreamId;
  await appendOnce(store, 'early', 5, stream, Buffer.from('x'));
  await fill(store, topic, 3000, { bytes: 1000, perCommit: 100 });
  await appendOnce(store, 'middle', 6, stream, Buffer.from('x'));
  await fill(store, topic, 3000, { bytes: 1000, perCommit: 100 });
  await store.close();
  store = await place.open();
  expect(await appendOnce(store, 'early', 5, stream, Buffer.from('x'))).toBe(-1);
  expect(await appendOnce(store, 'middle', 6, stream, Buffer.from('x'))).toBe(-1);
  await store.close();
});

test('beyond the bound the one that was silent longest is forgotten', () => {
  const producers = new Producers();
  for (let index = 0; index < LIMITS.producers; index++) producers.commit([[`p${index}`, 1]]);
  producers.commit([['p0', 2]]);
  producers.commit([['new', 1]]);
  expect(producers.last('p0')).toBe(2);
  expect(producers.last('p1')).toBe(-1);
  expect(producers.last('p2')).toBe(1);
  expect(producers.all()).toHaveLength(LIMITS.producers);
});

test('what only waits is forgotten apart from what is committed', () => {
  const producers = new Producers();
  producers.note('p', 1);
  producers.commit([['p', 1]]);
  producers.note('p', 2);
  expect(producers.last('p')).toBe(2);
  producers.forgetPending();
  expect(producers.last('p')).toBe(1);
});
