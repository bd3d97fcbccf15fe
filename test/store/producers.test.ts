import { describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/limits.ts';
import type { StreamId } from '../../src/record.ts';
import { DEVICE_PRODUCER, type Store, type TopicInfo } from '../../src/store/log.ts';
import { DeviceProducers } from '../../src/store/device-producers.ts';
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

test('this machine’s own have a bound of their own, and push out nobody else', () => {
  const producers = new Producers();
  producers.commit([['gateway', 1]]);
  for (let index = 0; index <= LIMITS.ownProducers; index++) producers.commit([[`~${index}`, 1]]);
  expect(producers.last('~0')).toBe(-1);
  expect(producers.last('~1')).toBe(1);
  for (let index = 0; index < LIMITS.producers; index++) producers.commit([[`p${index}`, 1]]);
  expect(producers.last('gateway')).toBe(-1);
  expect(producers.last('~1')).toBe(1);
  expect(producers.all()).toHaveLength(LIMITS.producers);
  producers.forget(['~1', 'unknown']);
  expect(producers.last('~1')).toBe(-1);
  expect(producers.all()).toHaveLength(LIMITS.producers - 1);
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

describe('devices that number their messages', () => {
  const of = (user: string, which: number): string => `${DEVICE_PRODUCER}${user}/${which}`;

  test('have a bound of their own, and push out nobody else', () => {
    const producers = new Producers();
    producers.commit([
      ['gateway', 1],
      ['~own', 1],
    ]);
    for (let index = 0; index <= LIMITS.deviceProducers; index++) {
      producers.commit([[of('fleet', index), 1]]);
    }
    expect(producers.last('gateway')).toBe(1);
    expect(producers.last('~own')).toBe(1);
    expect(producers.last(of('fleet', 0))).toBe(-1);
    expect(producers.last(of('fleet', 1))).toBe(1);
    expect(producers.devices()).toEqual({ remembered: LIMITS.deviceProducers, forgotten: 1 });
    expect(producers.startingWith(DEVICE_PRODUCER)).toHaveLength(LIMITS.deviceProducers);
    expect(producers.all()).toHaveLength(LIMITS.deviceProducers + 2);
  });

  test('are forgotten of who has most, whoever comes and however silent the others are', () => {
    const devices = new DeviceProducers(10);
    devices.set(of('quiet', 0), 7);
    devices.set(of('quiet', 1), 7);
    // What one user invents costs that user's own.
    for (let index = 0; index < 50; index++) devices.set(of('flood', index), 1);
    expect(devices.get(of('quiet', 0))).toBe(7);
    expect(
      [...devices].filter(([name]) => name.startsWith(`${DEVICE_PRODUCER}flood`)),
    ).toHaveLength(8);
    // And when somebody else comes, too.
    devices.set(of('late', 0), 1);
    expect(devices.get(of('quiet', 0))).toBe(7);
    expect(devices.get(of('late', 0))).toBe(1);
    expect(devices.get(of('flood', 42))).toBeUndefined();
    expect(devices.get(of('flood', 43))).toBe(1);
    expect(devices.size).toBe(10);
    expect(devices.forgotten).toBe(43);
  });

  test('of whom everybody has one: the one that was silent longest', () => {
    const devices = new DeviceProducers(3);
    for (const user of ['a', 'b', 'c', 'a', 'd']) devices.set(of(user, 0), 1);
    expect([...devices].map(([name]) => name)).toEqual(['c', 'a', 'd'].map((user) => of(user, 0)));
    expect(devices.delete(of('b', 0))).toBe(false);
    expect(devices.delete(of('c', 0))).toBe(true);
    expect(devices.size).toBe(2);
  });
});

test('who was refused and does not know yet has nothing taken that follows', async () => {
  const place = await inMemory.make();
  const store = await place.open();
  const [stream, other] = store.writer.defineTopic('t', FOREVER).streams;
  if (stream === undefined || other === undefined) throw new Error('two partitions');
  const tooLarge = Buffer.alloc(LIMITS.recordBytes + 1);
  const value = Buffer.from('x');
  const told: string[] = [];
  const attempt = (producer: string, sequence: number, to: StreamId, bytes: Uint8Array) =>
    appendOnce(store, producer, sequence, to, bytes).then(
      () => told.push(`${producer} ${sequence} taken`),
      () => told.push(`${producer} ${sequence} refused`),
    );
  await Promise.all([
    attempt('p', 1, stream, value),
    attempt('p', 2, stream, tooLarge),
    attempt('p', 3, other, value),
    attempt('q', 3, other, value),
  ]);
  expect(told).toEqual(['p 1 taken', 'p 2 refused', 'p 3 refused', 'q 3 taken']);
  // Told, it sends again in order.
  expect(await appendOnce(store, 'p', 2, stream, value)).toBe(1);
  expect(await appendOnce(store, 'p', 3, other, value)).toBe(1);
  await store.close();
});
