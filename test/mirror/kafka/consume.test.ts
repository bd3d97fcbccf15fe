import { fetchV12, listOffsetsV6, metadataV9 } from '@platformatic/kafka';
import { afterEach, expect, test, vi } from 'vitest';
import { CODE } from '../../../src/mirror/kafka/codes.ts';
import { CommittedReader } from '../../../src/mirror/kafka/consume.ts';
import { Links } from '../../../src/mirror/kafka/links.ts';
import { SimClock } from '../../support/sim-clock.ts';

/** The reader's patience, with brokers that are answers only; the real ones: test/system/verify-live. */
afterEach(() => {
  vi.restoreAllMocks();
});

interface Answer {
  readonly errorCode: number;
  readonly lastStableOffset: bigint;
}

interface FakeTopic {
  readonly partitions: number;
  /** Where the topic begins, as it is asked for. */
  readonly start: () => bigint;
  readonly fetch: (offset: bigint) => Answer;
}

const END = 10n;

/** A cluster of one broker, and one topic of which there is nothing to read. */
function fakeCluster({ partitions, start, fetch }: FakeTopic): void {
  const indexes = Array.from({ length: partitions }, (_, index) => index);
  const answer = (api: unknown, args: readonly unknown[]): unknown => {
    if (api === metadataV9.api) {
      const led = indexes.map((partitionIndex) => ({ partitionIndex, leaderId: 1 }));
      const topics = [{ name: 't', errorCode: 0, partitions: led }];
      return { clusterId: 'c', brokers: [{ nodeId: 1, host: 'h', port: 1 }], topics };
    }
    if (api === listOffsetsV6.api) {
      const [, , topics] = args as [number, number, { partitions: { timestamp: bigint }[] }[]];
      const isEnd = topics[0]?.partitions[0]?.timestamp === -1n;
      return { topics: [{ partitions: [{ errorCode: 0, offset: isEnd ? END : start() }] }] };
    }
    expect(api).toBe(fetchV12.api);
    const wanted = args[6] as { partitions: { fetchOffset: bigint }[] }[];
    const { errorCode, lastStableOffset } = fetch(wanted[0]?.partitions[0]?.fetchOffset ?? 0n);
    const rest = { logStartOffset: 0n, abortedTransactions: [], records: [] };
    return {
      errorCode: 0,
      responses: [{ partitions: [{ errorCode, lastStableOffset, ...rest }] }],
    };
  };
  vi.spyOn(Links.prototype, 'call').mockImplementation(
    async (_leader: unknown, api: unknown, ...args: unknown[]) => answer(api, args),
  );
}

async function readAll(topic: FakeTopic): Promise<{ reader: CommittedReader; tookMs: number }> {
  fakeCluster(topic);
  const clock = new SimClock();
  const reader = new CommittedReader({ brokers: ['h:1'], topics: ['t'], clock });
  const read = async (): Promise<void> => {
    for await (const records of reader.pass()) expect(records).toEqual([]);
  };
  await clock.settled(read());
  reader.close();
  return { reader, tookMs: clock.monotonicMs() };
}

const begin = { start: () => 0n };

test('a hundred partitions held back are waited for together, as long as one', async () => {
  const fetch = (): Answer => ({ errorCode: CODE.none, lastStableOffset: 0n });
  const one = await readAll({ ...begin, partitions: 1, fetch });
  const all = await readAll({ ...begin, partitions: 100, fetch });
  expect(one.tookMs).toBeGreaterThanOrEqual(60_000);
  expect(all.tookMs).toBeLessThan(one.tookMs + 1000);
  expect(all.reader.unread).toHaveLength(100);
  expect(all.reader.unread[99]).toMatchObject({ partition: 99, from: 0, to: 10 });
});

test('a partition that gives nothing though it has something is waited for, each', async () => {
  const fetch = (): Answer => ({ errorCode: CODE.none, lastStableOffset: END });
  const { reader, tookMs } = await readAll({ ...begin, partitions: 3, fetch });
  expect(tookMs).toBeGreaterThanOrEqual(70_000);
  expect(reader.unread.map(({ reason }) => reason)).toEqual(
    Array(3).fill(expect.stringContaining('gave nothing')),
  );
});

test('what retention takes away while it is read is unread; the rest is read on', async () => {
  const asked: bigint[] = [];
  const starts = [0n, 6n];
  const { reader } = await readAll({
    partitions: 1,
    start: () => starts.shift() ?? 6n,
    fetch: (offset) => {
      asked.push(offset);
      if (offset < 6n) return { errorCode: CODE.offsetOutOfRange, lastStableOffset: -1n };
      return { errorCode: CODE.none, lastStableOffset: 6n };
    },
  });
  expect(asked.slice(0, 2)).toEqual([0n, 6n]);
  expect(reader.unread).toMatchObject([
    { from: 0, to: 6, reason: expect.stringContaining('retention') },
    { from: 6, to: 10, reason: expect.stringContaining('transaction') },
  ]);
});

test('a topic that was made anew under its name is not read for ever', async () => {
  const fetch = (): Answer => ({ errorCode: CODE.offsetOutOfRange, lastStableOffset: -1n });
  const { reader } = await readAll({ ...begin, partitions: 1, fetch });
  expect(reader.unread).toMatchObject([{ from: 0, to: 10 }]);
});
