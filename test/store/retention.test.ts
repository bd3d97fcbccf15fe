import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { StreamId } from '../../src/record.ts';
import type { Store, TopicInfo, TopicOptions } from '../../src/store/log.ts';
import { faultyEngine, noFaults } from '../support/faulty-engine.ts';
import { MemoryDisk, memoryEngine } from '../support/memory-engine.ts';
import { SimClock } from '../support/sim-clock.ts';
import {
  append,
  entriesOf,
  fill,
  folderSize,
  FOREVER,
  onDisk,
  readAll,
  rememberingLogger,
  type Place,
  type RememberingLogger,
} from '../support/store-kit.ts';

const DAY = 86_400_000;
let place: Place;
let clock: SimClock;
let logger: RememberingLogger;
let store: Store;

const open = async (): Promise<void> => {
  store = await place.open({ clock, logger, segmentBytes: 30_000, compression: 'none' });
};
const define = (name: string, options: Partial<TopicOptions>): TopicInfo =>
  store.writer.defineTopic(name, { ...FOREVER, ...options });
const starts = (topic: TopicInfo): number[] =>
  topic.streams.map((stream) => store.reader.range(stream).startOffset);
const ends = (topic: TopicInfo): number[] =>
  topic.streams.map((stream) => store.reader.range(stream).endOffset);
/** Retention cuts at checkpoints; it asks for one, which the next commit makes. */
const retainTwice = async (topic: TopicInfo): Promise<void> => {
  await store.retain();
  await append(store, topic.streams[0] as StreamId, { timestampMs: clock.nowMs() });
  await store.retain();
};

beforeEach(async () => {
  place = await onDisk.make();
  clock = new SimClock();
  logger = rememberingLogger();
  await open();
});
afterEach(async () => {
  await store.close();
  await place.remove();
});

describe('by time', () => {
  test('what is older goes, the rest stays, and the disk is given back', async () => {
    const topic = define('t', { retentionMs: DAY });
    const old = clock.nowMs();
    await fill(store, topic, 2000, { bytes: 200, timeMs: old });
    const before = await folderSize(place.folder);
    expect(store.counters().segments).toBeGreaterThan(5);
    await store.retain();
    expect(starts(topic)).toEqual([0, 0]);

    await clock.advance(DAY + 5000);
    await fill(store, topic, 100, { bytes: 200, timeMs: clock.nowMs() });
    await retainTwice(topic);
    const [left = 0, right = 0] = starts(topic);
    expect(left).toBeGreaterThan(900);
    expect(left).toBeLessThanOrEqual(1000);
    expect(right).toBeGreaterThan(900);
    expect(await folderSize(place.folder)).toBeLessThan(before / 3);
    expect(store.counters()).toMatchObject({ recordsDropped: 0, segments: expect.any(Number) });
    expect(store.counters().diskBytes).toBeLessThan(before / 3);

    const { records, gaps } = await readAll(store, topic.streams);
    expect(gaps).toEqual([
      { stream: topic.streams[0], fromOffset: 0, toOffset: left, reason: 'retention' },
      { stream: topic.streams[1], fromOffset: 0, toOffset: right, reason: 'retention' },
    ]);
    expect(records.get(topic.streams[0] as StreamId)?.[0]?.offset).toBe(left);
    await store.close();
    await open();
    expect(starts(topic)).toEqual([left, right]);
  });

  test('after everything of a partition went, its offsets go on', async () => {
    const topic = define('t', { retentionMs: DAY });
    const other = define('other', {});
    await fill(store, topic, 200, { timeMs: clock.nowMs() });
    await clock.advance(3 * DAY);
    for (let round = 0; round < 3; round++) {
      await store.retain();
      await fill(store, other, 400, { bytes: 200, timeMs: clock.nowMs() });
    }
    expect(starts(topic)).toEqual([100, 100]);
    expect(ends(topic)).toEqual([100, 100]);
    expect(store.reader.topicBytes('t')).toBe(0);
    await store.close();
    await open();
    expect(ends(topic)).toEqual([100, 100]);
    expect(await append(store, topic.streams[0] as StreamId)).toBe(100);
  });

  test('a pinning reader keeps what it has not had; another reader does not', async () => {
    const topic = define('t', { retentionMs: DAY });
    const stream = topic.streams[0] as StreamId;
    const other = topic.streams[1] as StreamId;
    const pinning = await store.positions('mirror', { pins: true });
    const looking = await store.positions('consumer', { pins: false });
    await pinning.advance(new Map([[stream, 0]]));
    await looking.advance(new Map([[other, 0]]));
    await fill(store, topic, 2000, { bytes: 200, timeMs: clock.nowMs() });
    await clock.advance(2 * DAY);
    await retainTwice(topic);
    expect(starts(topic)[0]).toBe(0);
    expect(starts(topic)[1]).toBeGreaterThan(900);
    await pinning.advance(new Map([[stream, 700]]));
    await store.retain();
    expect(starts(topic)[0]).toBeGreaterThan(500);
    expect(starts(topic)[0]).toBeLessThanOrEqual(700);
    await store.forgetPositions('mirror');
    await store.retain();
    expect(starts(topic)[0]).toBeGreaterThan(900);
    expect(store.counters().recordsDropped).toBe(0);
  });

  test('a topic that keeps for ever holds the segments it shares, not the other’s start', async () => {
    const brief = define('brief', { retentionMs: DAY });
    const kept = define('kept', {});
    for (let round = 0; round < 10; round++) {
      await fill(store, brief, 100, { bytes: 200, timeMs: clock.nowMs() });
      await fill(store, kept, 10, { bytes: 200, timeMs: clock.nowMs() });
    }
    const { segments } = store.counters();
    await clock.advance(2 * DAY);
    await retainTwice(brief);
    expect(starts(brief)[0]).toBeGreaterThan(400);
    expect(starts(kept)).toEqual([0, 0]);
    expect(store.counters().segments).toBeGreaterThanOrEqual(segments);
    expect(
      (await readAll(store, kept.streams)).records.get(kept.streams[0] as StreamId),
    ).toHaveLength(50);
  });
});

test('segments between those that stay go, and nobody takes that for damage', async () => {
  const kept = define('kept', {});
  const brief = define('brief', { retentionBytes: 60_000 });
  await fill(store, kept, 300, { bytes: 200, timeMs: clock.nowMs() });
  const { segments } = store.counters();
  await fill(store, brief, 2000, { bytes: 200, timeMs: clock.nowMs() });
  await fill(store, kept, 300, { bytes: 200, timeMs: clock.nowMs() });
  await store.retain();
  const all = await readAll(store, kept.streams);
  expect([...all.records.values()].flat()).toHaveLength(600);
  expect(store.counters().segments).toBeLessThan(segments + 7);
  expect(await folderSize(place.folder)).toBeLessThan(350_000);
  await store.close();
  await open();
  expect(await readAll(store, kept.streams)).toEqual(all);
  await store.scrub();
  expect(store.counters().scrub.findings).toBe(0);
  expect(await entriesOf(store)).toEqual([]);
  const damage = logger.lines.filter(({ level }) => level === 'error' || level === 'warn');
  expect(damage).toEqual([]);
});

describe('by bytes', () => {
  test('a topic is kept below its cap, the oldest of all its partitions go first', async () => {
    const topic = define('t', { retentionBytes: 100_000 });
    await fill(store, topic, 3000, { bytes: 200 });
    expect(store.reader.topicBytes('t')).toBeGreaterThan(600_000);
    await store.retain();
    expect(store.reader.topicBytes('t')).toBeLessThanOrEqual(100_000);
    expect(store.reader.topicBytes('t')).toBeGreaterThan(20_000);
    const [left = 0, right = 0] = starts(topic);
    expect(Math.abs(left - right)).toBeLessThanOrEqual(1);
    expect(await folderSize(place.folder)).toBeLessThan(300_000);
    expect(store.counters().recordsDropped).toBe(0);
    const bytes = store.reader.topicBytes('t');
    await store.close();
    await open();
    expect(store.reader.topicBytes('t')).toBe(bytes);
  });

  test('the cap forces out what a mirror has not had: counted, and logged with the range', async () => {
    const topic = define('t', { retentionMs: DAY, retentionBytes: 100_000 });
    const stream = topic.streams[0] as StreamId;
    const mirror = await store.positions('mirror', { pins: true });
    await mirror.advance(new Map([[stream, 0]]));
    await fill(store, topic, 3000, { bytes: 200, timeMs: clock.nowMs() });
    await mirror.advance(new Map([[stream, 10]]));
    await store.retain();
    const [start = 0] = starts(topic);
    expect(start).toBeGreaterThan(1000);
    const { recordsDropped, bytesDropped } = store.counters();
    expect(recordsDropped).toBe(start - 10);
    expect(bytesDropped).toBeGreaterThan(recordsDropped * 200);
    expect(bytesDropped).toBeLessThan(recordsDropped * 280);
    const warnings = logger.lines.filter(({ level }) => level === 'warn');
    expect(warnings).toEqual([
      {
        level: 'warn',
        message: expect.stringMatching(/^\d+ records of t\/0 were dropped: .* before mirror had/u),
        fields: {
          event: 'store.dropped',
          topic: 't',
          partition: 0,
          fromOffset: 10,
          toOffset: start,
          records: recordsDropped,
          bytes: bytesDropped,
          reason: 'retention',
          detail: expect.stringContaining('cap of 97.7 KiB was reached'),
          mirror: undefined,
        },
      },
    ]);
    await store.retain();
    expect(store.counters().recordsDropped).toBe(recordsDropped);
  });

  test('what a mirror had by the time that starts move is not lost', async () => {
    await store.close();
    const faults = noFaults();
    const engine = faultyEngine(memoryEngine(new MemoryDisk()), faults);
    store = await place.open({ clock, logger, segmentBytes: 30_000, engine });
    const topic = define('t', { partitions: 1, retentionBytes: 60_000 });
    const [stream] = topic.streams as [StreamId];
    const positions = await store.positions('mirror.far', { pins: true });
    await positions.advance(new Map([[stream, 0]]));
    await fill(store, topic, 2000);
    const reads = Promise.withResolvers<void>();
    faults.holdReads = reads.promise;
    const retaining = store.retain();
    await positions.advance(new Map([[stream, 2000]]));
    reads.resolve();
    await retaining;
    expect(starts(topic)[0]).toBeGreaterThan(1000);
    expect(await entriesOf(store)).toEqual([]);
  });

  test('a small topic in one segment is rolled out of it, so that its space comes back', async () => {
    await store.close();
    store = await place.open({ clock, logger, compression: 'none' });
    const topic = define('t', { retentionBytes: 50_000 });
    await fill(store, topic, 8000, { bytes: 250, perCommit: 50 });
    await store.retain();
    for (let round = 0; round < 4; round++) {
      await fill(store, topic, 100, { bytes: 250 });
      await store.retain();
    }
    expect(store.reader.topicBytes('t')).toBeLessThan(60_000);
    expect(await folderSize(place.folder)).toBeLessThan(300_000);
  });
});

test('expiry by time goes by when a record was stored, not by what its timestamp says', async () => {
  const topic = define('t', { retentionMs: DAY, retentionBytes: 100_000 });
  const century = 36_525 * DAY;
  await append(store, topic.streams[0] as StreamId, { timestampMs: clock.nowMs() + century });
  await fill(store, topic, 200, { bytes: 200, timeMs: clock.nowMs() });
  await clock.advance(2 * DAY);
  await retainTwice(topic);
  expect(starts(topic)[0]).toBe(101);
  await append(store, topic.streams[0] as StreamId, { timestampMs: 0 });
  await fill(store, topic, 200, { bytes: 200, timeMs: clock.nowMs() - century });
  await clock.advance(DAY / 2);
  await retainTwice(topic);
  expect(starts(topic)[0]).toBe(101);
});

test('reading, appending and retention at once: nobody is disturbed', async () => {
  const topic = define('t', { retentionBytes: 60_000 });
  const ended = new AbortController();
  const retaining = (async () => {
    while (!ended.signal.aborted) await store.retain();
  })();
  const reading = (async () => {
    const cursor = store.reader.cursor(new Map(topic.streams.map((stream) => [stream, 0])));
    const next = new Map(topic.streams.map((stream) => [stream, 0]));
    while ([...next.values()].some((offset) => offset < 1500)) {
      await cursor.wait(AbortSignal.timeout(20_000));
      const { slices, gaps } = await cursor.next({ maxRecords: 100, maxBytes: 10_000 });
      for (const { stream, fromOffset, toOffset, reason } of gaps) {
        expect({ reason, fromOffset }).toEqual({
          reason: 'retention',
          fromOffset: next.get(stream),
        });
        next.set(stream, toOffset);
      }
      for (const { stream, records } of slices) {
        expect(records[0]?.offset).toBe(next.get(stream));
        next.set(stream, (records.at(-1)?.offset ?? 0) + 1);
      }
    }
  })();
  await fill(store, topic, 3000, { bytes: 200 });
  await reading;
  ended.abort();
  await retaining;
  expect(ends(topic)).toEqual([1500, 1500]);
  await store.retain();
  expect(store.reader.topicBytes('t')).toBeLessThanOrEqual(60_000);
});

test('a schedule runs it', async () => {
  await store.close();
  store = await place.open({
    clock,
    logger,
    segmentBytes: 30_000,
    compression: 'none',
    retentionSchedule: '* * * * * *',
  });
  const topic = define('t', { retentionBytes: 50_000 });
  await fill(store, topic, 2000, { bytes: 200 });
  await clock.advance(2000);
  await expect.poll(() => starts(topic)[0], { timeout: 10_000 }).toBeGreaterThan(0);
});
