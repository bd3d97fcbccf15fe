import { afterEach, beforeEach, expect, test } from 'vitest';
import { LIMITS } from '../../src/limits.ts';
import { seededRandom } from '../../src/random.ts';
import type { Store, TopicInfo } from '../../src/store/log.ts';
import { openStore } from '../../src/store/open.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { MemoryDisk, memoryEngine } from '../support/memory-engine.ts';
import { SimClock } from '../support/sim-clock.ts';
import { append, FOREVER } from '../support/store-kit.ts';

/** What a full disk of which nothing may be given up asks of the log, again and again. */
let disk: MemoryDisk;
let clock: SimClock;
let store: Store;
let opened = 0;

async function open(): Promise<void> {
  const inner = memoryEngine(disk);
  const engine: typeof inner = {
    ...inner,
    openSegment: (first, how) => {
      opened++;
      return inner.openSegment(first, how);
    },
  };
  const parts = { folder: 'memory', clock, random: seededRandom(1), logger: silentLogger, engine };
  store = await openStore({ ...parts, segmentBytes: 1000, compression: 'none' });
}

/** By each of so many looks at the disk. */
async function openedBy(looks: number, before: () => Promise<void> = async () => {}) {
  const found: number[] = [];
  for (let look = 0; look < looks; look++) {
    await before();
    opened = 0;
    await clock.advance(LIMITS.diskFreeMs);
    await clock.settle();
    found.push(opened);
  }
  return found;
}

/** As many streams as there may be, of topics that may lose nothing. */
function defineAll(): TopicInfo[] {
  const partitions = LIMITS.partitionsPerTopic;
  const options = { ...FOREVER, partitions, onFull: 'refuse' as const };
  return Array.from({ length: LIMITS.streams / partitions - 1 }, (_, at) =>
    store.writer.defineTopic(`t${at}`, options),
  );
}

async function fillSegments(count: number, topics: readonly TopicInfo[]): Promise<void> {
  while (store.counters().segments < count) {
    for (const { streams } of topics) {
      await Promise.all(streams.map((stream) => append(store, stream, { value: Buffer.alloc(9) })));
    }
  }
}

async function reopenOnFullDisk(): Promise<void> {
  await store.close();
  disk.freeBytes = 0;
  await open();
  expect(store.counters().disk.step).toBe('refuse');
}

beforeEach(async () => {
  disk = new MemoryDisk();
  clock = new SimClock();
  await open();
});
afterEach(() => store.close());

test('segments that are known are not opened, though mirrors go on and streams are many', async () => {
  const [first] = defineAll() as [TopicInfo];
  const few = { ...first, streams: first.streams.slice(0, 4) };
  const segments = 12;
  await fillSegments(segments, [few]);
  expect(segments * (LIMITS.streams / 2)).toBeGreaterThan(LIMITS.keptCheckpointStreams);
  await reopenOnFullDisk();
  const positions = await store.positions('mirror.central', { pins: true });
  let position = 0;
  const advance = async (): Promise<void> => {
    await positions.advance(new Map(few.streams.map((stream) => [stream, position])));
    position++;
  };
  await openedBy(1, advance);
  expect(await openedBy(3, advance)).toEqual([0, 0, 0]);
});

test('at rest none is opened, however much there is to be known', async () => {
  const topics = defineAll();
  const segments = 16;
  await fillSegments(segments, topics);
  const held = (segments - 1) * topics.length * LIMITS.partitionsPerTopic;
  expect(held).toBeGreaterThan(LIMITS.keptExtentStreams);
  await reopenOnFullDisk();
  await openedBy(1);
  expect(await openedBy(3)).toEqual([0, 0, 0]);
}, 60_000);
