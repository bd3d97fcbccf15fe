import { describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/limits.ts';
import { consumeCommitted } from '../../src/mirror/kafka/consume.ts';
import { type LogRecord, streamId } from '../../src/record.ts';
import { systemClock } from '../../src/time.ts';
import { KafkaOfFile } from '../support/kafka/of-file.ts';
import { openKafkaLink } from '../support/kafka/link.ts';
import type { ConsumedRecord } from '../support/kafka/tools.ts';
import { rememberingLogger } from '../support/store-kit.ts';
import {
  committed,
  expectExactlyOnce,
  failureOf,
  newGateway,
  type TestGateway,
} from './kafka-rig.ts';

/** Timestamps that a topic does not take: nothing is refused, nothing is lost. */
const kafka = KafkaOfFile.open();

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const CONFIGS = {
  'message.timestamp.after.max.ms': String(HOUR),
  'message.timestamp.before.max.ms': String(2 * DAY),
};

const headersOf = ({ headers }: ConsumedRecord): Record<string, string> =>
  Object.fromEntries(headers);

/** By value: the timestamp in Kafka. */
async function timesIn(gateway: TestGateway): Promise<Map<string, number>> {
  const times = new Map<string, number>();
  const brokers = kafka.cluster.bootstrap('plaintext');
  const topics = [gateway.topic];
  for await (const records of consumeCommitted({ brokers, topics, clock: systemClock })) {
    for (const { identity, timestampMs } of records) times.set(identity ?? '', timestampMs);
  }
  return times;
}

async function mayDescribe(gateway: TestGateway): Promise<void> {
  await kafka.cluster.grant(kafka.cluster.state.users.gw.name, [
    { resource: 'topic', name: gateway.topic, operations: ['DESCRIBE_CONFIGS'] },
  ]);
}

/** Three sound records, one of the year 1970, one far ahead, three sound ones; in partition 1. */
function mixed(gateway: TestGateway): { readonly early: number; readonly late: number } {
  const add = (value: string, timestampMs: number): number =>
    gateway.append(1, { key: null, value: Buffer.from(value), timestampMs });
  const now = systemClock.nowMs();
  for (let index = 0; index < 3; index++) add('sound', now);
  add('early', 20_000);
  add('late', now + 30 * DAY);
  for (let index = 0; index < 3; index++) add('sound', now);
  return { early: 20_000, late: now + 30 * DAY };
}

async function expectClamped(
  gateway: TestGateway,
  { early, late }: { readonly early: number; readonly late: number },
): Promise<void> {
  const now = systemClock.nowMs();
  expect(gateway.rejected).toEqual([]);
  const found = await committed(kafka.cluster, gateway);
  expectExactlyOnce(found, gateway);
  const times = await timesIn(gateway);
  const timeOf = (value: string): number => {
    const record = found.find((one) => one.value === value);
    return times.get(record?.headers.at(-1)?.[1] ?? '') ?? NaN;
  };
  const originals = new Map(
    found.map((record) => [record.value, headersOf(record)['gatelog.time.original']]),
  );
  expect(originals.get('early')).toBe(String(early));
  expect(originals.get('late')).toBe(String(late));
  expect(originals.get('sound')).toBeUndefined();
  expect(timeOf('early')).toBeGreaterThan(now - 2 * DAY);
  expect(timeOf('early')).toBeLessThan(now - 2 * DAY + 2 * LIMITS.kafkaTimeMarginMs);
  expect(timeOf('late')).toBeGreaterThan(now + HOUR - 2 * LIMITS.kafkaTimeMarginMs);
  expect(timeOf('late')).toBeLessThanOrEqual(now + HOUR);
}

describe.each(['exactly-once', 'at-least-once'] as const)('%s', (delivery) => {
  test('where we may read the topic’s bounds nothing is refused at all', async () => {
    const logger = rememberingLogger();
    const gateway = await newGateway(kafka.cluster, { upstream: { delivery, logger } }, CONFIGS);
    await mayDescribe(gateway);
    await (await gateway.connectSoon()).close();
    const times = mixed(gateway);
    await gateway.mirror(100);
    await expectClamped(gateway, times);
    expect(logger.lines.filter(({ fields }) => fields['event'] === 'mirror.time-bounds')).toEqual(
      [],
    );
  });

  test('where we may not, the first refusal tells them, whatever our own clock says', async () => {
    const logger = rememberingLogger();
    const clock = { ...systemClock, nowMs: () => 20_000 };
    const upstream = { delivery, logger, clock, isClockSound: () => false };
    const gateway = await newGateway(kafka.cluster, { upstream }, CONFIGS);
    const times = mixed(gateway);
    gateway.fill(200);
    await gateway.mirror(30);
    await expectClamped(gateway, times);
    const told = logger.lines.filter(({ fields }) => fields['event'] === 'mirror.time-bounds');
    expect(told.length).toBeGreaterThan(0);
    expect(told.length).toBeLessThan(4);
  });
});

test('a batch sent again after a broken link is the same, whatever its timestamps became', async () => {
  const gateway = await newGateway(kafka.cluster, { partitions: 1, listener: 'proxied' }, CONFIGS);
  const records = gateway.records.get(streamId(0)) ?? [];
  const value = Buffer.from('x');
  for (let index = 0; index < 60; index++) {
    gateway.append(0, {
      key: null,
      value,
      timestampMs: index % 3 === 0 ? 20_000 : systemClock.nowMs(),
    });
  }
  const link = await openKafkaLink(kafka.cluster);
  try {
    const session = await gateway.connectSoon();
    const cut = link.cut('EndTxn', { where: 'response', how: 'reset' });
    expect(await failureOf(session.send(gateway.next(new Map(), 30)))).toMatchObject({
      code: 'UPSTREAM_UNCERTAIN',
    });
    await cut.done;
    await session.close();
    // Meanwhile the clock became known: the same records, other times.
    for (const [index, record] of records.entries()) {
      if (record.timestampMs !== 20_000) continue;
      const time = { trust: 'corrected', clockMs: 20_000 } as const;
      const known: LogRecord = { ...record, timestampMs: systemClock.nowMs() - HOUR, time };
      records[index] = known;
    }
    await gateway.mirror(25);
  } finally {
    await link.close();
  }
  const found = await committed(kafka.cluster, gateway);
  expectExactlyOnce(found, gateway);
  const words = found.map((record) => headersOf(record)['gatelog.time']);
  expect(words.filter((word) => word === 'corrected').length).toBeGreaterThan(0);
});
