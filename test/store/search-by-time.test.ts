import { afterEach, expect, test } from 'vitest';
import { seededRandom } from '../../src/random.ts';
import type { StreamId } from '../../src/record.ts';
import type { Store } from '../../src/store/log.ts';
import { openStore } from '../../src/store/open.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { DAY_MS } from '../../src/units.ts';
import { MemoryDisk, memoryEngine } from '../support/memory-engine.ts';
import { append, FOREVER } from '../support/store-kit.ts';

/** A search by time only looks: what it passed over is not lost. */
let store: Store;

afterEach(async () => {
  await store.close();
});

test.each([
  ['a few records', 5],
  ['many, with checkpoints between them', 400],
])('a search beyond a stream’s last record declares nothing lost: %s', async (_what, count) => {
  store = await openStore({
    folder: 'memory',
    engine: memoryEngine(new MemoryDisk()),
    clock: systemClock,
    random: seededRandom(1),
    logger: silentLogger,
    segmentBytes: 8_388_608,
  });
  const topic = store.writer.defineTopic('telemetry', { ...FOREVER, partitions: 3 });
  const [left, right, none] = topic.streams as [StreamId, StreamId, StreamId];
  const value = Buffer.from(seededRandom(7).hex(4000), 'hex');
  for (let number = 0; number < 5; number++) await append(store, left, { timestampMs: number });
  for (let number = 0; number < count; number++)
    await append(store, right, { timestampMs: number, value });
  const { reader } = store;
  // Later than any of the clocks that commits were written by.
  const future = systemClock.nowMs() + DAY_MS;
  expect(await reader.offsetAtTime(left, future)).toBe(5);
  expect(await reader.offsetAtTime(left, 3)).toBe(3);
  expect(await reader.offsetAtTime(right, count - 1)).toBe(count - 1);
  expect(await reader.offsetAtTime(right, future)).toBe(count);
  expect(await reader.offsetAtTime(none, 0)).toBe(0);
  for await (const entry of store.ledger.entries()) expect(entry).toBeUndefined();
});
