import { readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { seededRandom } from '../../src/random.ts';
import type { StreamId } from '../../src/record.ts';
import { unpackCheckpoint } from '../../src/store/checkpoint.ts';
import { entryKey } from '../../src/store/commit-key.ts';
import { FRAME_HEADER_BYTES, readFrame, writeFrame, type Frame } from '../../src/store/frame.ts';
import type { ReadGap, Store, TopicInfo } from '../../src/store/log.ts';
import { openStore } from '../../src/store/open.ts';
import { packed } from '../../src/store/pack.ts';
import { MemoryDisk, memoryEngine } from '../support/memory-engine.ts';
import {
  append,
  fill,
  FOREVER,
  NONE,
  onDisk,
  readAll,
  rememberingLogger,
  type Drained,
  type Place,
} from '../support/store-kit.ts';
import { systemClock } from '../../src/time.ts';

/** Damage as our own checks see it, entry by entry (in memory), and as LevelDB hands it on. */
let disk: MemoryDisk;
let place: Place;
let topic: TopicInfo;
let left: StreamId;
let right: StreamId;

const openMemory = (logger = rememberingLogger()): Promise<Store> =>
  openStore({
    folder: 'memory',
    engine: memoryEngine(disk),
    clock: systemClock,
    random: seededRandom(1),
    logger,
  });

/** 20 commits of one record for each of two partitions; returns the number of the first. */
async function twentyCommits(store: Store): Promise<number> {
  topic = store.writer.defineTopic('t', FOREVER);
  [left, right] = topic.streams as unknown as [StreamId, StreamId];
  await append(store, left);
  await append(store, right);
  const first = store.counters().commits + 1;
  for (let index = 0; index < 20; index++) {
    await append(store, index % 2 === 0 ? left : right, { value: Buffer.from(String(index)) });
  }
  return first;
}

/** Every offset of the stream is either read once or in one gap. */
function expectTotal({ records, gaps }: Drained, stream: StreamId, end: number): void {
  const seen = (records.get(stream) ?? []).map(({ offset }) => offset);
  for (const gap of gaps.filter((candidate) => candidate.stream === stream)) {
    for (let offset = gap.fromOffset; offset < gap.toOffset; offset++) seen.push(offset);
  }
  expect(seen.toSorted((a, b) => a - b)).toEqual(Array.from({ length: end }, (_, index) => index));
}

beforeEach(async () => {
  disk = new MemoryDisk();
  place = await onDisk.make();
});
afterEach(async () => {
  await place.remove();
});

test('a damaged or missing commit is a gap of exactly its offsets, and reading goes on', async () => {
  const store = await openMemory();
  const first = await twentyCommits(store);
  const segment = disk.databases.get('1');
  const damaged = entryKey(first + 4, 'commit');
  const value = Buffer.from((await segment?.get(damaged)) ?? []);
  value[20] = (value[20] ?? 0) ^ 1;
  await segment?.put(damaged, value);
  await segment?.del(entryKey(first + 7, 'commit'));
  const drained = await readAll(store, topic.streams);
  const gaps: ReadGap[] = [
    { stream: left, fromOffset: 3, toOffset: 4, reason: 'corruption' },
    { stream: right, fromOffset: 4, toOffset: 5, reason: 'corruption' },
  ];
  expect(drained.gaps).toEqual(gaps);
  expectTotal(drained, left, 11);
  expectTotal(drained, right, 11);
  await store.close();
});

test('damage at the very end: no offset that may have been acknowledged is given out again', async () => {
  let store = await openMemory();
  const first = await twentyCommits(store);
  await store.close();
  const segment = disk.databases.get('1');
  for (const commit of [first + 18, first + 19]) {
    await segment?.put(entryKey(commit, 'commit'), Buffer.from('rotten'));
  }
  const logger = rememberingLogger();
  store = await openMemory(logger);
  expect(logger.lines.find(({ level }) => level === 'error')?.message).toMatch(
    /commits at the end of the log are missing or damaged/u,
  );
  const offset = await append(store, left);
  expect(offset).toBe(11); // A clean close knows it exactly.
  const drained = await readAll(store, topic.streams);
  expectTotal(drained, left, offset + 1);
  expect(drained.gaps.map(({ stream, fromOffset }) => [stream, fromOffset])).toEqual([
    [left, 10],
    [right, 10],
  ]);
  await store.close();
});

test('commits gone from the end without a trace: a clean close remembered the last one', async () => {
  let store = await openMemory();
  const first = await twentyCommits(store);
  await store.close();
  await disk.databases.get('1')?.del(entryKey(first + 19, 'commit'));
  const logger = rememberingLogger();
  store = await openMemory(logger);
  expect(logger.lines.find(({ level }) => level === 'error')?.message).toMatch(
    /the log ends before/u,
  );
  const offset = await append(store, right);
  expect(offset).toBe(11); // A clean close knows it exactly.
  expectTotal(await readAll(store, topic.streams), right, offset + 1);
  await store.close();
});

/** As written by an earlier version, and not closed. */
async function forgetEnd(): Promise<void> {
  for (const key of ['log-end', 'log-synced']) {
    await disk.databases.get('state')?.del(Buffer.from(key));
  }
}

test('a reader was further than the log: its partition goes on after the position', async () => {
  let store = await openMemory();
  const first = await twentyCommits(store);
  const positions = await store.positions('mirror', { pins: true });
  await positions.advance(new Map([[right, 11]]));
  await store.close();
  // The disk took back synced commits without a trace.
  const segment = disk.databases.get('1');
  for (let index = 10; index < 20; index++) {
    await segment?.del(entryKey(first + index, 'commit'));
  }
  await forgetEnd(); // It was not closed cleanly.
  const logger = rememberingLogger();
  store = await openMemory(logger);
  expect(logger.lines.find(({ level }) => level === 'error')?.message).toMatch(
    /synced records are gone/u,
  );
  expect(await append(store, right)).toBe(11);
  await store.close();
  store = await openMemory();
  expect(await append(store, right)).toBe(12);
  await store.close();
});

test('all commits after the last checkpoint are gone: the next one does not point to itself', async () => {
  let store = await openMemory();
  topic = store.writer.defineTopic('t', FOREVER);
  [left, right] = topic.streams as unknown as [StreamId, StreamId];
  await fill(store, topic, 3000, { bytes: 1000, perCommit: 100 });
  const positions = await store.positions('mirror', { pins: true });
  await positions.advance(new Map([[right, 1500]]));
  await store.close();
  const segment = disk.databases.get('1');
  const keys = (await segment?.keys().all()) ?? [];
  const last = keys.findLast((key) => key[8] === 1) ?? NONE;
  for (const key of keys) if (Buffer.compare(key, last) > 0) await segment?.del(key);
  await forgetEnd(); // It was not closed cleanly.
  store = await openMemory();
  expect(await append(store, right)).toBe(1500);
  const at = await store.reader.offsetAtTime(left, 2000);
  expect((await readAll(store, [left])).records.get(left)?.[at]?.timestampMs).toBe(2000);
  await store.close();
  const value = await segment?.get(last);
  const frame = value === undefined ? undefined : readFrame(last, value);
  const checkpoint = frame === undefined ? undefined : unpackCheckpoint(frame.head);
  expect(checkpoint?.previous).toBe(-1);
  expect(checkpoint?.next[right]).toBe(1500);
});

test('a damaged checkpoint: the one before it and the commits after it are enough', async () => {
  let store = await openMemory();
  topic = store.writer.defineTopic('t', FOREVER);
  await fill(store, topic, 3000, { bytes: 1000, perCommit: 100 });
  const ends = topic.streams.map((stream) => store.reader.range(stream));
  await store.close();
  const segment = disk.databases.get('1');
  const keys = (await segment?.keys().all()) ?? [];
  const checkpoints = keys.filter((key) => key[8] === 1);
  expect(checkpoints.length).toBeGreaterThan(3);
  await segment?.put(checkpoints.at(-1) ?? new Uint8Array(0), Buffer.from('rotten'));
  store = await openMemory();
  expect(topic.streams.map((stream) => store.reader.range(stream))).toEqual(ends);
  expect((await readAll(store, topic.streams)).gaps).toEqual([]);
  await store.close();
});

test('LevelDB’s files damaged at random: every offset is read unchanged, or told as a gap', async () => {
  const random = seededRandom(11);
  let told = 0;
  for (let round = 0; round < 12; round++) {
    const here = await onDisk.make();
    let store = await here.open({ segmentBytes: 200_000 });
    topic = store.writer.defineTopic('t', FOREVER);
    await fill(store, topic, 3000, { bytes: 200, perCommit: 30 });
    const whole = (await readAll(store, topic.streams)).records;
    await store.close();
    const files = (await readdir(join(here.folder, 'log'), { recursive: true }))
      .filter((name) => /\.(?:ldb|log)$/u.test(name))
      .toSorted();
    const file = join(here.folder, 'log', files[Math.floor(random.next() * files.length)] ?? '');
    const bytes = await readFile(file);
    const at = Math.floor(random.next() * bytes.length);
    if (round % 2 === 0) bytes[at] = (bytes[at] ?? 0) ^ (1 << (round % 8));
    else bytes.fill(0, at, at + 4096);
    await writeFile(file, bytes);
    store = await here.open();
    const drained = await readAll(store, topic.streams);
    told += drained.gaps.length;
    for (const stream of topic.streams) {
      expectTotal(drained, stream, store.reader.range(stream).endOffset);
      expect(store.reader.range(stream).endOffset).toBeGreaterThanOrEqual(1500);
      for (const record of drained.records.get(stream) ?? []) {
        expect(record).toEqual(whole.get(stream)?.[record.offset]);
      }
    }
    await store.close();
    await here.remove();
  }
  expect(told).toBeGreaterThan(0);
}, 120_000);

test('a newest segment that can’t be read to its checkpoint is repaired on opening', async () => {
  let repaired = 0;
  let broken = true;
  const engine = memoryEngine(disk);
  await (await openMemory()).close();
  const store = await openStore({
    folder: 'memory',
    clock: systemClock,
    random: seededRandom(1),
    logger: rememberingLogger(),
    engine: {
      ...engine,
      repairSegment: async () => {
        repaired++;
        broken = false;
      },
      openSegment: async (first, how) => {
        const database = await engine.openSegment(first, how);
        const corrupt = Object.assign(new Error('Corruption: bad block'), {
          code: 'LEVEL_CORRUPTION',
        });
        return {
          put: (key, value, sync) => database.put(key, value, sync),
          write: (writes) => database.write(writes),
          get: (key) => database.get(key),
          entries: (range) => {
            const entries = database.entries(range);
            const next = (): Promise<never> => Promise.reject(corrupt);
            return broken ? { next, close: () => entries.close() } : entries;
          },
          sync: () => database.sync(),
          close: () => database.close(),
        };
      },
    },
  });
  expect(repaired).toBe(1);
  await twentyCommits(store);
  await store.close();
});

test('a segment whose books are damaged is repaired; one that is gone is a gap', async () => {
  for (const damage of ['MANIFEST', 'folder'] as const) {
    const here = await onDisk.make();
    let store = await here.open({ segmentBytes: 100_000 });
    topic = store.writer.defineTopic('t', FOREVER);
    await fill(store, topic, 3000, { bytes: 200, perCommit: 30 });
    await store.close();
    const segments = (await readdir(join(here.folder, 'log'))).toSorted();
    const second = join(here.folder, 'log', segments[1] ?? '');
    if (damage === 'folder') {
      await rm(second, { recursive: true });
    } else {
      const files = await readdir(second);
      await writeFile(join(second, files.find((name) => name.startsWith('MANIFEST')) ?? ''), 'x');
    }
    store = await here.open();
    const drained = await readAll(store, topic.streams);
    expect(drained.gaps).toHaveLength(damage === 'folder' ? 2 : 0);
    for (const stream of topic.streams) {
      expectTotal(drained, stream, 1500);
      expect(drained.records.get(stream)?.length).toBeGreaterThan(700);
      expect(await store.reader.offsetAtTime(stream, 3990)).toBe(1495);
    }
    await store.close();
    await here.remove();
  }
});

type HostileCommit = (offset: number) => Omit<Frame, 'rawBodyBytes'>;

/** Commits whose checksum is right and that no writer of ours makes. */
const hostileCommits: readonly (readonly [string, HostileCommit])[] = [
  ['noise', () => ({ head: Buffer.from('noise'), body: Buffer.from('noise'), compressed: false })],
  [
    'a head that claims 2^32 runs',
    () => ({ head: Buffer.from([0xdd, 255, 255, 255, 255]), body: NONE, compressed: false }),
  ],
  [
    'offsets beyond the end of the log',
    () => ({
      head: packed([0, 0, Buffer.from([0, 1, 0xff, 0xff, 0xff, 0x7f, 0, 0])]),
      body: NONE,
      compressed: false,
    }),
  ],
  [
    'a body that is none',
    (offset) => ({
      head: packed([0, 0, Buffer.from([0, 1, offset, 2, 0])]),
      body: Buffer.from('noise'),
      compressed: true,
    }),
  ],
  [
    'a body that does not come to its head',
    (offset) => ({
      head: packed([0, 0, Buffer.from([0, 1, offset, 2, 0])]),
      body: packed([0, NONE, 0, NONE, 2 ** 40, NONE, 0, NONE, Buffer.from('ab')]),
      compressed: false,
    }),
  ],
];

test.each(hostileCommits)(
  'a commit of %s is a gap, for readers and on opening',
  async (_, make) => {
    for (const last of [false, true]) {
      disk = new MemoryDisk();
      let store = await openMemory();
      const first = await twentyCommits(store);
      const key = entryKey(first + (last ? 18 : 4), 'commit');
      const offset = last ? 10 : 3;
      const { head, body, compressed } = make(offset);
      const rawBodyBytes = compressed ? 100 : body.length;
      const target = Buffer.alloc(FRAME_HEADER_BYTES + head.length + body.length);
      const value = writeFrame(target, key, { head, body, compressed, rawBodyBytes });
      await disk.databases.get('1')?.put(key, value);
      if (last) {
        await store.close();
        store = await openMemory();
      }
      const drained = await readAll(store, topic.streams);
      expect(drained.gaps.find(({ stream }) => stream === left)).toMatchObject({
        fromOffset: offset,
        reason: 'corruption',
      });
      const { endOffset } = store.reader.range(left);
      expect(endOffset).toBeLessThan(20_000);
      expectTotal(drained, left, endOffset);
      expect(drained.records.get(left)?.length).toBe(10);
      expect(await append(store, left)).toBeGreaterThanOrEqual(11);
      await store.close();
    }
  },
);
