import { expect, test } from 'vitest';
import { encodeHeaders } from '../../src/headers.ts';
import { MIRROR_LIMITS } from '../../src/mirror-limits.ts';
import { streamId } from '../../src/record.ts';
import { type Logger, silentLogger } from '../../src/telemetry.ts';
import { type Clock, systemClock } from '../../src/time.ts';
import { growTopic, moveLeaders, setProducerQuota } from '../support/kafka/admin.ts';
import { KafkaOfFile } from '../support/kafka/of-file.ts';
import { openKafkaLink } from '../support/kafka/link.ts';
import { kcatConsume } from '../support/kafka/tools.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import { committed, expectExactlyOnce, failureOf, freshName, newGateway } from './kafka-rig.ts';

/** A link to Kafka that swallows, trickles or leads nowhere, and a cluster that changes or has quotas. */
const kafka = KafkaOfFile.open();

function listening(): { logger: Logger; said: string[] } {
  const said: string[] = [];
  const logger: Logger = {
    ...silentLogger,
    warn: (_fields, message) => void said.push(message),
    child: () => logger,
  };
  return { logger, said };
}

test('advertised addresses that can not be reached from here are named, with the option to mend', async () => {
  const gateway = await newGateway(kafka.cluster, { listener: 'proxied' });
  const link = await openKafkaLink(kafka.cluster);
  await (await gateway.connectSoon()).close();
  await link.close();
  const [node] = kafka.cluster.nodes;
  const way = await startTcpProxy({ targetPort: node?.ports.proxied ?? 0 });
  try {
    const brokers = [`127.0.0.1:${way.port}`];
    const failure = await failureOf(gateway.reborn({ brokers }).connect());
    const advertised = kafka.cluster.nodes.map(({ ports }) => ports.proxy).join('|');
    expect(failure).toMatchObject({
      code: 'UPSTREAM_UNREACHABLE',
      message: expect.stringMatching(
        new RegExp(
          `127\\.0\\.0\\.1:(${advertised}).*ECONNREFUSED.*is not in 'brokers', it is what the cluster advertises: .*advertised\\.listeners`,
          'u',
        ),
      ),
    });
  } finally {
    await way.close();
  }
});

test('a link that takes bytes and gives none back is given up; one that trickles is not', async () => {
  const link = await openKafkaLink(kafka.cluster);
  try {
    const upstream = { requestTimeoutMs: 4000, compression: 'none' } as const;
    const gateway = await newGateway(kafka.cluster, { listener: 'proxied', upstream });
    gateway.fill(600, 400);
    await (await gateway.connectSoon()).close();
    // 240 kB at 50 kB/s: longer than the time-out in all, and an answer comes now and then.
    link.setShape({ latencyMs: 20, bytesPerSecond: 50_000 });
    await gateway.mirror(5);
    expect(gateway.failures).toEqual([]);
    link.setShape({});
    gateway.fill(40);
    const hasty = gateway.reborn({ requestTimeoutMs: 1500 });
    const session = await hasty.connectSoon();
    await link.setMode('silent');
    const from = new Map(session.positions);
    const failure = await failureOf(session.send(gateway.next(from, 10)));
    expect(failure).toMatchObject({
      code: 'UPSTREAM_UNCERTAIN',
      message: expect.stringMatching(/no answer within \d/u),
    });
    expect(failure).toMatchObject({ message: expect.stringContaining('the link swallows') });
    await session.close();
    await link.setMode('open');
    await gateway.mirror();
    expectExactlyOnce(await committed(kafka.cluster, gateway), gateway);
  } finally {
    await link.close();
  }
});

test('an idle session on a link that became a black hole breaks by its probe', async () => {
  const link = await openKafkaLink(kafka.cluster);
  try {
    const { kafkaProbeMs } = MIRROR_LIMITS;
    const isProbe = (delayMs: number): boolean =>
      delayMs >= kafkaProbeMs / 2 && delayMs <= kafkaProbeMs;
    const sleepless: Clock = {
      ...systemClock,
      after: (delayMs, task) => systemClock.after(isProbe(delayMs) ? 300 : delayMs, task),
      monotonicMs: () => systemClock.monotonicMs() * 100,
    };
    const upstream = { clock: sleepless, requestTimeoutMs: 4000 };
    const gateway = await newGateway(kafka.cluster, { listener: 'proxied', upstream });
    const session = await gateway.connectSoon();
    await link.setMode('silent');
    expect(await failureOf(session.broken)).toMatchObject({
      code: 'UPSTREAM_UNREACHABLE',
      message: expect.stringContaining('after it had answered before: the link swallows'),
    });
    await session.close();
  } finally {
    await link.close();
  }
});

test('a quota of the cluster is kept to, and shown', async () => {
  const clientId = freshName('slow');
  await setProducerQuota(kafka.cluster.nodes, clientId, 20_000);
  // A broker that holds a transaction up for longer than its timeout ends it: longer ones are the answer.
  const upstream = { clientId, compression: 'none', transactionTimeoutMs: 60_000 } as const;
  const gateway = await newGateway(kafka.cluster, { upstream });
  gateway.fill(800, 500);
  await gateway.mirror(25);
  expect(gateway.upstream.slowness?.()).toMatch(
    /a quota of the cluster slows it down: .* held it up for/u,
  );
  expect(gateway.failures).toEqual([]);
  expectExactlyOnce(await committed(kafka.cluster, gateway), gateway);
});

test('leaders that moved away under way are followed: no repeat, no gap', async () => {
  const gateway = await newGateway(kafka.cluster);
  gateway.fill(200);
  await (await gateway.connectSoon()).close();
  await gateway.mirror();
  const session = await gateway.connect();
  const from = new Map(session.positions);
  await moveLeaders(kafka.cluster.nodes, gateway.topic);
  gateway.fill(200);
  const failure = await failureOf(session.send(gateway.next(from, 20)));
  expect(gateway.upstream.dispositionOf(failure)).toEqual({ kind: 'retry' });
  await session.close();
  await gateway.mirror();
  expectExactlyOnce(await committed(kafka.cluster, gateway), gateway);
});

test('what clears a retained message is a tombstone where that is asked for, and empty elsewhere', async () => {
  const retained = encodeHeaders([
    { key: 'mqtt.topic', value: Buffer.from('state') },
    { key: 'mqtt.retain', value: Buffer.from('1') },
  ]);
  const configs = { 'cleanup.policy': 'compact' };
  const gateway = await newGateway(
    kafka.cluster,
    { partitions: 1, upstream: { tombstones: true } },
    configs,
  );
  const plain = await newGateway(kafka.cluster, { partitions: 1 });
  for (const one of [gateway, plain]) {
    for (const text of ['on', '', 'again', '']) {
      one.append(0, { key: Buffer.from('state'), value: Buffer.from(text) });
    }
    // The last is empty without being retained.
    const records = one.records.get(streamId(0)) ?? [];
    one.records.set(
      streamId(0),
      records.map((record, at) => (at < 3 ? { ...record, headers: retained } : record)),
    );
    await one.mirror();
    await committed(kafka.cluster, one);
  }
  const values = async (topic: string): Promise<(string | null)[]> =>
    (await kcatConsume(kafka.cluster, topic)).map(({ value }) => value);
  expect(await values(gateway.topic)).toEqual(['on', null, 'again', '']);
  expect(await values(plain.topic)).toEqual(['on', '', 'again', '']);
});

test('more central partitions: the session goes over to them, says so, and keys stay in order', async () => {
  const { logger, said } = listening();
  const restless: Clock = {
    ...systemClock,
    sleep: (delayMs, signal) =>
      systemClock.sleep(delayMs === MIRROR_LIMITS.kafkaPartitionsMs ? 200 : delayMs, signal),
  };
  const gateway = await newGateway(kafka.cluster, {
    partitions: 2,
    upstream: { clock: restless, logger },
  });
  gateway.fill(100);
  await gateway.mirror();
  const session = await gateway.connect();
  await growTopic(kafka.cluster.nodes, gateway.topic, 5);
  expect(await failureOf(session.broken)).toMatchObject({
    message: expect.stringMatching(/has 5 partitions at Kafka now: connecting anew/u),
  });
  await session.close();
  gateway.fill(200);
  await gateway.mirror();
  expect(said.filter((text) => text.includes('partitions'))).toEqual([
    expect.stringMatching(/has 5 partitions at Kafka, and had 2: from here on/u),
  ]);
  const found = await committed(kafka.cluster, gateway);
  expectExactlyOnce(found, gateway);
  expect(new Set(found.map(({ partition }) => partition)).size).toBe(5);
});
