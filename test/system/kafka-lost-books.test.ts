import { expect, test } from 'vitest';
import { type StreamId, streamId } from '../../src/record.ts';
import { KafkaOfFile } from '../support/kafka/of-file.ts';
import {
  committed,
  expectExactlyOnce,
  failureOf,
  memoryKeyValue,
  newGateway,
  type TestGateway,
} from './kafka-rig.ts';

/**
 * Our books were lost with the state database, and the sessions after that are about some of the streams
 * only: what they wrote into the new books says nothing of the others.
 */
const kafka = KafkaOfFile.open();

interface AfterLoss {
  readonly gateway: TestGateway;
  readonly leftOut: StreamId;
  readonly others: readonly StreamId[];
}

/** Everything was delivered, the books were lost; then a session without one stream delivered more of the others. */
async function afterLoss(): Promise<AfterLoss> {
  const before = await newGateway(kafka.cluster);
  before.fill(200);
  await before.mirror();
  const lost = new Set(before.streams);
  const gateway = before.reborn({
    journal: memoryKeyValue(),
    isPositionLost: (stream) => lost.has(stream),
  });
  gateway.fill(100);
  const [leftOut = streamId(-1), ...others] = gateway.streams;
  const session = await gateway.connect(undefined, others);
  for (const stream of session.positions.keys()) lost.delete(stream);
  const batch = gateway.next(new Map(session.positions), 100);
  await session.send(batch.filter(({ stream }) => stream !== leftOut));
  await session.close();
  return { gateway, leftOut, others };
}

test('goes on with it where Kafka says that it stands: more than our books know is no clone’s', async () => {
  const { gateway } = await afterLoss();
  await gateway.mirror();
  expect(gateway.failures).toEqual([]);
  expectExactlyOnce(await committed(kafka.cluster, gateway), gateway);
});

test('asks a person about it where Kafka forgot it, and sends nothing twice', async () => {
  const { gateway, leftOut, others } = await afterLoss();
  const admin = kafka.cluster.openAdmin();
  await admin.deleteConsumerGroupOffsets({
    groupId: `gatelog.${gateway.name}`,
    topics: [{ name: 'gatelog.positions', partitionIndexes: [leftOut] }],
  });
  await admin.close();
  expect(await failureOf(gateway.connect())).toMatchObject({
    code: 'UPSTREAM_MISMATCH',
    message: expect.stringContaining('were lost with a damaged state database'),
  });
  // Those that are known go on meanwhile.
  await (await gateway.connect(undefined, others)).close();
});
