import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { LIMITS } from '../../src/limits.ts';
import type { LedgerEntry, Loss } from '../../src/loss.ts';
import type { Database, Engine, Entries } from '../../src/store/database.ts';
import type { Store, TopicInfo } from '../../src/store/log.ts';
import type { StoreOptions } from '../../src/store/open.ts';
import { empty, leaveAsKilled } from '../support/damage-kit.ts';
import { MemoryDisk, memoryEngine } from '../support/memory-engine.ts';
import { SimClock } from '../support/sim-clock.ts';
import { entriesOf, fill, FOREVER, inMemory, onDisk, type Place } from '../support/store-kit.ts';

const loss = (fromOffset: number, rest: Partial<Loss> = {}): Loss => ({
  topic: 't',
  partition: 0,
  fromOffset,
  toOffset: fromOffset + 1,
  records: 1,
  bytes: 10,
  reason: 'corruption',
  detail: 'a page was zero',
  mirror: undefined,
  ...rest,
});

const SMALL = { segmentBytes: 60_000, compression: 'none' } as const;
let place: Place;
let clock: SimClock;
let store: Store;
let topic: TopicInfo;
let disk: MemoryDisk;
/** Entries read of segments since the last opening of the store. */
let read: number;

function counting(engine: Engine): Engine {
  return {
    ...engine,
    openSegment: async (first, how) => {
      const database = await engine.openSegment(first, how);
      const entries: Database['entries'] = (range) => {
        const inner = database.entries(range);
        const next = async (): ReturnType<Entries['next']> => {
          const batch = await inner.next();
          read += batch.length;
          return batch;
        };
        return { next, close: () => inner.close() };
      };
      return {
        put: (...put) => database.put(...put),
        write: (writes) => database.write(writes),
        get: (key) => database.get(key),
        sync: () => database.sync(),
        close: () => database.close(),
        entries,
      };
    },
  };
}

const open = async (options: Partial<StoreOptions> = {}): Promise<void> => {
  read = 0;
  store = await place.open({ ...SMALL, clock, engine: counting(memoryEngine(disk)), ...options });
  topic = store.writer.defineTopic('t', { ...FOREVER, partitions: 1 });
};
const gaps = (): number => {
  const stream = store.reader.topic('_gaps')?.streams[0];
  return stream === undefined ? 0 : store.reader.range(stream).endOffset;
};
/** An entry of its own, which stands in `_gaps`. */
const give = async (at: number): Promise<void> => {
  const before = gaps();
  await store.ledger.record([loss(at * 10, { detail: `cause ${at}` })]);
  await clock.advance(LIMITS.ledgerIdleMs * 2);
  await expect.poll(gaps).toBe(before + 1);
};
const told = async (): Promise<LedgerEntry[]> =>
  (await entriesOf(store)).filter((entry) => entry.topic === 't');
const harmState = async (harm: 'altered' | 'lost'): Promise<void> => {
  await store.close();
  const state = await memoryEngine(disk).openState();
  if (harm === 'altered') {
    await state.write([{ key: Buffer.from('space/x'), value: Buffer.from('rubbish') }]);
  } else {
    const entries = state.entries({});
    for (let batch = await entries.next(); batch.length > 0; batch = await entries.next()) {
      await state.write(batch.map(([key]) => ({ key, value: undefined })));
    }
    await entries.close();
  }
  await state.close();
};

beforeEach(async () => {
  place = await inMemory.make();
  clock = new SimClock();
  disk = new MemoryDisk();
  await open();
});
afterEach(async () => {
  await store.close();
  await place.remove();
});

/** There are 200 commits. */
test('a ledger that lacks nothing is not read from the log', async () => {
  await give(1);
  await fill(store, topic, 2000, { bytes: 1000 });
  const before = await told();
  await harmState('altered');
  await open();
  expect(store.stateDamage).toBeDefined();
  expect(read).toBeLessThan(100);
  expect(await told()).toEqual(before);
});

/** There are 800 commits. */
test('of a log in which entries stand rarely little is read', async () => {
  await give(1);
  await fill(store, topic, 4000, { bytes: 1000 });
  await give(2);
  await fill(store, topic, 4000, { bytes: 1000 });
  const before = await told();
  const totals = store.ledger.totals();
  await harmState('lost');
  await open();
  expect(await told()).toEqual(before);
  expect(store.ledger.totals()).toEqual(totals);
  expect(read).toBeLessThan(400);
});

test('what takes too long comes after the start, under the numbers it had', async () => {
  for (let at = 0; at < 6; at++) {
    await give(at);
    await fill(store, topic, 100, { bytes: 1000 });
  }
  const before = await told();
  const totals = store.ledger.totals();
  await harmState('lost');
  const monotonic = clock.monotonicMs.bind(clock);
  let passed = 0;
  clock.monotonicMs = () => monotonic() + (passed += 1000);
  await open();
  expect((await told()).length).toBeLessThan(before.length);
  await expect.poll(told).toEqual(before);
  expect(store.ledger.totals()).toEqual(totals);
  clock.monotonicMs = monotonic;
  await clock.advance(LIMITS.ledgerIdleMs * 2);
  await expect.poll(gaps).toBe(7); // One tells of the damage.
  await give(7);
  await store.close();
  await open();
  expect((await told()).length).toBe(before.length + 1);
});

test('a ledger that stepped back gets what it lacks, and what was open then is not twice in it', async () => {
  await store.close();
  place = await onDisk.make();
  const disks = { engine: undefined } as unknown as Partial<StoreOptions>;
  await open(disks);
  await give(1);
  await store.ledger.record([loss(100), loss(500, { reason: 'skipped', mirror: 'up' })]);
  await store.close();
  await open(disks);
  await store.ledger.record([loss(101), loss(102)]);
  await clock.advance(LIMITS.ledgerIdleMs * 2);
  await expect.poll(gaps).toBe(3);
  await give(5);
  const before = await told();
  const totals = store.ledger.totals();
  await leaveAsKilled({ place }, store);
  const state = join(place.folder, 'state');
  const wal = (await readdir(state)).find((name) => name.endsWith('.log')) ?? '';
  await empty(join(state, wal));
  await open(disks);
  expect(store.stateDamage).toMatch(/write-ahead file/u);
  expect(await told()).toEqual(before);
  expect(store.ledger.totals()).toEqual(totals);
  await clock.advance(LIMITS.ledgerIdleMs * 2);
  await expect.poll(gaps).toBe(5);
});
