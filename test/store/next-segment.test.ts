import { afterEach, beforeEach, expect, test } from 'vitest';
import { seededRandom } from '../../src/random.ts';
import type { StreamId } from '../../src/record.ts';
import type { Store, TopicInfo } from '../../src/store/log.ts';
import { openStore } from '../../src/store/open.ts';
import type { Writer } from '../../src/store/writer.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { faultyEngine, noFaults, type Faults } from '../support/faulty-engine.ts';
import { MemoryDisk, memoryEngine } from '../support/memory-engine.ts';
import { append, appendOnce, fill, FOREVER, readAll } from '../support/store-kit.ts';

/** The segment that was made ahead of need, when it can't be used as planned. */
let disk: MemoryDisk;
let faults: Faults;
let store: Store;
let topic: TopicInfo;
let stream: StreamId;

const open = (): Promise<Store> =>
  openStore({
    folder: 'memory',
    engine: faultyEngine(memoryEngine(disk), faults),
    clock: systemClock,
    random: seededRandom(1),
    logger: silentLogger,
    segmentBytes: 4096,
  });

/** Until one more stands there, empty. */
async function untilMadeAhead(): Promise<void> {
  const { segments } = store.counters();
  for (let count = 0; store.counters().segments === segments; count++) {
    const value = Buffer.from(seededRandom(count).hex(100), 'hex');
    await append(store, stream, { value });
  }
}

beforeEach(async () => {
  disk = new MemoryDisk();
  faults = noFaults();
  store = await open();
  topic = store.writer.defineTopic('telemetry', FOREVER);
  stream = topic.streams[0] as StreamId;
});

afterEach(async () => {
  await store.close();
});

test('one that a search is looking at while room is made stays the next: nothing is hidden by it', async () => {
  await untilMadeAhead();
  const reading = Promise.withResolvers<void>();
  faults.holdReads = reading.promise;
  const search = store.reader.offsetAtTime(stream, 5000);
  await (store.writer as Writer).roll();
  faults.holdReads = undefined;
  reading.resolve();
  await search;
  await fill(store, topic, 200, { perCommit: 1 });
  const { records, gaps } = await readAll(store, [stream]);
  expect(gaps).toEqual([]);
  expect(records.get(stream)).toHaveLength(store.reader.range(stream).endOffset);
});

test('one that can not be opened again fails no commit, and the log goes on knowing its producers', async () => {
  await appendOnce(store, 'edge/a/0', 7, stream, Buffer.from('once'));
  await fill(store, topic, 2000);
  await untilMadeAhead();
  for (let count = 0; count < 4; count++) await readAll(store, topic.streams); // Closed, as idle.
  faults.failOpening = true;
  await fill(store, topic, 200, { perCommit: 1 });
  faults.failOpening = false;
  await fill(store, topic, 200, { perCommit: 1 });
  const { endOffset } = store.reader.range(stream);
  await store.close();
  store = await open();
  expect(await appendOnce(store, 'edge/a/0', 7, stream, Buffer.from('once'))).toBe(-1);
  const { records, gaps } = await readAll(store, [stream]);
  expect(gaps).toEqual([]);
  expect(records.get(stream)).toHaveLength(endOffset);
});
