import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/limits.ts';
import type { Loss } from '../../src/loss.ts';
import { seededRandom } from '../../src/random.ts';
import type { StreamId } from '../../src/record.ts';
import type { Engine, SpaceReserve } from '../../src/store/database.ts';
import type { DiskStatus, Store, TopicInfo, TopicOptions } from '../../src/store/log.ts';
import { openStore, type StoreOptions } from '../../src/store/open.ts';
import { faultyEngine, noFaults, type Faults } from '../support/faulty-engine.ts';
import { MemoryDisk, memoryEngine } from '../support/memory-engine.ts';
import { SimClock } from '../support/sim-clock.ts';
import {
  append,
  entriesOf,
  fill,
  FOREVER,
  readAll,
  rememberingLogger,
  text,
} from '../support/store-kit.ts';

const MIB = 1_048_576;
/** The unit of room is 1 MiB. */
const TOTAL = 64 * MIB;

let disk: MemoryDisk;
let faults: Faults;
let clock: SimClock;
let logger: ReturnType<typeof rememberingLogger>;
let store: Store;
/** Free bytes on a disk on which the log takes what it takes. */
let free: () => Promise<number>;
let reserved = 0;

const space: SpaceReserve = {
  bytes: async () => reserved,
  grow: async (chunk) => {
    reserved += chunk.length;
  },
  shrink: async (to) => {
    reserved = to;
  },
  relieve: async () => false,
};
const logBytes = async (engine: Engine): Promise<number> => {
  let bytes = 0;
  for (const first of await engine.segments()) bytes += await engine.segmentBytes(first);
  return bytes;
};
const open = async (options: Partial<StoreOptions> = {}): Promise<void> => {
  const inner = memoryEngine(disk);
  const engine: Engine = {
    ...faultyEngine(inner, faults),
    room: async () => ({ freeBytes: await free(), totalBytes: TOTAL }),
    otherBytes: async () => reserved,
    reserve: space,
  };
  const parts = { folder: 'memory', clock, logger, random: seededRandom(1), engine };
  store = await openStore({ ...parts, segmentBytes: MIB, compression: 'none', ...options });
};
const define = (name: string, options: Partial<TopicOptions> = {}): TopicInfo =>
  store.writer.defineTopic(name, { ...FOREVER, partitions: 1, ...options });
const of = ({ streams }: TopicInfo): StreamId => streams[0] as StreamId;
const startOf = (topic: TopicInfo): number => store.reader.range(of(topic)).startOffset;
const status = (): DiskStatus => store.counters().disk;
const look = async (): Promise<DiskStatus> => {
  await clock.advance(LIMITS.diskFreeMs);
  status();
  await clock.advance(LIMITS.diskFreeMs);
  await clock.settle();
  return status();
};
const LOST: Loss = {
  topic: 'other',
  partition: 0,
  fromOffset: 0,
  toOffset: 1,
  records: 1,
  bytes: 10,
  reason: 'corruption',
  detail: 'a test',
  mirror: undefined,
};
/** Commits of 50 records of 2000 bytes. */
const fillWith = (topic: TopicInfo, mebibytes: number): Promise<void> =>
  fill(store, topic, Math.round((mebibytes * MIB) / 2000), { bytes: 2000, perCommit: 50 });

beforeEach(async () => {
  disk = new MemoryDisk();
  faults = noFaults();
  clock = new SimClock();
  logger = rememberingLogger();
  reserved = 0;
  free = async () => TOTAL;
  await open();
});
afterEach(() => store.close());

test('nothing is measured, and no reserve made smaller, once the store is closing', async () => {
  const topic = define('t');
  await append(store, of(topic));
  await look();
  let measured = 0;
  free = async () => {
    measured++;
    return TOTAL;
  };
  await clock.advance(2 * LIMITS.diskFreeMs);
  const last = append(store, of(topic), { durability: 'none' });
  measured = 0;
  await store.close();
  await last;
  await clock.settle();
  expect(measured).toBe(0);
});

describe('a disk that fills', () => {
  test('is refused with a reason, and taken again after, each told once', async () => {
    const topic = define('t');
    await append(store, of(topic));
    free = async () => MIB - 1;
    expect((await look()).step).toBe('refuse');
    await expect(append(store, of(topic))).rejects.toMatchObject({
      code: 'STORE_FULL',
      message: expect.stringMatching(
        /has 1024.0 KiB left, and 0 B are kept in reserve.*free space/u,
      ),
    });
    expect(status()).toMatchObject({ refused: 1, entered: { refuse: 1, warn: 1 } });
    free = async () => 2 * MIB - 1;
    expect((await look()).step).toBe('refuse');
    free = async () => TOTAL;
    expect((await look()).step).toBe('ok');
    expect(await append(store, of(topic))).toBe(1);
    const told = logger.lines.filter(({ fields }) => fields['event'] === 'disk.step');
    expect(told.map(({ level, fields }) => `${level} ${String(fields['to'])}`)).toEqual([
      'error refuse',
      'info ok',
    ]);
  });

  test('is not overrun while a measure takes long', async () => {
    const topic = define('t');
    await append(store, of(topic));
    free = async () => 8 * MIB;
    expect((await look()).step).toBe('warn');
    const slow = Promise.withResolvers<number>();
    free = () => slow.promise;
    await expect(fillWith(topic, 16)).rejects.toMatchObject({ code: 'STORE_FULL' });
    const { bytesAppended } = store.counters();
    expect(bytesAppended).toBeGreaterThan(6 * MIB);
    expect(bytesAppended).toBeLessThan(8 * MIB);
    slow.resolve(8 * MIB);
    expect((await look()).step).toBe('warn');
    await append(store, of(topic));
  });

  test('gives up what was mirrored, and nothing else as long as that is enough', async () => {
    const topic = define('t');
    const other = define('other');
    const positions = await store.positions('mirror.far', { pins: true });
    await positions.advance(
      new Map([
        [of(topic), 0],
        [of(other), 0],
      ]),
    );
    await fillWith(topic, 10);
    await positions.advance(new Map([[of(topic), store.reader.range(of(topic)).endOffset]]));
    await fillWith(other, 5);
    const all = await logBytes(memoryEngine(disk));
    free = async () => 4.5 * MIB + all - (await logBytes(memoryEngine(disk)));
    expect((await look()).step).toBe('warn');
    expect(startOf(topic)).toBeGreaterThan(0);
    expect(startOf(other)).toBe(0);
    expect(status()).toMatchObject({ recordsDropped: 0, lastDroppedMs: null });
    expect(await entriesOf(store)).toEqual([]);
    expect((await readAll(store, [of(other)])).gaps).toEqual([]);
  });

  test('gives up what no mirror had, exactly as the ledger says, before it refuses', async () => {
    const topic = define('t');
    const positions = await store.positions('mirror.far', { pins: true });
    await positions.advance(new Map([[of(topic), 0]]));
    await fillWith(topic, 8);
    await positions.advance(new Map([[of(topic), 100]]));
    const all = await logBytes(memoryEngine(disk));
    free = async () => 2.5 * MIB + all - (await logBytes(memoryEngine(disk)));
    expect((await look()).step).toBe('drop-mirrored');
    const start = startOf(topic);
    expect(start).toBeGreaterThan(100);
    const [entry, ...rest] = await entriesOf(store);
    expect(rest).toEqual([]);
    expect(entry).toMatchObject({
      topic: 't',
      partition: 0,
      fromOffset: 100,
      toOffset: start,
      reason: 'disk-full',
      records: start - 100,
      detail: 'the disk was full before mirror.far had them',
    });
    expect(status()).toMatchObject({
      recordsDropped: start - 100,
      lastDroppedMs: expect.any(Number),
      entered: { refuse: 0 },
    });
    const { records, gaps } = await readAll(store, [of(topic)]);
    expect(gaps).toMatchObject([{ fromOffset: 0, toOffset: start, reason: 'retention' }]);
    expect(records.get(of(topic))?.[0]?.offset).toBe(start);
  });

  test('gives up no entry of the ledger that a mirror has not had: what would hold more waits', async () => {
    await store.close();
    await open({ ledgerIdleMs: 1000 });
    const topic = define('t');
    const positions = await store.positions('mirror.far', { pins: true });
    await positions.advance(new Map([[of(topic), 0]]));
    const record = async (count: number): Promise<void> => {
      await store.ledger.record([{ ...LOST, fromOffset: count * 2, toOffset: count * 2 + 1 }]);
      await clock.advance(LIMITS.ledgerRetryMs * 2);
      await clock.settle();
    };
    await record(0);
    const [stream] = store.reader.topic('_gaps')?.streams ?? [];
    if (stream === undefined) throw new Error('the first entry is in _gaps');
    await positions.advance(new Map([[stream, 0]]));
    for (let count = 1; count < 10; count++) {
      await fillWith(topic, 1);
      await record(count);
    }
    const kept = async (): Promise<unknown[]> => {
      const { records, gaps } = await readAll(store, [stream]);
      expect(gaps).toEqual([]);
      return [...records.values()].flat().map(({ value }) => JSON.parse(String(text(value))));
    };
    const all = await logBytes(memoryEngine(disk));
    free = async () => 0.5 * MIB + all - (await logBytes(memoryEngine(disk)));
    await look();
    expect(startOf(topic)).toBeGreaterThan(3 * 524);
    expect(status().step).not.toBe('refuse');
    const held = await kept();
    expect(held.length).toBeLessThan(5);
    expect((await entriesOf(store)).filter((entry) => entry.topic === '_gaps')).toEqual([]);
    free = async () => 100 * MIB;
    const noted = Array.from({ length: 10 }, (_, at) => ({ topic: 'other', firstOffset: at * 2 }));
    await expect
      .poll(async () => {
        await clock.advance(LIMITS.ledgerRetryMs);
        await positions.advance(new Map([[stream, store.reader.range(stream).endOffset]]));
        return (await kept()).filter((entry) => (entry as { topic: string }).topic === 'other');
      })
      .toMatchObject(noted);
  });

  test('when the ledger can’t be written nothing is dropped, and it is tried again', async () => {
    const topic = define('t');
    await fillWith(topic, 8);
    const all = await logBytes(memoryEngine(disk));
    free = async () => 2.5 * MIB + all - (await logBytes(memoryEngine(disk)));
    faults.failState = true;
    await look();
    expect([startOf(topic), status().segmentsDropped]).toEqual([0, 0]);
    faults.failState = false;
    await look();
    expect(startOf(topic)).toBeGreaterThan(0);
  });

  test('the segment being written is followed by another, so that it can be given up', async () => {
    await store.close();
    await open({ segmentBytes: 64 * MIB });
    const topic = define('t');
    await fillWith(topic, 6);
    expect(store.counters().segments).toBe(1);
    const all = await logBytes(memoryEngine(disk));
    free = async () => 2.5 * MIB + all - (await logBytes(memoryEngine(disk)));
    expect((await look()).segmentsDropped).toBe(1);
    const { endOffset, startOffset } = store.reader.range(of(topic));
    expect(startOffset).toBe(endOffset);
    expect(await append(store, of(topic))).toBe(endOffset);
    await store.close();
    await open();
    expect(store.reader.range(of(topic))).toEqual({ startOffset, endOffset: endOffset + 1 });
  });
});

describe('a topic that refuses', () => {
  test('is refused alone where its records keep the space, and goes on when they were mirrored', async () => {
    const keep = define('keep', { onFull: 'refuse' });
    const other = define('other', { priority: 0 });
    const positions = await store.positions('mirror.far', { pins: true });
    await positions.advance(new Map([[of(keep), 0]]));
    for (let round = 0; round < 8; round++) {
      await fillWith(keep, 0.5);
      await fillWith(other, 0.5);
    }
    const all = await logBytes(memoryEngine(disk));
    free = async () => 2.5 * MIB + all - (await logBytes(memoryEngine(disk)));
    expect(await look()).toMatchObject({ step: 'drop-unmirrored', refusedTopics: ['keep'] });
    await expect(append(store, of(keep))).rejects.toMatchObject({
      code: 'STORE_FULL',
      message: expect.stringContaining('topic keep may not lose'),
    });
    await append(store, of(other));
    expect([startOf(keep), startOf(other)]).toEqual([0, 0]);
    await positions.advance(new Map([[of(keep), store.reader.range(of(keep)).endOffset]]));
    expect(await look()).toMatchObject({ refusedTopics: [] });
    await append(store, of(keep));
    expect(startOf(keep)).toBeGreaterThan(0);
    const lost = (await entriesOf(store)).map(({ topic }) => topic);
    expect(new Set(lost)).toEqual(new Set(['other']));
  });

  test('and priority stand in the log: they are known after it was opened again', async () => {
    define('t', { onFull: 'refuse', priority: 9 });
    define('u', {});
    await store.close();
    await open();
    expect(store.reader.topic('t')?.options).toMatchObject({ onFull: 'refuse', priority: 9 });
    expect(store.reader.topic('u')?.options.onFull).toBeUndefined();
  });
});

test('the cap of the folder takes the disk’s place', async () => {
  await store.close();
  await open({ maxBytes: 16 * MIB });
  const topic = define('t');
  let largest = 0;
  for (let round = 0; round < 40; round++) {
    await fillWith(topic, 0.5);
    largest = Math.max(largest, (await look()).folderBytes ?? 0);
  }
  expect(largest).toBeLessThan(16 * MIB);
  expect(store.counters().segments).toBeGreaterThan(4);
  expect((await entriesOf(store))[0]).toMatchObject({
    detail: 'store.maxBytes was reached and no mirror has them',
    toOffset: startOf(topic),
  });
});

describe('writes that find no room where the measure sees some', () => {
  test('are heeded for longer each time, and in the end space is made', async () => {
    const topic = define('t');
    await fillWith(topic, 4);
    faults.reason = 'Disk quota exceeded';
    faults.failWrites = 1;
    await expect(append(store, of(topic))).rejects.toMatchObject({ code: 'STORE_FULL' });
    await clock.settle();
    // Once may be chance.
    expect(status().step).toBe('ok');
    faults.failWrites = 1;
    await expect(append(store, of(topic))).rejects.toMatchObject({ code: 'STORE_FULL' });
    await clock.settle();
    expect(status().step).toBe('refuse');
    expect(startOf(topic)).toBe(0);
    await clock.advance(2 * LIMITS.diskFullFirstMs);
    faults.failWrites = 1;
    await expect(append(store, of(topic))).rejects.toMatchObject({ code: 'STORE_FULL' });
    await clock.settle();
    await clock.advance(LIMITS.diskFreeMs);
    expect(startOf(topic)).toBeGreaterThan(0);
    await clock.advance(8 * LIMITS.diskFullFirstMs);
    await expect.poll(() => append(store, of(topic)).catch(() => -1)).toBeGreaterThan(0);
    expect(status().step).toBe('ok');
  });
});

describe('the reserve', () => {
  test('is made in the background, bit by bit, and not at the price of the log', async () => {
    await store.close();
    await open({ reserveBytes: 4 * MIB });
    expect([reserved, status().reserveTargetBytes]).toEqual([0, 4 * MIB]);
    await clock.advance(LIMITS.reserveDelayMs + LIMITS.reserveChunkMs);
    expect(reserved).toBeGreaterThan(0);
    expect(reserved).toBeLessThan(4 * MIB);
    await clock.advance(4 * LIMITS.reserveChunkMs);
    expect(reserved).toBe(4 * MIB);
    // Some of it was needed: what is missing is kept free until it can be made again.
    reserved = MIB;
    free = async () => 3.5 * MIB;
    expect(await look()).toMatchObject({ step: 'refuse', roomBytes: 0.5 * MIB });
    expect(reserved).toBe(MIB);
    free = async () => 3 * MIB + 20 * MIB;
    await look();
    await clock.advance(4 * LIMITS.reserveChunkMs);
    expect(reserved).toBe(4 * MIB);
  });

  test('of a smaller configuration gives back what is too much; a small disk has a small one', async () => {
    reserved = 32 * MIB;
    await store.close();
    await open({ reserveBytes: 64 * MIB });
    expect(reserved).toBe(TOTAL / 8);
  });
});
