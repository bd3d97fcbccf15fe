import { expect, test } from 'vitest';
import { LIMITS } from '../../src/limits.ts';
import { seededRandom } from '../../src/random.ts';
import type { StreamId } from '../../src/record.ts';
import type { Store } from '../../src/store/log.ts';
import { openStore } from '../../src/store/open.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { faultyEngine, noFaults } from '../support/faulty-engine.ts';
import { MemoryDisk, memoryEngine } from '../support/memory-engine.ts';
import { append, FOREVER, NONE } from '../support/store-kit.ts';

/** One commit. Rejects with the error of its records. */
function commitOf(store: Store, stream: StreamId, records: number): Promise<void> {
  return new Promise((resolve, reject) => {
    for (let index = 1; index <= records; index++) {
      store.writer.append(stream, 1000, null, null, NONE, 'fsync', (error) => {
        if (index < records) return;
        if (error === null) resolve();
        else reject(error);
      });
    }
  });
}

const options = {
  folder: 'memory',
  clock: systemClock,
  random: seededRandom(1),
  logger: silentLogger,
};

/** The offset given next after a kill with which all of the log is lost, and the state database is not. */
async function nextWithoutLog(store: Store, disk: MemoryDisk, stream: StreamId): Promise<number> {
  const after = new MemoryDisk();
  const left = await memoryEngine(after).openState();
  const state = disk.databases.get('state')?.iterator() ?? [];
  for await (const [key, value] of state) await left.put(key, value, true);
  await left.close();
  await store.close();
  const anew = await openStore({ ...options, engine: memoryEngine(after) });
  const offset = await append(anew, stream);
  await anew.close();
  return offset;
}

test('of a log of which nothing is left no offset is given again, noted or not', async () => {
  const disk = new MemoryDisk();
  const store = await openStore({ ...options, engine: memoryEngine(disk) });
  const [stream] = store.writer.defineTopic('t', { ...FOREVER, partitions: 1 }).streams;
  for (let commit = 0; commit < 100; commit++) await append(store, stream as StreamId);
  expect(await nextWithoutLog(store, disk, stream as StreamId)).toBeGreaterThanOrEqual(100);
});

test('commits that a failed write left behind are counted: no offset is given twice after a loss', async () => {
  const disk = new MemoryDisk();
  const faults = noFaults();
  const store = await openStore({ ...options, engine: faultyEngine(memoryEngine(disk), faults) });
  const topic = store.writer.defineTopic('t', { ...FOREVER, partitions: 1 });
  const [stream] = topic.streams as [StreamId];
  await append(store, stream);
  faults.writesArrive = true;
  const commits = LIMITS.reservedRecords / LIMITS.commitRecords + 2;
  for (let commit = 0; commit < commits; commit++) {
    faults.failWrites = 1;
    await expect(commitOf(store, stream, LIMITS.commitRecords)).rejects.toThrow('injected');
    const takes = (): Promise<unknown> => commitOf(store, stream, 1).catch(() => false);
    await expect.poll(takes, { interval: 1 }).not.toBe(false);
  }
  const { endOffset } = store.reader.range(stream);
  expect(endOffset).toBeGreaterThan(LIMITS.reservedRecords);
  expect(await nextWithoutLog(store, disk, stream)).toBeGreaterThanOrEqual(endOffset);
});
