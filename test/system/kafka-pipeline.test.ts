import { describe, expect, test } from 'vitest';
import type { Address } from '../../src/mirror/kafka/address.ts';
import { parseAddress } from '../../src/mirror/kafka/address.ts';
import { Cluster } from '../../src/mirror/kafka/cluster.ts';
import { CODE } from '../../src/mirror/kafka/codes.ts';
import { Coordinators } from '../../src/mirror/kafka/coordinators.ts';
import { KnownCluster } from '../../src/mirror/kafka/known-cluster.ts';
import { Links } from '../../src/mirror/kafka/links.ts';
import { askPositions } from '../../src/mirror/kafka/offset-fetch.ts';
import { TransactionClient } from '../../src/mirror/kafka/transaction.ts';
import type { StreamId } from '../../src/record.ts';
import { type Logger, silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { KafkaOfFile } from '../support/kafka/of-file.ts';
import {
  committed,
  expectExactlyOnce,
  freshName,
  memoryKeyValue,
  NO_BOOKS,
  newGateway,
  type TestGateway,
} from './kafka-rig.ts';

/** Several transactions of one gateway at once, against real brokers. */
const kafka = KafkaOfFile.open();

/** Sends everything, so many batches at once. */
async function sendAll(gateway: TestGateway, perStream: number, atOnce: number): Promise<void> {
  const session = await gateway.connectSoon();
  const from = new Map<StreamId, number>(session.positions);
  const flights: Promise<unknown>[] = [];
  for (;;) {
    const batch = gateway.next(from, perStream);
    if (batch.length === 0) break;
    if (flights.length >= atOnce) await flights.shift();
    flights.push(session.send(batch));
  }
  await Promise.all(flights);
  await session.close();
}

interface Told {
  readonly logger: Logger;
  readonly texts: string[];
}

function listener(): Told {
  const texts: string[] = [];
  const logger: Logger = {
    ...silentLogger,
    child: () => logger,
    warn: (_fields, text) => void texts.push(text),
  };
  return { logger, texts };
}

test('of two open transactions the group keeps what was appended last, whichever ends first', async () => {
  const links = new Links({ brokers: [] }, () => {});
  const { signal } = new AbortController();
  const brokers: Address[] = kafka.cluster.bootstrap('plaintext').map(parseAddress);
  const cluster = await Cluster.open({ links, brokers, topics: [], clock: systemClock, signal });
  const coordinators = new Coordinators(cluster, new KnownCluster(), new Map());
  const positionsTopic = freshName('positions');
  await kafka.cluster.createTopic(positionsTopic, { partitions: 2 });
  try {
    for (const order of ['first', 'last'] as const) {
      const group = freshName('group');
      const clientOf = (index: number): TransactionClient => {
        const transactionalId = `${group}#${index}`;
        const ids = { transactionalId, group, positionsTopic };
        const names = { ...ids, timeoutMs: 10_000, isDescribable: true };
        return new TransactionClient(links, coordinators, names, systemClock, signal);
      };
      const clients = [clientOf(1), clientOf(2)] as const;
      for (const client of clients) expect(await client.initialise()).toBe(CODE.none);
      for (const client of clients)
        expect(await client.begin(new Map())).toMatchObject({ code: CODE.none });
      for (const [index, client] of clients.entries()) {
        const staged = [{ index: 0, offset: 10 * (index + 1), metadata: '' }];
        expect(await client.stage(staged, false)).toBe(CODE.none);
      }
      const { address } = await coordinators.find('group', group);
      const question = { group, positionsTopic, indexes: [0], requireStable: true };
      const read = () => askPositions(links, address, question);
      expect(await read()).toMatchObject({ code: CODE.unstableOffsetCommit });
      for (const client of order === 'first' ? clients : clients.toReversed())
        expect(await client.end(true)).toBe(CODE.none);
      await expect.poll(read).toMatchObject({ code: CODE.none });
      expect((await read()).positions.get(0)).toMatchObject({ offset: 20 });
    }
  } finally {
    links.close();
  }
});

describe('where the further ids are granted', () => {
  test('batches travel under several, and a new process takes all of them over', async () => {
    const gateway = await newGateway(kafka.cluster);
    gateway.fill(3000);
    await sendAll(gateway, 20, 5);
    expectExactlyOnce(await committed(kafka.cluster, gateway), gateway);
    // A process that knows nothing of the ring takes over from one that is in the middle of it.
    const older = await gateway.connect();
    const from = new Map<StreamId, number>(older.positions);
    gateway.fill(3000);
    const flights = Array.from({ length: 5 }, () => older.send(gateway.next(from, 20)));
    for (const flight of flights) flight.catch(() => {});
    const clone = gateway.reborn({ journal: memoryKeyValue(), ...NO_BOOKS });
    await sendAll(clone, 50, 5);
    const outcomes = await Promise.allSettled([
      ...flights,
      older.send(gateway.next(from, 20)),
      older.send(gateway.next(from, 20)),
    ]);
    // Fenced, or told of its transaction first that it is over.
    const code = expect.stringMatching(/UPSTREAM_(FENCED|UNCERTAIN)/u);
    expect(outcomes.at(-1)).toMatchObject({ reason: { code } });
    await older.close();
    expectExactlyOnce(await committed(kafka.cluster, gateway), gateway);
  });
});

test('without that right one transaction goes after the other, and what to grant is said once', async () => {
  const { logger, texts } = listener();
  const gateway = await newGateway(kafka.cluster, { single: true, upstream: { logger } });
  gateway.fill(1000);
  await sendAll(gateway, 20, 5);
  expect(
    texts.filter((text) => text.includes(`with the prefix 'gatelog.${gateway.name}#'`)),
  ).toHaveLength(1);
  expectExactlyOnce(await committed(kafka.cluster, gateway), gateway);
});

test('hundreds of transactions, and no broker takes one of ours for a repeat', async () => {
  const gateway = await newGateway(kafka.cluster);
  gateway.fill(2000);
  await gateway.mirror(10);
  const refusals = gateway.failures.filter((error) =>
    /NOT_ENOUGH_REPLICAS|COORDINATOR_LOAD_IN_PROGRESS/u.test(String(error)),
  );
  expect(refusals).toEqual([]);
  expectExactlyOnce(await committed(kafka.cluster, gateway), gateway);
});
