import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Database, Engine } from '../../src/store/database.ts';
import { StateDatabase } from '../../src/store/state-database.ts';
import { MemoryDisk, memoryEngine } from '../support/memory-engine.ts';
import { rememberingLogger } from '../support/store-kit.ts';

/** Invariant 10 for the state database: after a failed write close, open, verify, go on. */
let disk: MemoryDisk;
let logger: ReturnType<typeof rememberingLogger>;
let failWrites = 0;
let arrives = false;
let failOpenings = 0;
let reserve = 0;
let reason = 'input/output error';
/** Done to the folder between a close and the next opening. */
let between: (database: Database) => Promise<void>;

const key = (text: string): Uint8Array => Buffer.from(text);
const put = (database: Database, name: string, value: string): Promise<void> =>
  database.write([{ key: key(name), value: key(value) }]);
const get = async (database: Database, name: string): Promise<string | undefined> => {
  const value = await database.get(key(name));
  return value === undefined ? undefined : Buffer.from(value).toString();
};

/** A handle that failed once must not be written any more: as LevelDB, whose next writes are lost. */
function failingEngine(engine: Engine): Engine {
  return {
    ...engine,
    reserve: {
      bytes: async () => reserve,
      grow: async () => {},
      shrink: async () => {},
      relieve: async () => reserve-- > 0,
    },
    openState: async () => {
      if (failOpenings > 0) {
        failOpenings--;
        throw new Error(`injected: ${reason}`);
      }
      const inner = await engine.openState();
      await between(inner);
      let poisoned = false;
      return {
        ...bound(inner),
        write: async (writes) => {
          expect(poisoned).toBe(false);
          poisoned = failWrites > 0;
          if (!poisoned || arrives) await inner.write(writes);
          if (!poisoned) return;
          failWrites--;
          throw new Error(`injected: ${reason}`);
        },
      };
    },
  };
}

function bound(database: Database): Database {
  return {
    put: (...args) => database.put(...args),
    write: (...args) => database.write(...args),
    get: (...args) => database.get(...args),
    entries: (...args) => database.entries(...args),
    sync: () => database.sync(),
    close: () => database.close(),
  };
}

const open = async (identity?: string): Promise<Database> => {
  const engine = failingEngine(memoryEngine(disk));
  const whose = identity === undefined ? undefined : key(identity);
  return new StateDatabase({ engine, logger, identity: whose }, await engine.openState());
};

beforeEach(() => {
  disk = new MemoryDisk();
  logger = rememberingLogger();
  failWrites = 0;
  arrives = false;
  failOpenings = 0;
  reserve = 0;
  reason = 'input/output error';
  between = async () => {};
});

test('a write that fails once is made again on a fresh handle, and its caller knows nothing', async () => {
  const database = await open();
  await put(database, 'a', '1');
  failWrites = 1;
  await put(database, 'a', '2');
  await put(database, 'b', '3');
  expect([await get(database, 'a'), await get(database, 'b')]).toEqual(['2', '3']);
  expect(logger.lines.map(({ fields }) => fields['event'])).toEqual([
    'state.failed',
    'state.mended',
  ]);
  await database.close();
});

test('what it had confirmed and does not hold any more is put there again', async () => {
  const database = await open();
  await put(database, 'a', '1');
  await put(database, 'gone', '2');
  await database.write([{ key: key('a'), value: undefined }]);
  between = async (inner) => {
    await inner.write([
      { key: key('a'), value: key('1') },
      { key: key('gone'), value: undefined },
    ]);
  };
  failWrites = 1;
  await put(database, 'c', '4');
  expect([await get(database, 'a'), await get(database, 'gone'), await get(database, 'c')]).toEqual(
    [undefined, '2', '4'],
  );
  expect(logger.lines.find(({ fields }) => fields['event'] === 'state.differs')?.fields).toEqual({
    event: 'state.differs',
    count: 2,
    keys: ['gone', 'a'],
  });
  await database.close();
});

test('a name that was written by a write that failed is ours too', async () => {
  const database = await open('one');
  await put(database, 'identity', 'first');
  failWrites = 2;
  arrives = true;
  await expect(put(database, 'identity', 'second')).rejects.toThrow('injected');
  await put(database, 'a', '1');
  expect(await get(database, 'a')).toBe('1');
  await database.close();
});

test('another disk that stands there is not written, and the right one is gone on with', async () => {
  const database = await open('one');
  await put(database, 'identity', 'ours');
  await put(database, 'a', '1');
  between = async (inner) => {
    await put(inner, 'identity', 'theirs');
    await put(inner, 'a', 'of theirs');
  };
  failWrites = 1;
  await expect(put(database, 'a', '2')).rejects.toThrow('another gateway');
  await expect(get(database, 'a')).rejects.toMatchObject({ code: 'STORE_WRITE_FAILED' });
  between = async () => {};
  const stranger = await memoryEngine(disk).openState();
  expect(await get(stranger, 'a')).toBe('of theirs');
  await stranger.close();
  between = (inner) => put(inner, 'identity', 'ours');
  await put(database, 'a', '3');
  expect(await get(database, 'a')).toBe('3');
  await database.close();
});

describe('while it can not be written', () => {
  test('callers are told, reads go on, and it is tried again by itself with the next caller', async () => {
    const database = await open();
    await put(database, 'a', '1');
    failWrites = 2;
    await expect(put(database, 'a', '2')).rejects.toThrow('injected');
    expect(await get(database, 'a')).toBe('1');
    await put(database, 'a', '3');
    expect(await get(database, 'a')).toBe('3');
    await database.close();
  });

  test('nor opened: STORE_WRITE_FAILED, reads too, until it can', async () => {
    const database = await open();
    await put(database, 'a', '1');
    failWrites = 1;
    failOpenings = 3;
    await expect(put(database, 'a', '2')).rejects.toMatchObject({ code: 'STORE_WRITE_FAILED' });
    await expect(put(database, 'a', '2')).rejects.toThrow('tries again by itself');
    await expect(database.get(key('a'))).rejects.toMatchObject({ code: 'STORE_WRITE_FAILED' });
    expect(failOpenings).toBe(0);
    await put(database, 'a', '3');
    expect(await get(database, 'a')).toBe('3');
    await database.close();
  });

  test('for want of room: the reserve gives it some, as often as it takes', async () => {
    const database = await open();
    reason = 'No space left on device';
    failWrites = 3;
    reserve = 3;
    await put(database, 'a', '1');
    expect([await get(database, 'a'), reserve]).toEqual(['1', 0]);
    failWrites = 2;
    await expect(put(database, 'a', '2')).rejects.toThrow('No space');
    await database.close();
  });
});

test('whatever fails, in whatever order: what was confirmed last is what is there', async () => {
  const step = fc.record({
    name: fc.constantFrom('a', 'b', 'c'),
    fails: fc.constantFrom(0, 0, 0, 1, 2),
    arrives: fc.boolean(),
    openings: fc.constantFrom(0, 0, 0, 1),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      disk = new MemoryDisk();
      const database = await open();
      /** A write that was told to have failed may be there, until a later one was confirmed. */
      const possible = new Map<string, Set<string | undefined>>();
      for (const [index, { name, fails, arrives: there, openings }] of steps.entries()) {
        failWrites = fails;
        arrives = there;
        failOpenings = fails > 0 ? openings : 0;
        const value = String(index);
        const stored = await put(database, name, value).then(
          () => true,
          () => false,
        );
        failWrites = 0;
        failOpenings = 0;
        const before = possible.get(name) ?? new Set([undefined]);
        possible.set(name, stored ? new Set([value]) : new Set([...before, value]));
      }
      await database.close();
      const again = await open();
      for (const [name, values] of possible) expect(values).toContain(await get(again, name));
      await again.close();
    }),
    { numRuns: 100 },
  );
});
