import { expect, test } from 'vitest';
import type { CentralTopic } from '../../../src/mirror/kafka/cluster.ts';
import { CODE } from '../../../src/mirror/kafka/codes.ts';
import { findDestinations } from '../../../src/mirror/kafka/destinations.ts';
import { TopicTrouble } from '../../../src/mirror/kafka/topic-trouble.ts';
import { streamId } from '../../../src/record.ts';
import { silentLogger } from '../../../src/telemetry.ts';

const LEADER = { host: 'kafka', port: 9092 };

test('topics that cannot go on are all named by one question, and the others are asked for no more', async () => {
  const codes: Record<string, number> = {
    absent: CODE.unknownTopicOrPartition,
    forbidden: CODE.topicAuthorizationFailed,
    fine: CODE.none,
    odd: CODE.invalidTopic,
  };
  let asked = 0;
  const cluster = {
    topics: async (names: readonly string[]): Promise<Map<string, CentralTopic>> => {
      asked++;
      return new Map(
        names.map((name) => [name, { name, code: codes[name] ?? -1, leaders: [LEADER] }]),
      );
    },
    create: () => Promise.reject(new Error('nothing may be created')),
  };
  const streams = Object.keys(codes).map((topic, index) => ({
    stream: streamId(index + 1),
    topic,
    partition: 0,
  }));
  const options = { gateway: 'gw', incarnation: 'i', create: false, logger: silentLogger };
  const trouble: unknown = await findDestinations(cluster, streams, options as never).catch(
    (error: unknown) => error,
  );
  expect(asked).toBe(1);
  if (!(trouble instanceof TopicTrouble)) throw new Error('it names no topic', { cause: trouble });
  const all = [trouble, ...trouble.others].map(({ topic, code, message }) => [
    topic,
    code,
    message,
  ]);
  expect(all).toEqual([
    ['absent', 'UPSTREAM_TOPIC_MISSING', expect.stringContaining("'absent' does not exist")],
    ['forbidden', 'UPSTREAM_UNAUTHORIZED', expect.stringContaining("topic 'forbidden'")],
    ['odd', 'UPSTREAM_REJECTED', expect.stringContaining("name 'odd'")],
  ]);
});
