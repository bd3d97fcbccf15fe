import { afterEach, beforeEach, expect, test } from 'vitest';
import { LIMITS } from '../../src/limits.ts';
import type { LedgerEntry } from '../../src/loss.ts';
import { seededRandom } from '../../src/random.ts';
import type { StreamId } from '../../src/record.ts';
import { entryKey } from '../../src/store/commit-key.ts';
import type { ScrubStatus, Store, TopicInfo } from '../../src/store/log.ts';
import { openStore, type StoreOptions } from '../../src/store/open.ts';
import { MemoryDisk, memoryEngine } from '../support/memory-engine.ts';
import { SimClock } from '../support/sim-clock.ts';
import { append, entriesOf, fill, FOREVER, NONE, rememberingLogger } from '../support/store-kit.ts';

/** What the check of the stored log finds, when it runs, and how it shares the machine. */
const NEVER = '0 0 1 1 *';
let disk: MemoryDisk;
let clock: SimClock;
let store: Store;
let topic: TopicInfo;
let left: StreamId;
let right: StreamId;

const open = async (options: Partial<StoreOptions> = {}): Promise<void> => {
  store = await openStore({
    folder: 'memory',
    engine: memoryEngine(disk),
    clock,
    random: seededRandom(1),
    logger: rememberingLogger(),
    scrubSchedule: NEVER,
    ...options,
  });
  topic = store.writer.defineTopic('t', FOREVER);
  [left, right] = topic.streams as unknown as [StreamId, StreamId];
};
const status = (): ScrubStatus => store.counters().scrub;
const found = async (): Promise<unknown[]> => {
  const entries: LedgerEntry[] = await entriesOf(store);
  return entries
    .map(({ topic: name, partition, fromOffset, toOffset, records, reason }) => ({
      at: `${name}/${partition} ${fromOffset}-${toOffset}`,
      records,
      reason,
    }))
    .toSorted((a, b) => (a.at < b.at ? -1 : 1));
};

/** 20 commits of one record, to left and right in turn. Returns the first one's number. */
async function twentyCommits(): Promise<number> {
  const first = store.counters().commits + 1;
  for (let index = 0; index < 20; index++) {
    await append(store, index % 2 === 0 ? left : right, { value: Buffer.alloc(100, index) });
  }
  return first;
}

function segmentNames(): string[] {
  return [...disk.databases.keys()].filter((name) => name !== 'state').toSorted();
}

/** The newest segment with two commits: there may be one that was made ahead. */
async function newestWithTwo(): Promise<number> {
  for (const name of segmentNames().toSorted((a, b) => Number(b) - Number(a))) {
    const second = entryKey(Number(name) + 1, 'commit');
    if ((await disk.databases.get(name)?.get(second)) !== undefined) return Number(name);
  }
  throw new Error('no segment has two commits');
}

async function damage(commit: number, how: 'flip' | 'delete', segment = '1'): Promise<void> {
  const database = disk.databases.get(segment);
  const key = entryKey(commit, 'commit');
  if (how === 'delete') {
    await database?.del(key);
    return;
  }
  const value = Buffer.from((await database?.get(key)) ?? NONE);
  expect(value.length).toBeGreaterThan(20);
  value[20] = (value[20] ?? 0) ^ 1;
  await database?.put(key, value);
}

beforeEach(async () => {
  disk = new MemoryDisk();
  clock = new SimClock();
  await open();
});
afterEach(async () => {
  await store.close();
});

test('a log as it should be has no findings, and nothing goes to the ledger', async () => {
  await fill(store, topic, 2000, { perCommit: 50 });
  expect(status()).toEqual({
    state: 'idle',
    lastFinishedMs: undefined,
    bytesChecked: 0,
    findings: 0,
  });
  await store.scrub();
  expect(status()).toMatchObject({ state: 'idle', lastFinishedMs: clock.nowMs(), findings: 0 });
  expect(status().bytesChecked).toBeGreaterThan(2000 * 100);
  expect(await found()).toEqual([]);
});

test('what is damaged or missing is told once, by exact offsets', async () => {
  const first = await twentyCommits();
  await damage(first + 4, 'flip'); // left 2
  await damage(first + 5, 'delete'); // right 2
  await damage(first + 6, 'delete'); // left 3
  await damage(first + 19, 'flip'); // right 9, at the very end
  await store.scrub();
  const losses = [
    { at: 't/0 2-4', records: 2, reason: 'corruption' },
    { at: 't/1 2-3', records: 1, reason: 'corruption' },
    { at: 't/1 9-10', records: 1, reason: 'corruption' },
  ];
  expect(await found()).toEqual(losses);
  expect(status().findings).toBe(2);
  await store.scrub();
  expect(await found()).toEqual(losses);
  expect(store.counters().losses.corruption.records).toBe(4);
});

test('a whole segment that is gone is told by the offsets it held', async () => {
  await store.close();
  await open({ segmentBytes: 20_000 });
  await fill(store, topic, 3000, { perCommit: 10 });
  await store.close();
  const gone = segmentNames().find((name) => name !== '1' && name !== 'state') ?? '';
  disk.databases.delete(gone);
  await open({ segmentBytes: 20_000 });
  await store.scrub();
  const losses = await entriesOf(store);
  expect(losses).toHaveLength(2);
  for (const { fromOffset = 0, toOffset = 0 } of losses) {
    expect(toOffset - fromOffset).toBeGreaterThan(10);
  }
  expect(status().findings).toBe(1);
});

test('after an unclean end the newest segment is looked at soon, and only that', async () => {
  await store.close();
  await open({ segmentBytes: 20_000 });
  await fill(store, topic, 3000, { perCommit: 10 });
  await store.scrub(); // So that no whole pass is due.
  const newest = await newestWithTwo();
  await damage(4, 'flip');
  const before = structuredClone(status());
  // The process is killed here: nothing is noted, and another one opens the folder.
  disk.locked = false;
  const killed = store;
  await open({ segmentBytes: 20_000 });
  await damage(newest + 1, 'flip', String(newest));
  expect(status()).toMatchObject({ state: 'idle', bytesChecked: 0 });
  await clock.advance(LIMITS.scrubFirstMs - 1);
  expect(status().bytesChecked).toBe(0);
  await clock.advance(60_000);
  expect(status().bytesChecked).toBeGreaterThan(1000);
  expect(status().bytesChecked).toBeLessThan(60_000);
  expect(status().lastFinishedMs).toBe(before.lastFinishedMs);
  const losses = await entriesOf(store);
  expect(losses.length).toBeGreaterThan(0);
  for (const { fromOffset = 0 } of losses) expect(fromOffset).toBeGreaterThan(1000);
  expect(killed.counters().commits).toBeGreaterThan(0);
});

test('it reads no faster than it may, and gets on meanwhile with appends', async () => {
  await fill(store, topic, 6000, { bytes: 1000, perCommit: 100 });
  await store.close();
  await open({ scrubBytesPerSecond: LIMITS.scrubStepBytes });
  // Never finished before: a start begins it.
  await clock.advance(LIMITS.scrubFirstMs);
  await clock.until(() => status().state === 'running' && status().bytesChecked > 0);
  const begun = clock.monotonicMs();
  await append(store, left);
  await clock.until(() => status().lastFinishedMs !== undefined);
  const seconds = (clock.monotonicMs() - begun) / 1000;
  expect(status().bytesChecked).toBeGreaterThan(6_000_000);
  expect(seconds).toBeGreaterThan(status().bytesChecked / LIMITS.scrubStepBytes - 3);
});

test('a pass that was interrupted goes on where it was, in the next process', async () => {
  await store.close();
  await open({ segmentBytes: 1_000_000 });
  await fill(store, topic, 6000, { bytes: 1000, perCommit: 100 });
  await store.close();
  const options = { segmentBytes: 1_000_000, scrubBytesPerSecond: LIMITS.scrubStepBytes };
  await open(options);
  await clock.advance(LIMITS.scrubFirstMs);
  await clock.until(() => status().bytesChecked > 4_000_000);
  expect(status()).toMatchObject({ state: 'running', lastFinishedMs: undefined });
  await store.close();
  await open(options);
  await clock.advance(LIMITS.scrubFirstMs);
  await clock.until(() => status().lastFinishedMs !== undefined);
  expect(status().bytesChecked).toBeGreaterThan(1_000_000);
  expect(status().bytesChecked).toBeLessThan(4_500_000);
  expect(status().findings).toBe(0);
  expect(await found()).toEqual([]);
});

test('what retention removes meanwhile is no loss', async () => {
  await store.close();
  await open({ segmentBytes: 1_000_000 });
  await fill(store, topic, 6000, { bytes: 1000, perCommit: 100 });
  await store.close();
  await open({ segmentBytes: 1_000_000, scrubBytesPerSecond: LIMITS.scrubStepBytes });
  await clock.advance(LIMITS.scrubFirstMs);
  await clock.until(() => status().bytesChecked > 0);
  store.writer.defineTopic('t', { ...FOREVER, retentionBytes: 1_000_000 });
  await append(store, left);
  await store.retain();
  expect(store.counters().segments).toBeLessThan(4);
  await clock.until(() => status().lastFinishedMs !== undefined);
  expect(await found()).toEqual([]);
  expect(status().bytesChecked).toBeLessThan(5_000_000);
});

test('a pass is due again after a while, and not after every start', async () => {
  await twentyCommits();
  await store.scrub();
  await store.close();
  await open();
  await clock.advance(LIMITS.scrubFirstMs * 2);
  expect(status().bytesChecked).toBe(0);
  await store.close();
  await clock.advance(LIMITS.scrubOverdueMs);
  await open();
  await clock.advance(LIMITS.scrubFirstMs * 2);
  expect(status().bytesChecked).toBeGreaterThan(0);
});

test('without a schedule it is off, and runs only when it is told to', async () => {
  await twentyCommits();
  disk.locked = false;
  await open({ scrubSchedule: undefined });
  await clock.advance(LIMITS.scrubOverdueMs);
  expect(status()).toMatchObject({ state: 'off', bytesChecked: 0 });
  await store.scrub();
  expect(status()).toMatchObject({ state: 'off', findings: 0 });
  expect(status().bytesChecked).toBeGreaterThan(0);
});

test('a schedule runs it', async () => {
  await twentyCommits();
  await store.close();
  await open({ scrubSchedule: '* * * * * *' });
  await clock.advance(LIMITS.scrubFirstMs * 2);
  await expect.poll(() => status().lastFinishedMs).toBeDefined();
});

test('notes that nobody can read do no harm', async () => {
  await twentyCommits();
  await store.keyValue('scrub').put('place', Buffer.from('rotten'));
  await store.keyValue('scrub').put('last', Buffer.from([0x93, 0xc0, 0xc0, 0xc0]));
  await store.close();
  await open();
  await clock.advance(LIMITS.scrubFirstMs * 2);
  expect(status().lastFinishedMs).toBeDefined();
  expect(await found()).toEqual([]);
});
