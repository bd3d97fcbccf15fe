import { expect, test } from 'vitest';
import { PartitionWatch } from '../../../src/mirror/kafka/partition-watch.ts';
import { identityBytes, type Way } from '../../../src/mirror/kafka/plan.ts';
import { streamId } from '../../../src/record.ts';
import { type Logger, silentLogger } from '../../../src/telemetry.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { SimClock } from '../../support/sim-clock.ts';

const identity = identityBytes({ gateway: 'gw', incarnation: 'abc', topic: 't', partition: 0 });

function way(centralTopic: string, centralPartitions: number): Way {
  return {
    stream: streamId(0),
    topic: 't',
    partition: 0,
    centralTopic,
    centralPartitions,
    identity,
  };
}

test('a change is told once, by the process that sees it first, also across restarts', async () => {
  const said: string[] = [];
  const logger: Logger = { ...silentLogger, warn: (_fields, text) => void said.push(text) };
  const values = new MemoryLog().keyValue;
  const life = (): PartitionWatch => new PartitionWatch({ values, clock: new SimClock(), logger });
  const first = life();
  expect(await first.begin([way('a', 6), way('b', 1)])).toEqual(
    new Map([
      ['a', 6],
      ['b', 1],
    ]),
  );
  await first.begin([way('a', 6), way('b', 1)]);
  expect(said).toEqual([]);
  const second = life();
  await second.begin([way('a', 12), way('b', 1)]);
  await second.begin([way('a', 12), way('b', 1)]);
  await life().begin([way('a', 12), way('b', 1)]);
  expect(said).toEqual([
    expect.stringMatching(/topic 'a' has 12 partitions at Kafka, and had 6: from here on keys/u),
  ]);
});
