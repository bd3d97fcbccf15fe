import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Loss } from '../../src/loss.ts';
import { seededRandom } from '../../src/random.ts';
import { streamId } from '../../src/record.ts';
import { entryKey, parseKey } from '../../src/store/commit-key.ts';
import { DamageReport, type DamageReportOptions } from '../../src/store/damage-report.ts';
import type { Store, TopicInfo } from '../../src/store/log.ts';
import { openStore } from '../../src/store/open.ts';
import { systemClock } from '../../src/time.ts';
import { MemoryDisk, memoryEngine } from '../support/memory-engine.ts';
import {
  append,
  entriesOf,
  fill,
  FOREVER,
  readAll,
  rememberingLogger,
  type RememberingLogger,
} from '../support/store-kit.ts';

/** What is said, and how often, of damage that is found while the store runs. */
let disk: MemoryDisk;
let logger: RememberingLogger;
let store: Store;
let topic: TopicInfo;

async function open(segmentBytes?: number): Promise<void> {
  logger = rememberingLogger();
  store = await openStore({
    folder: 'memory',
    engine: memoryEngine(disk),
    clock: systemClock,
    random: seededRandom(1),
    logger,
    ...(segmentBytes === undefined ? {} : { segmentBytes }),
  });
  topic = store.writer.defineTopic('t', { ...FOREVER, partitions: 1 });
}

/** Flips a bit of a commit; resolves with its size. */
async function flip(commit: number): Promise<number> {
  const segment = disk.databases.get('1');
  const key = entryKey(commit, 'commit');
  const value = Buffer.from((await segment?.get(key)) ?? []);
  value[20] = (value[20] ?? 0) ^ 1;
  await segment?.put(key, value);
  return value.length;
}

function told(): RememberingLogger['lines'] {
  return logger.lines.filter(({ level }) => level === 'error');
}

beforeEach(async () => {
  disk = new MemoryDisk();
  await open();
});
afterEach(() => store.close());

test('a finding is one line with its place and size, and an entry with both, whoever finds it again', async () => {
  const [stream = streamId(0)] = topic.streams;
  for (let index = 0; index < 10; index++) {
    await append(store, stream, { value: Buffer.alloc(100 + index) });
  }
  // The first commit defines nothing but the topic, or the first record with it.
  const last = store.counters().commits;
  const size = (await flip(last - 4)) + (await flip(last - 3));
  await readAll(store, topic.streams);
  const [entry] = await entriesOf(store);
  expect(entry).toMatchObject({ fromOffset: 5, toOffset: 7, records: 2 });
  const bytes = entry?.bytes ?? 0;
  expect(bytes / size).toBeGreaterThan(0.7);
  expect(bytes / size).toBeLessThan(1.4);
  const place = { segment: 1, topic: 't', partition: 0, fromOffset: 5, toOffset: 7 };
  expect(told()).toMatchObject([
    { fields: { event: 'store.damaged', foundBy: 'reader', ...place, records: 2, bytes } },
  ]);
  expect(told()[0]?.message).toBe(
    '2 records of t/0 of the segment that begins with commit 1 can not be read (offsets 5 to 6, ' +
      `about ${bytes} B): in the loss ledger now, and readers go on after them`,
  );
  await readAll(store, topic.streams);
  await store.scrub();
  expect(told()).toHaveLength(1);
  await flip(last);
  await store.scrub();
  expect(told().slice(1)).toMatchObject([
    { fields: { event: 'store.damaged', foundBy: 'check', fromOffset: 9, records: 1 } },
  ]);
});

test('the size of a whole segment is known by what stands before and after it', async () => {
  await store.close();
  await open(20_000);
  await fill(store, topic, 3000, { perCommit: 10 });
  await store.close();
  const names = [...disk.databases.keys()].filter((name) => /^\d+$/u.test(name));
  const [, gone = ''] = names.toSorted((one, other) => Number(one) - Number(other));
  const entries = (await disk.databases.get(gone)?.iterator().all()) ?? [];
  const commits = entries.filter(([key]) => parseKey(key)?.kind === 'commit');
  const held = commits.reduce((sum, [, value]) => sum + value.length, 0);
  disk.databases.delete(gone);
  await open(20_000);
  await readAll(store, topic.streams);
  const [entry] = await entriesOf(store);
  expect((entry?.bytes ?? 0) / held).toBeCloseTo(1, 1);
  expect(told().map(({ fields }) => fields['event'])).toEqual(['store.segment-lost']);
});

test('where nothing around can be read now, a loss is told all the same, without a size', async () => {
  const range = { topic: 't', partition: 0, fromOffset: 5, toOffset: 6, records: 1 };
  const loss: Loss = {
    ...range,
    bytes: undefined,
    reason: 'corruption',
    detail: '',
    mirror: undefined,
  };
  const ledger = { tell: (losses: readonly Loss[]) => Promise.resolve(losses) };
  const lookup = { commitBefore: () => Promise.reject(new Error('EIO')) };
  const registry = { get: () => topic };
  const parts = { state: { registry }, segments: {}, lookup, ledger, logger };
  const report = new DamageReport(parts as unknown as DamageReportOptions);
  await report.tell([loss], 'reader');
  expect(told()).toMatchObject([{ fields: { segment: undefined, bytes: undefined, records: 1 } }]);
  expect(told()[0]?.message).toBe(
    '1 record of t/0 can not be read (offset 5): in the loss ledger now, and readers go on after them',
  );
});
