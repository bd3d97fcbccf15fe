import { fetchV12, listOffsetsV6, metadataV9 } from '@platformatic/kafka';
import { vi } from 'vitest';
import { CODE } from '../../../src/mirror/kafka/codes.ts';
import { Links } from '../../../src/mirror/kafka/links.ts';

interface FakeRecord {
  readonly identity: string;
  readonly key?: string;
  readonly value?: string;
}

export interface FakeTopic {
  readonly records: readonly FakeRecord[];
  /** As reading is answered. */
  readonly code?: number;
  readonly isHeldBack?: boolean;
}

function answer(
  topics: Readonly<Record<string, FakeTopic>>,
  api: unknown,
  args: readonly unknown[],
): unknown {
  if (api === metadataV9.api) {
    const [names] = args as [string[]];
    const partitions = [{ partitionIndex: 0, leaderId: 1 }];
    return {
      clusterId: 'c',
      brokers: [{ nodeId: 1, host: 'h', port: 1 }],
      topics: names.map((name) =>
        topics[name] === undefined
          ? { name, errorCode: CODE.unknownTopicOrPartition, partitions: [] }
          : { name, errorCode: 0, partitions },
      ),
    };
  }
  if (api === listOffsetsV6.api) {
    const [, , [asked]] = args as [
      number,
      number,
      { name: string; partitions: { timestamp: bigint }[] }[],
    ];
    const isEnd = asked?.partitions[0]?.timestamp === -1n;
    const end = BigInt(topics[asked?.name ?? '']?.records.length ?? 0);
    return { topics: [{ partitions: [{ errorCode: 0, offset: isEnd ? end : 0n }] }] };
  }
  if (api !== fetchV12.api) throw new Error('nothing else is asked');
  const [asked] = args[6] as { topicId: string; partitions: { fetchOffset: bigint }[] }[];
  const { records = [], code = 0, isHeldBack = false } = topics[asked?.topicId ?? ''] ?? {};
  const batch = {
    firstOffset: 0n,
    firstTimestamp: 0n,
    lastOffsetDelta: records.length - 1,
    attributes: 0,
    producerId: 1n,
    records: records.map(({ identity, key, value = '' }, offsetDelta) => ({
      offsetDelta,
      timestampDelta: 0n,
      key: key === undefined ? null : Buffer.from(key),
      value: Buffer.from(value),
      headers: [[Buffer.from('gatelog.id'), Buffer.from(identity)]],
    })),
  };
  const rest = { logStartOffset: 0n, abortedTransactions: [] };
  const lastStableOffset = isHeldBack ? 0n : BigInt(records.length);
  const batches = isHeldBack || code !== 0 ? [] : [batch];
  const partition = { errorCode: code, lastStableOffset, ...rest, records: batches };
  return { errorCode: 0, responses: [{ partitions: [partition] }] };
}

/** Brokers that are answers only, to who reads topics; of one partition each. Asked for every question. */
export function answerTopics(topics: () => Readonly<Record<string, FakeTopic>>): void {
  vi.spyOn(Links.prototype, 'call').mockImplementation(
    async (_leader: unknown, api: unknown, ...args: unknown[]) => answer(topics(), api, args),
  );
}
