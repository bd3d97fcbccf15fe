import { expect, test } from 'vitest';
import { CountedDatabase } from '../../src/store/counted-database.ts';
import type { Database, Write } from '../../src/store/database.ts';
import { LogState } from '../../src/store/log-state.ts';
import { unpackedList } from '../../src/store/unpack.ts';
import { SyncMark } from '../../src/store/sync-mark.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { MemoryDisk, memoryEngine } from '../support/memory-engine.ts';

/** The state database, in which each write waits until the test lets it go on. */
class HeldDatabase extends CountedDatabase {
  readonly written: (readonly Write[])[] = [];
  readonly #waiting: (() => void)[] = [];

  constructor(inner: Database) {
    const hold = (writes: readonly Write[]): Promise<void> => {
      this.written.push(writes);
      return new Promise((resolve) => this.#waiting.push(resolve));
    };
    super({ ...inner, write: hold, put: () => Promise.reject(new Error('it takes no mark')) });
  }

  release(): void {
    this.#waiting.shift()?.();
  }

  /** The commits that were noted so far. */
  get marks(): unknown[] {
    return this.written.flatMap((writes) =>
      writes
        .filter(({ key }) => Buffer.from(key).toString() === 'log-synced')
        .map(({ value }) => unpackedList(value ?? Buffer.alloc(0))?.[1]),
    );
  }
}

async function begun(): Promise<{ mark: SyncMark; state: LogState; database: HeldDatabase }> {
  const inner = await memoryEngine(new MemoryDisk()).openState();
  const mark = await SyncMark.load(inner, silentLogger);
  const database = new HeldDatabase(inner);
  const state = new LogState();
  mark.begin(state, 'log', database);
  database.mark = mark;
  return { mark, state, database };
}

test('a file that begins while something is noted is noted itself', async () => {
  const { mark, state, database } = await begun();
  state.durableCommit = 1;
  mark.renew();
  mark.newFile();
  state.durableCommit = 2;
  database.release();
  await mark.settled();
  mark.renew();
  database.release();
  await mark.settled();
  expect(database.marks).toEqual([1, 2]);
  state.durableCommit = 3;
  mark.renew();
  expect(database.marks).toEqual([1, 2]); // Nothing new, and few bytes.
});

test('a single value takes the mark along', async () => {
  const { state, database } = await begun();
  state.durableCommit = 7;
  const put = database.put(Buffer.from('key'), Buffer.from('value'), true);
  database.release();
  await put;
  expect(database.marks).toEqual([7]);
});
