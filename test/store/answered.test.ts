import { afterEach, beforeEach, expect, test } from 'vitest';
import { seededRandom } from '../../src/random.ts';
import type { StreamId } from '../../src/record.ts';
import type { Store } from '../../src/store/log.ts';
import { openStore } from '../../src/store/open.ts';
import { type Faults, faultyEngine, noFaults } from '../support/faulty-engine.ts';
import { MemoryDisk, memoryEngine } from '../support/memory-engine.ts';
import { SimClock } from '../support/sim-clock.ts';
import { append, FOREVER, NONE, rememberingLogger } from '../support/store-kit.ts';

/** `Store.answered`: what the watchdog goes by. */
let faults: Faults;
let clock: SimClock;
let store: Store;
let release: () => void;

function hang(): Promise<void> {
  return new Promise((resolve) => {
    release = resolve;
  });
}

function definedStream(): StreamId {
  return store.writer.defineTopic('telemetry', FOREVER).streams[0] as StreamId;
}

async function isAnswered(): Promise<boolean> {
  let answered = false;
  const mark = async (): Promise<void> => {
    await store.answered();
    answered = true;
  };
  void mark();
  await clock.settle();
  return answered;
}

beforeEach(async () => {
  faults = noFaults();
  clock = new SimClock();
  const engine = faultyEngine(memoryEngine(new MemoryDisk()), faults);
  const logger = rememberingLogger();
  store = await openStore({ folder: 'memory', engine, clock, random: seededRandom(1), logger });
});

afterEach(async () => {
  release?.();
  faults.hold = undefined;
  faults.holdState = undefined;
  await store.close();
});

test('nothing is under way: at once, and nothing is written for it', async () => {
  const { puts } = faults.counts;
  expect(await isAnswered()).toBe(true);
  expect(faults.counts.puts).toBe(puts);
});

test('a commit under way is waited for', async () => {
  const stream = definedStream();
  faults.hold = hang();
  const appended = append(store, stream, { value: NONE });
  expect(await isAnswered()).toBe(false);
  release();
  await appended;
  expect(await isAnswered()).toBe(true);
});

test('a write of the state database is waited for', async () => {
  faults.holdState = hang();
  const put = store.keyValue('sessions').put('key', NONE);
  expect(await isAnswered()).toBe(false);
  release();
  await put;
  expect(await isAnswered()).toBe(true);
});

test('a recovery under way is waited for', async () => {
  const stream = definedStream();
  faults.failWrites = 1;
  faults.holdOpening = hang();
  await expect(append(store, stream, { value: NONE })).rejects.toThrow('injected');
  expect(await isAnswered()).toBe(false);
  release();
  await clock.settle();
  expect(await isAnswered()).toBe(true);
});

test('a disk that refuses answers', async () => {
  const stream = definedStream();
  faults.failWrites = 1e9;
  faults.failOpening = true;
  await expect(append(store, stream, { value: NONE })).rejects.toThrow('injected');
  await clock.settle();
  expect(await isAnswered()).toBe(true);
  await expect(append(store, stream, { value: NONE })).rejects.toThrow('the log');
  expect(await isAnswered()).toBe(true);
  faults.failOpening = false;
  faults.failWrites = 0;
});
