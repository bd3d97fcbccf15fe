import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/limits.ts';
import { seededRandom } from '../../src/random.ts';
import type { StreamId } from '../../src/record.ts';
import { entryKey } from '../../src/store/commit-key.ts';
import type { Store, TopicInfo } from '../../src/store/log.ts';
import { openStore } from '../../src/store/open.ts';
import { lostFrom } from '../../src/store/verify-tail.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { faultyEngine, noFaults, type Faults } from '../support/faulty-engine.ts';
import { MemoryDisk, memoryEngine } from '../support/memory-engine.ts';
import { SimClock } from '../support/sim-clock.ts';
import { append, entriesOf, FOREVER, readAll } from '../support/store-kit.ts';

test('what no readable commit holds is lost, exactly', () => {
  const run = fc.tuple(
    fc.nat(2),
    fc.integer({ min: 1, max: 4 }),
    fc.constantFrom('ok', 'ok', 'gone', 'bad'),
  );
  fc.assert(
    fc.property(fc.array(run, { maxLength: 25 }), (runs) => {
      const next = [7, 0, 3];
      const from = { commit: 10, next: [...next] };
      const expected: string[] = [];
      const commits = runs.flatMap(([stream, count, fate], index) => {
        const baseOffset = next[stream] ?? 0;
        next[stream] = baseOffset + count;
        if (fate !== 'ok') {
          for (let at = baseOffset; at < baseOffset + count; at++) expected.push(`${stream}/${at}`);
        }
        const one = { stream, count, baseOffset, bytes: 1, latest: 0 };
        const head = { minTime: 0, maxTime: 0, runs: [one], count, topics: [], producers: [] };
        const read = { commit: 11 + index, head: fate === 'ok' ? head : undefined, storedBytes: 1 };
        return fate === 'gone' ? [] : [read];
      });
      const found: string[] = [];
      for (const lost of lostFrom({ from, commits }, 10 + runs.length, next)) {
        for (let at = lost.fromOffset; at < lost.toOffset; at++) found.push(`${lost.stream}/${at}`);
      }
      expect(found.toSorted()).toEqual(expected.toSorted());
    }),
  );
});

describe('a failed write after which confirmed commits are gone', () => {
  let disk: MemoryDisk;
  let faults: Faults;
  let store: Store;
  let topic: TopicInfo;
  let stream: StreamId;

  const open = (): Promise<Store> =>
    openStore({
      logger: silentLogger,
      folder: 'memory',
      engine: faultyEngine(memoryEngine(disk), faults),
      clock: new SimClock(),
      random: seededRandom(1),
    });

  beforeEach(async () => {
    disk = new MemoryDisk();
    faults = noFaults();
    store = await open();
    topic = store.writer.defineTopic('t', FOREVER);
    stream = topic.streams[0] as StreamId;
    for (let index = 0; index < 10; index++) await append(store, stream);
  });
  afterEach(() => store.close());

  test.each([
    ['the last ones', [10, 11]],
    ['one in the middle', [6]],
    ['the first checkpoint and all up to it', [2]],
  ])('%s: the ledger has the exact ranges, and no offset is given twice', async (_, commits) => {
    const segment = disk.databases.get('1');
    for (const commit of commits) {
      await segment?.del(Buffer.from(entryKey(commit, 'commit')));
      await segment?.del(Buffer.from(entryKey(commit, 'checkpoint')));
    }
    faults.failWrites = 1;
    await expect(append(store, stream)).rejects.toMatchObject({ code: 'STORE_WRITE_FAILED' });
    await expect.poll(() => append(store, stream).catch(() => -1)).toBe(10);
    // Commit 1 defines nothing, commit 2 holds offset 0.
    const offsets = commits.map((commit) => commit - 2);
    const ranges = (await entriesOf(store)).map(({ topic: name, partition, reason, ...entry }) => ({
      name,
      partition,
      reason,
      from: entry.fromOffset,
      to: entry.toOffset,
    }));
    expect(ranges).toEqual([
      {
        name: 't',
        partition: 0,
        reason: 'corruption',
        from: offsets[0],
        to: (offsets.at(-1) ?? 0) + 1,
      },
    ]);
    const { records, gaps } = await readAll(store, [stream]);
    const there = (records.get(stream) ?? []).map(({ offset }) => offset);
    expect(there).toEqual([...Array(11).keys()].filter((offset) => !offsets.includes(offset)));
    expect(gaps).toHaveLength(1);
    expect(LIMITS.verifyBytes).toBeGreaterThan(2 * 4 * 1_048_576);
  });
});
