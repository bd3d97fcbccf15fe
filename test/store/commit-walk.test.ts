import { afterEach, beforeEach, expect, test } from 'vitest';
import { seededRandom } from '../../src/random.ts';
import { parseKey } from '../../src/store/commit-key.ts';
import type { Database, Engine, Entry, KeyRange } from '../../src/store/database.ts';
import type { Store } from '../../src/store/log.ts';
import { openStore } from '../../src/store/open.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { MemoryDisk, memoryEngine } from '../support/memory-engine.ts';
import { append, FOREVER, readAll } from '../support/store-kit.ts';

/**
 * LevelDB over damage, as docs/leveldb.md has it: what is returned in which order, and
 * when it says that something is wrong.
 */
const COMMITS = 40;
let disk: MemoryDisk;
let store: Store | undefined;

const open = (engine: Engine): Promise<Store> =>
  openStore({
    folder: 'memory',
    engine,
    clock: systemClock,
    random: seededRandom(1),
    logger: silentLogger,
  });

/** What a scan returns, batch by batch, where undamaged it would return `all` in this order. */
type Scan = (all: Entry[], range: KeyRange) => AsyncGenerator<Entry[]>;

/** The store's own engine, whose segments return what `change` makes of a whole scan. */
function changed(change: Scan): Engine {
  const engine = memoryEngine(disk);
  return {
    ...engine,
    openSegment: async (first, how) => {
      const database = await engine.openSegment(first, how);
      return scanning(database, change);
    },
  };
}

function scanning(database: Database, change: Scan): Database {
  return {
    put: (key, value, sync) => database.put(key, value, sync),
    write: (writes) => database.write(writes),
    get: (key) => database.get(key),
    sync: () => database.sync(),
    close: () => database.close(),
    entries: (range) => {
      const entries = database.entries(range);
      let scan: AsyncGenerator<Entry[]> | undefined;
      const begin = async (): Promise<AsyncGenerator<Entry[]>> => {
        const all: Entry[] = [];
        for (let batch = await entries.next(); batch.length > 0; batch = await entries.next()) {
          all.push(...batch);
        }
        return change(all, range);
      };
      return {
        next: async () => {
          scan ??= await begin();
          const { value, done } = await scan.next();
          return done === true ? [] : value;
        },
        close: () => entries.close(),
      };
    },
  };
}

const numberOf = ([key]: Entry): number => parseKey(key)?.commit ?? 0;

/** One stream, one record in each commit: offset n stands in commit n + 1 after the first. */
async function offsetsRead(engine: Engine): Promise<number[]> {
  store = await open(engine);
  const { streams } = store.writer.defineTopic('t', { ...FOREVER, partitions: 1 });
  const { records, gaps } = await readAll(store, streams);
  const read = [...records.values()].flat().map(({ offset }) => offset);
  const missing = gaps.reduce((sum, { fromOffset, toOffset }) => sum + toOffset - fromOffset, 0);
  expect(read.length + missing).toBe(COMMITS);
  expect(read).toEqual(read.toSorted((left, right) => left - right));
  return read;
}

beforeEach(async () => {
  disk = new MemoryDisk();
  const whole = await open(memoryEngine(disk));
  const { streams } = whole.writer.defineTopic('t', { ...FOREVER, partitions: 1 });
  for (const stream of streams) {
    for (let index = 0; index < COMMITS; index++) await append(whole, stream);
  }
  await whole.close();
});
afterEach(async () => {
  await store?.close();
  store = undefined;
});

test('a damaged block is passed over and told at the end: what is around it is read', async () => {
  const corrupt = Object.assign(new Error('Corruption: bad block'), { code: 'LEVEL_CORRUPTION' });
  const bad = ([10, 11, 12] as const).map((commit) => commit + 1);
  const read = await offsetsRead(
    changed(async function* change(all, { oneByOne, reverse }) {
      // Opening, which reads back from the end, does not come so far.
      if (reverse === true && oneByOne !== true) yield all;
      const good = all.filter((entry) => !bad.includes(numberOf(entry)));
      // The batch that reaches the end is lost with the error.
      if (oneByOne === true) for (const entry of good) yield [entry];
      if (good.length < all.length) throw corrupt;
      if (oneByOne !== true) yield good;
    }),
  );
  expect(read).toHaveLength(COMMITS - bad.length);
});

test('a table was exchanged for a later one: what lies between is found from behind', async () => {
  // Tables of ten commits; the second holds what the fourth does. A scan begins in the table where its
  // first key should be, and goes on table by table.
  const tableOf = (entry: Entry): number => Math.floor(numberOf(entry) / 10);
  const read = await offsetsRead(
    changed(async function* change(all) {
      const later = all.filter((entry) => tableOf(entry) === 3);
      for (const table of new Set(all.map(tableOf))) {
        yield table === 1 ? later : all.filter((entry) => tableOf(entry) === table);
      }
    }),
  );
  expect(read).toHaveLength(COMMITS - 10);
});
