import { afterAll, beforeAll, expect, test } from 'vitest';
import type { StreamId } from '../../src/record.ts';
import { type KafkaLink, openKafkaLink } from '../support/kafka/link.ts';
import { KafkaOfFile } from '../support/kafka/of-file.ts';
import { RoundTrips } from '../support/kafka/round-trips.ts';
import { committed, expectExactlyOnce, newGateway, type TestGateway } from './kafka-rig.ts';

/** What a session costs before its first record leaves, in round trips of a long link. */
const kafka = KafkaOfFile.open();
const trips = new RoundTrips();
let link: KafkaLink;

beforeAll(async () => {
  link = await openKafkaLink(kafka.cluster, trips);
}, 420_000);

afterAll(async () => {
  await link.close();
});

/** Round trips before the session's first record leaves. */
async function countSession(gateway: TestGateway, from: Map<StreamId, number>): Promise<number> {
  trips.restart();
  const session = await gateway.connect();
  await session.send(gateway.next(from, 5));
  await session.close();
  return trips.before('Produce') ?? Number.POSITIVE_INFINITY;
}

test('a reconnect asks everything at once: at most 8 round trips, with TLS, to the first record', async () => {
  const gateway = await newGateway(kafka.cluster, { listener: 'proxied' });
  gateway.fill(200);
  // The positions are made by the very first session, which costs it one more transaction.
  await (await gateway.connectSoon()).close();
  const from = new Map<StreamId, number>();
  link.setShape({ latencyMs: 75 });
  try {
    const again = await countSession(gateway, from);
    // TCP, two for SCRAM, all questions, InitProducerId, OffsetFetch, AddPartitionsToTxn. TLS: one more.
    expect(again).toBeLessThanOrEqual(7);
    // Each waits for the one before: that is the guarantee.
    const [init = 0, produce = 0] = ['InitProducerId', 'Produce'].map((api) => trips.before(api));
    const fetches = trips.requests.filter(({ api }) => api === 'OffsetFetch');
    expect(fetches.map(({ after }) => after < init)).toEqual([true, false]);
    expect(fetches[1]?.after).toBeLessThan(produce);
    // Another process knows nothing yet: it has to find the brokers, and log in there.
    const stranger = gateway.reborn();
    const cold = await countSession(stranger, new Map(from));
    expect(cold).toBeLessThanOrEqual(11);
  } finally {
    link.setShape({});
  }
  const rest = gateway.reborn();
  await rest.mirror();
  expectExactlyOnce(await committed(kafka.cluster, gateway), gateway);
});
