import { readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { pause } from '../support/hunt/wait.ts';
import { GatelogError } from '../../src/errors.ts';
import type { StreamId } from '../../src/record.ts';
import { entryKey } from '../../src/store/commit-key.ts';
import { levelEngine } from '../../src/store/level-engine.ts';
import type { Store, TopicInfo } from '../../src/store/log.ts';
import type { StoreOptions } from '../../src/store/open.ts';
import { copyStaying } from '../../src/store/thinning.ts';
import { MemoryDisk, memoryEngine } from '../support/memory-engine.ts';
import {
  append,
  drain,
  entriesOf,
  fill,
  FOREVER,
  onDisk,
  readAll,
  rememberingLogger,
  text,
  type Place,
} from '../support/store-kit.ts';

const MIB = 1_048_576;
const CAP = 14 * MIB;

let place: Place;
let store: Store;
let alarms: TopicInfo;
let bulk: TopicInfo;
let logger: ReturnType<typeof rememberingLogger>;

const of = ({ streams }: TopicInfo): StreamId => streams[0] as StreamId;
const open = async (options: Partial<StoreOptions> = {}): Promise<void> => {
  logger = rememberingLogger();
  store = await place.open({
    maxBytes: CAP,
    segmentBytes: MIB,
    compression: 'none',
    logger,
    ...options,
  });
  alarms = store.writer.defineTopic('alarms', { ...FOREVER, partitions: 1, onFull: 'refuse' });
  bulk = store.writer.defineTopic('bulk', { ...FOREVER, partitions: 1 });
};
const thinned = (): number =>
  logger.lines.filter(({ fields }) => fields['event'] === 'disk.thinned').length;
const startOf = (topic: TopicInfo): number => store.reader.range(of(topic)).startOffset;

/** As a device does whose message was refused. */
async function insist(task: () => Promise<unknown>): Promise<void> {
  for (;;) {
    try {
      await task();
      return;
    } catch (error) {
      if (!(error instanceof GatelogError) || error.code !== 'STORE_FULL') throw error;
      await pause(50);
    }
  }
}

/** One alarm to a quarter of a mebibyte of bulk. Resolves with the alarms. */
async function outage(rounds: number): Promise<string[]> {
  const sent: string[] = [];
  for (let round = 0; round < rounds; round++) {
    const value = `alarm ${round}`;
    await insist(() => append(store, of(alarms), { value: Buffer.from(value) }));
    sent.push(value);
    await insist(() => fill(store, bulk, 16, { bytes: 16_384, perCommit: 4 }));
    store.counters();
  }
  return sent;
}

/** Without a state database offsets after the end may be left out. */
async function alarmsRead(mayLeaveOut: boolean = false): Promise<(string | null)[]> {
  const { records, gaps } = await readAll(store, [of(alarms)]);
  expect(mayLeaveOut ? [] : gaps).toEqual([]);
  return (records.get(of(alarms)) ?? []).map(({ value }) => text(value));
}

beforeEach(async () => {
  place = await onDisk.make();
});
afterEach(async () => {
  await store.close();
  await place.remove();
});

describe('a log that is full, and a rare topic in all of its segments that may not lose anything', () => {
  test('loses the others’ oldest records, told exactly, and none of that topic', async () => {
    await open();
    const sent = await outage(80);
    expect(logger.lines.some(({ fields }) => fields['event'] === 'disk.thinned')).toBe(true);
    expect(await alarmsRead()).toEqual(sent);
    const start = startOf(bulk);
    expect(start).toBeGreaterThan(200);
    // The room goes to what is newest: most of the cap is bulk.
    const { endOffset } = store.reader.range(of(bulk));
    expect(endOffset - start).toBeGreaterThan(300);
    const lost = await entriesOf(store);
    expect(new Set(lost.map(({ topic }) => topic))).toEqual(new Set(['bulk']));
    expect(lost.reduce((sum, { records }) => sum + records, 0)).toBe(start);
    const { records, gaps } = await readAll(store, [of(bulk)]);
    expect(records.get(of(bulk))?.length).toBe(endOffset - start);
    expect(gaps.map(({ toOffset, reason }) => [toOffset, reason])).toEqual([[start, 'retention']]);

    // And it is all there after a start, for a check of all of it, and from every place.
    await store.close();
    await open();
    expect(await alarmsRead()).toEqual(sent);
    expect(startOf(bulk)).toBe(start);
    for (const from of [1, 17, 50, 79]) {
      const cursor = store.reader.cursor(new Map([[of(alarms), from]]));
      const found = await drain(cursor);
      await cursor.close();
      expect(found.gaps).toEqual([]);
      expect(found.records.get(of(alarms))?.length).toBe(80 - from);
    }
    await append(store, of(alarms), { value: Buffer.from('last') });
    expect((await alarmsRead()).at(-1)).toBe('last');
    expect(await entriesOf(store)).toEqual(lost);
    const worse = logger.lines.filter(({ level }) => level === 'error');
    expect(worse).toEqual([]);
  }, 60_000);

  test('also where retention has removed the segments between, and not twice', async () => {
    await open({ maxBytes: undefined });
    const brief = store.writer.defineTopic('brief', {
      ...FOREVER,
      partitions: 1,
      retentionBytes: MIB,
    });
    // An alarm in one segment of four; those without are removed.
    for (let round = 0; round < 6; round++) {
      await append(store, of(alarms), { value: Buffer.from(`alarm ${round}`) });
      await fill(store, brief, 260, { bytes: 16_384, perCommit: 2 });
      await store.retain();
    }
    expect(store.counters().segments).toBeLessThan(16);
    await store.close();
    await open({ maxBytes: 6 * MIB });
    await vi.waitFor(
      () => {
        store.counters();
        expect(thinned()).toBeGreaterThan(3);
      },
      { timeout: 20_000, interval: 100 },
    );
    expect(await alarmsRead()).toHaveLength(6);
    await store.close();
    await open({ maxBytes: 2 * MIB });
    // Told when everything was looked at that may go.
    await vi.waitFor(() => expect(store.counters().disk.refusedTopics).toEqual(['alarms']), {
      timeout: 20_000,
      interval: 100,
    });
    expect(thinned()).toBe(0);
    expect(await alarmsRead()).toHaveLength(6);
  }, 60_000);

  test('finds its place again when the state database is lost too', async () => {
    await open();
    const sent = await outage(60);
    await store.close();
    await rm(join(place.folder, 'state'), { recursive: true });
    await open();
    expect(await alarmsRead(true)).toEqual(sent);
    const lost = (await entriesOf(store)).filter(
      ({ topic, fromOffset }) => topic === 'alarms' && (fromOffset ?? 0) < sent.length,
    );
    expect(lost).toEqual([]);
  }, 60_000);
});

describe('a kill while a thinned segment takes the place of the whole one', () => {
  const first = '0000000000000001';
  let log: string;

  beforeEach(async () => {
    await open();
    for (let index = 0; index < 10; index++) await append(store, of(alarms));
    await store.close();
    log = join(place.folder, 'log');
    await levelEngine(place.folder, false).makeReplacement?.(1, '', async (target) => {
      await target.put(entryKey(1, 'commit'), Buffer.from('new'), true);
      return true;
    });
  });

  test('before it went leaves the whole one', async () => {
    await open();
    expect((await alarmsRead()).length).toBe(10);
    expect((await readdir(log)).filter((name) => !/^\d+$/u.test(name))).toEqual([]);
  });

  test('after it went leaves the new one, in its place', async () => {
    await rename(join(log, first), join(log, `${first}.removed`));
    const engine = levelEngine(place.folder, false);
    expect(await engine.segments()).toContain(1);
    const database = await engine.openSegment(1, 'existing');
    expect(await database.get(entryKey(1, 'commit'))).toEqual(Buffer.from('new'));
    await database.close();
    expect((await readdir(log)).filter((name) => !/^\d+$/u.test(name))).toEqual([]);
    await rm(place.folder, { recursive: true });
    await open();
  });
});

describe('what is copied of a segment', () => {
  let disk: MemoryDisk;

  beforeEach(async () => {
    disk = new MemoryDisk();
    await open({ engine: memoryEngine(disk), folder: 'memory' });
    for (let index = 0; index < 5; index++) {
      await append(store, of(alarms), { value: Buffer.alloc(10) });
      await append(store, of(bulk), { value: Buffer.alloc(1000) });
    }
  });

  const copied = async (
    ranges: ReadonlyMap<number, { readonly from: number; readonly to: number }>,
    maxBytes: number = MIB,
  ): Promise<{ readonly is: boolean; readonly commits: number }> => {
    const engine = memoryEngine(disk);
    const source = await engine.openSegment(1, 'existing');
    const target = await engine.openSegment(9, 'create');
    const is = await copyStaying(source, target, ranges, maxBytes);
    const [commits] = [disk.databases.get('9')];
    let count = 0;
    for await (const key of commits?.keys() ?? []) if (key[8] === 0) count++;
    disk.databases.delete('9');
    return { is, commits: count };
  };

  test('are the commits with a record that stays', async () => {
    const range = { from: 2, to: 5 };
    expect(await copied(new Map([[of(alarms), range]]))).toEqual({ is: true, commits: 3 });
  });

  test('is nothing when it would be too much, or when not all that stays is there', async () => {
    const all = new Map([[of(alarms), { from: 0, to: 5 }]]);
    expect((await copied(all, 100)).is).toBe(false);
    expect((await copied(new Map([[of(alarms), { from: 0, to: 6 }]]))).is).toBe(false);
    const level = disk.databases.get('1');
    const keys = (await level?.keys().all()) ?? [];
    const commit = keys.findLast((key) => key[8] === 0) as Uint8Array;
    const value = Buffer.from((await level?.get(commit)) ?? []);
    value[30] = (value[30] ?? 0) ^ 1;
    await level?.put(commit, value);
    expect((await copied(all)).is).toBe(false);
  });
});
