import { cp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { must } from '../../src/assert.ts';
import type { StreamId } from '../../src/record.ts';
import { Catalog } from '../../src/store/catalog.ts';
import type { CommitHead } from '../../src/store/commit-head.ts';
import { parseKey } from '../../src/store/commit-key.ts';
import { openLevel } from '../../src/store/level-database.ts';
import { levelEngine } from '../../src/store/level-engine.ts';
import type { Store, StreamRange, TopicInfo, TopicOptions } from '../../src/store/log.ts';
import { openState } from '../../src/store/open-state.ts';
import type { TailCommit } from '../../src/store/recovery.ts';
import { joined, toldUpTo } from '../../src/store/told-end.ts';
import { SimClock } from '../support/sim-clock.ts';
import {
  append,
  entriesOf,
  fill,
  FOREVER,
  onDisk,
  readAll,
  rememberingLogger,
  text,
  type Place,
  type RememberingLogger,
} from '../support/store-kit.ts';

let place: Place;
let clock: SimClock;
let logger: RememberingLogger;
let store: Store;
let busy: TopicInfo;
let kept: TopicInfo;
/** What is there of `kept`. */
let written: string[];

async function open(): Promise<void> {
  store = await place.open({ clock, logger, segmentBytes: 30_000, compression: 'none' });
}

function define(name: string, options: Partial<TopicOptions> = {}): TopicInfo {
  return store.writer.defineTopic(name, { ...FOREVER, partitions: 1, ...options });
}

function of({ streams }: TopicInfo): StreamId {
  return streams[0] as StreamId;
}

/** Its first segment stays for ever, and most of those after it are gone. */
beforeEach(async () => {
  place = await onDisk.make();
  clock = new SimClock();
  logger = rememberingLogger();
  await open();
  busy = define('busy', { retentionBytes: 30_000 });
  kept = define('kept');
  written = [];
  for (let count = 0; count < 10; count++) {
    if (count < 2) {
      written.push(`value ${count}`);
      await append(store, of(kept), { value: Buffer.from(`value ${count}`) });
    }
    await fill(store, busy, 150, { bytes: 200, timeMs: clock.nowMs() });
    await store.retain();
  }
  logger.lines.length = 0;
});
afterEach(async () => {
  await store.close();
  await place.remove();
});

async function names(): Promise<string[]> {
  return (await readdir(join(place.folder, 'log'))).toSorted();
}

/** The newest segment that holds something loses its checkpoints, and what else is asked for. */
async function alterNewest(alsoCommit?: number): Promise<void> {
  for (const name of (await names()).toReversed()) {
    const database = await openLevel(join(place.folder, 'log', name), false);
    const scan = database.entries({});
    const entries = await scan.next();
    await scan.close();
    const commits = entries.filter(([key]) => parseKey(key)?.kind === 'commit');
    const odd = entries.filter(([key]) => parseKey(key)?.kind === 'checkpoint');
    const also = alsoCommit === undefined ? undefined : commits.at(alsoCommit);
    if (also !== undefined) odd.push(also);
    await database.write(
      odd.map(([key, value]) => {
        const bytes = Buffer.from(value);
        bytes[20] = (bytes[20] ?? 0) ^ 1;
        return { key: Buffer.from(key), value: bytes };
      }),
    );
    await database.close();
    if (entries.length > 0) return;
  }
}

function ranges(): StreamRange[] {
  return [busy, kept].map((topic) => store.reader.range(of(topic)));
}

async function expectAllOfKept(): Promise<void> {
  const { records, gaps } = await readAll(store, kept.streams);
  expect((records.get(of(kept)) ?? []).map(({ value }) => text(value))).toEqual(written);
  expect(gaps).toEqual([]);
}

test('segments were removed between others and a checkpoint is altered: nothing is lost', async () => {
  const before = ranges();
  await store.close();
  const numbers = (await names()).map(Number);
  expect(Math.max(...numbers.slice(1)) - (numbers[0] ?? 0)).toBeGreaterThan(100);
  await alterNewest();
  await open();
  expect(ranges()).toEqual(before);
  expect(await entriesOf(store)).toEqual([]);
  expect(logger.lines.filter(({ level }) => level === 'error')).toEqual([]);
  await expectAllOfKept();
  // The next start finds a checkpoint again.
  await append(store, of(kept), { value: Buffer.from('next') });
  written.push('next');
  await store.close();
  await open();
  expect(store.reader.range(of(kept)).endOffset).toBe(written.length);
  await expectAllOfKept();
});

test('the same after a kill: what came after the remembered place is taken in', async () => {
  const crashed = `${place.folder}-crashed`;
  const before = ranges();
  await cp(place.folder, crashed, { recursive: true });
  await store.close();
  await rm(place.folder, { recursive: true });
  await cp(crashed, place.folder, { recursive: true });
  await rm(crashed, { recursive: true });
  await alterNewest();
  await open();
  expect(ranges()).toEqual(before);
  expect(await entriesOf(store)).toEqual([]);
  await expectAllOfKept();
});

test('a commit is altered too: its records are lost, and no others', async () => {
  const before = ranges();
  await store.close();
  await alterNewest(-2);
  await open();
  expect(ranges()).toEqual(before);
  const end = store.reader.range(of(busy)).endOffset;
  const [entry, ...more] = await entriesOf(store);
  expect(entry).toMatchObject({ topic: 'busy', fromOffset: end - 20, toOffset: end - 10 });
  expect(more).toEqual([]);
  const { gaps } = await readAll(store, busy.streams);
  expect(gaps.filter(({ reason }) => reason === 'corruption')).toMatchObject([
    { fromOffset: end - 20, toOffset: end - 10 },
  ]);
  await expectAllOfKept();
});

test('all segments but the first are gone: lost is what retention had left in them', async () => {
  const before = ranges();
  await store.close();
  for (const name of (await names()).slice(1)) {
    await rm(join(place.folder, 'log', name), { recursive: true });
  }
  await open();
  expect(ranges()).toEqual(before);
  const { startOffset, endOffset } = store.reader.range(of(busy));
  expect(await entriesOf(store)).toMatchObject([
    { topic: 'busy', fromOffset: startOffset, toOffset: endOffset },
  ]);
  await expectAllOfKept();
});

test('no checkpoint of the log can be read: it goes on, and nothing is set aside', async () => {
  const before = ranges();
  await store.close();
  for (const name of (await names()).slice(1)) {
    await rm(join(place.folder, 'log', name), { recursive: true });
  }
  await alterNewest();
  await open();
  expect(ranges()).toEqual(before);
  await expectAllOfKept();
  expect(await readdir(join(place.folder, 'quarantine'))).toEqual([]);
});

/** As of a kill between what is noted of a definition in memory, and its commit. */
async function rememberTopic(name: string): Promise<void> {
  const engine = levelEngine(place.folder, false, { logger, clock });
  const { database } = await openState(engine, { readOnly: false, patience: undefined }, logger);
  const catalog = await Catalog.load(database);
  const checkpoint = must(catalog.end, 'the log was closed').checkpoint;
  const next = [...checkpoint.next, 0];
  const topic = { name, options: { ...FOREVER, partitions: 1 }, streams: [next.length - 1] };
  await catalog.closed({ ...checkpoint, next, topics: [...checkpoint.topics, topic] });
  await database.close();
  await engine.end?.();
}

test('a topic that is only remembered is told by the log with its first record', async () => {
  await store.close();
  await rememberTopic('remembered');
  await open();
  const { streams } = define('remembered');
  await append(store, streams[0] as StreamId, { value: Buffer.from('first') });
  await store.close();
  await rm(join(place.folder, 'state'), { recursive: true });
  await open();
  expect(store.reader.topic('remembered')?.streams).toEqual(streams);
});

test('what no commit tells of is missing, and nothing else', () => {
  const runs = fc.array(fc.tuple(fc.nat(3), fc.integer({ min: 1, max: 5 }), fc.boolean()), {
    maxLength: 40,
  });
  fc.assert(
    fc.property(runs, (given) => {
      const next = [0, 0, 0, 0];
      const lost: number[][] = [[], [], [], []];
      const commits: TailCommit[] = [];
      for (const [index, [stream, count, isThere]] of given.entries()) {
        const baseOffset = next[stream] ?? 0;
        next[stream] = baseOffset + count;
        const run = { stream, baseOffset, count, bytes: 1, latest: 1 };
        const times = { minTime: 1, maxTime: 1, count };
        const head: CommitHead = {
          ...times,
          topics: [],
          producers: [],
          runs: [run],
          clock: undefined,
        };
        if (isThere) commits.push({ commit: index + 1, head, storedBytes: 1 });
        const offsets = Array.from({ length: isThere ? 0 : count }, (_, at) => baseOffset + at);
        lost[stream]?.push(...offsets);
      }
      const told = toldUpTo({ commit: given.length, next }, undefined, commits);
      const missing = joined(told.missing);
      expect(told.next).toEqual(next);
      const offsets = next.map((_, stream) =>
        missing
          .filter((hole) => hole.stream === stream)
          .flatMap(({ fromOffset, toOffset }) =>
            Array.from({ length: toOffset - fromOffset }, (__, at) => fromOffset + at),
          ),
      );
      expect(offsets).toEqual(lost);
    }),
  );
});
