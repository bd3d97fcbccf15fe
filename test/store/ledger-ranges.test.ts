import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Loss } from '../../src/loss.ts';
import type { Database, Entries } from '../../src/store/database.ts';
import { Ledger } from '../../src/store/ledger.ts';
import type { Store } from '../../src/store/log.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { MemoryDisk, memoryEngine } from '../support/memory-engine.ts';
import { SimClock } from '../support/sim-clock.ts';
import { entriesOf, inMemory } from '../support/store-kit.ts';

const clock = new SimClock();
const loss = (fromOffset: number, toOffset: number, rest: Partial<Loss> = {}): Loss => ({
  topic: 't',
  partition: 0,
  fromOffset,
  toOffset,
  records: toOffset - fromOffset,
  bytes: undefined,
  reason: 'corruption',
  detail: 'a test',
  mirror: undefined,
  ...rest,
});
const firstsOf = async (store: Store): Promise<unknown[]> =>
  (await entriesOf(store)).map(({ fromOffset }) => fromOffset);

test('what is told twice counts once, however many ranges apart there are', async () => {
  const place = await inMemory.make();
  let store = await place.open({ clock });
  const many = Array.from({ length: 1000 }, (_, at) => loss(at * 10, at * 10 + 1));
  await store.ledger.record(many);
  await store.ledger.record(many);
  await store.close();
  store = await place.open({ clock });
  await store.ledger.record(many);
  expect(store.ledger.totals().corruption.records).toBe(many.length);
  expect(store.ledger.lost('t', 0, 0, 20)).toHaveLength(2);
  await store.close();
});

test('it counts once too when more is told than is known by heart', async () => {
  const range = fc.tuple(fc.nat(60), fc.nat(6), fc.nat(2), fc.constantFrom('a', undefined));
  await fc.assert(
    fc.asyncProperty(fc.array(range, { maxLength: 40 }), fc.boolean(), async (told, restarts) => {
      const database = await memoryEngine(new MemoryDisk()).openState();
      const load = (): Promise<Ledger> =>
        Ledger.load({ database, clock, logger: silentLogger, idleMs: 1000, ranges: 4 });
      let own = await load();
      const every = new Set<string>();
      const ofMirror = new Set<string>();
      for (const [from, length, partition, mirror] of told) {
        if (restarts) own = await load();
        await own.record([loss(from, from + length, { partition, mirror })]);
        for (let offset = from; offset < from + length; offset++) {
          const name = `${partition}/${offset}`;
          if (mirror === undefined) every.add(name);
          // What was lost for every reader before is not lost for one once more.
          else if (!every.has(name)) ofMirror.add(name);
        }
      }
      expect(own.totals().corruption.records).toBe(every.size + ofMirror.size);
    }),
    { numRuns: 100 },
  );
});

test('an entry is shown once when it grows no more while the entries are walked', async () => {
  const engine = memoryEngine(new MemoryDisk());
  let walk = Promise.resolve();
  const openState = async (): Promise<Database> => {
    const database = await engine.openState();
    return {
      put: (...given) => database.put(...given),
      write: (writes) => database.write(writes),
      get: (key) => database.get(key),
      // As when the database is just being opened again: the walk begins later.
      entries: (range) => {
        let found: Entries | undefined;
        const next = async (): ReturnType<Entries['next']> => {
          await walk;
          return (found ??= database.entries(range)).next();
        };
        return { next, close: async () => found?.close() };
      },
      sync: () => database.sync(),
      close: () => database.close(),
    };
  };
  const store = await (await inMemory.make()).open({ clock, engine: { ...engine, openState } });
  await store.ledger.record([loss(0, 5)]);
  const { promise, resolve } = Promise.withResolvers<void>();
  walk = promise;
  const walked = firstsOf(store);
  await store.ledger.record([loss(10, 15)]);
  resolve();
  expect(await walked).toEqual([0]);
  expect(await firstsOf(store)).toEqual([0, 10]);
  await store.close();
});
