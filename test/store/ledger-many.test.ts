import { expect, test } from 'vitest';
import { LIMITS } from '../../src/limits.ts';
import type { Loss } from '../../src/loss.ts';
import type { Database, Engine, Entries, Entry } from '../../src/store/database.ts';
import type { Store } from '../../src/store/log.ts';
import { MemoryDisk, memoryEngine } from '../support/memory-engine.ts';
import { SimClock } from '../support/sim-clock.ts';
import { entriesOf, inMemory } from '../support/store-kit.ts';

const lossAt = (fromOffset: number): Loss => ({
  topic: 't',
  partition: 0,
  fromOffset,
  toOffset: fromOffset + 1,
  records: 1,
  bytes: 10,
  reason: 'corruption',
  detail: 'a page was zero',
  mirror: undefined,
});

test('of many entries a start reads each once, and what is told again counts once all the same', async () => {
  const place = await inMemory.make();
  const clock = new SimClock();
  const disk = new MemoryDisk();
  let read = 0;
  const engine = (): Engine => {
    const inner = memoryEngine(disk);
    const openState = async (): Promise<Database> => {
      const database = await inner.openState();
      return Object.assign(database, { entries: counting(database.entries.bind(database)) });
    };
    return { ...inner, openState };
  };
  const counting =
    (entriesIn: Database['entries']): Database['entries'] =>
    (range) => {
      const found = entriesIn(range);
      const next = async (): ReturnType<Entries['next']> => {
        const batch = await found.next();
        const isClosed = ([key]: Entry): boolean => Buffer.from(key).includes('ledger/closed/');
        read += batch.filter(isClosed).length;
        return batch;
      };
      return { next, close: () => found.close() };
    };
  const count = 4 * LIMITS.ledgerStep;
  const losses = Array.from({ length: count }, (_, at) => lossAt(at * 2));
  const open = (readOnly: boolean): Promise<Store> =>
    place.open({ clock, engine: engine(), readOnly });
  let store = await open(false);
  await store.ledger.record(losses);
  await clock.advance(LIMITS.ledgerIdleMs * 2);
  const inGaps = (): number => {
    const stream = store.reader.topic('_gaps')?.streams[0];
    return stream === undefined ? 0 : store.reader.range(stream).endOffset;
  };
  await expect.poll(inGaps).toBe(count);
  await store.close();
  read = 0;
  store = await open(false);
  expect(read).toBeLessThan(1.5 * count);
  expect(await entriesOf(store)).toHaveLength(count);
  await store.ledger.record(losses);
  expect(store.ledger.totals().corruption.records).toBe(count);
  expect(store.ledger.lost('t', 0, 0, count * 2)).toHaveLength(count);
  await store.close();
  // Nothing is told: when the start is over.
  store = await open(false);
  expect(store.ledger.lost('t', 0, 0, count * 2)).toHaveLength(0);
  await clock.advance(LIMITS.ledgerRetryMs);
  await expect.poll(() => store.ledger.lost('t', 0, 0, count * 2)).toHaveLength(count);
  await store.close();
  store = await open(true);
  expect(store.ledger.lost('t', 0, 0, count * 2)).toHaveLength(count);
  await store.close();
});
