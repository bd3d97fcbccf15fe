import { describe, expect, test } from 'vitest';
import { type Coverages, upTo } from '../../src/coverage.ts';
import { consumeCommitted } from '../../src/mirror/kafka/consume.ts';
import { COMPRESSIONS } from '../../src/mirror/kafka/options.ts';
import { streamId } from '../../src/record.ts';
import { systemClock } from '../../src/time.ts';
import { KafkaOfFile } from '../support/kafka/of-file.ts';
import { openKafkaLink } from '../support/kafka/link.ts';
import { kcatConsume } from '../support/kafka/tools.ts';
import {
  committed,
  expectExactlyOnce,
  failureOf,
  freshName,
  gatewayFor,
  grantLeast,
  memoryKeyValue,
  NO_BOOKS,
  newGateway,
} from './kafka-rig.ts';

/** What brokers refuse, forget and demand; each with the text that a person gets to read. */
const kafka = KafkaOfFile.open();

describe('topics', () => {
  test('one that may not be written stops that topic and names the right', async () => {
    const gateway = await newGateway(kafka.cluster, { grant: false });
    const allowed = gatewayFor(kafka.cluster, freshName('other'), {
      upstream: { gateway: gateway.name },
    });
    await grantLeast(kafka.cluster, allowed);
    const failure = await failureOf(gateway.connect());
    expect(failure).toMatchObject({
      code: 'UPSTREAM_UNAUTHORIZED',
      message: expect.stringContaining(`write to topic '${gateway.topic}'`),
    });
    expect(gateway.upstream.dispositionOf(failure)).toEqual({
      kind: 'stop-topic',
      topic: gateway.topic,
    });
  });

  test('a right that is taken away under way stops the topic too', async () => {
    const gateway = await newGateway(kafka.cluster);
    gateway.fill(100);
    const session = await gateway.connectSoon();
    await session.send(gateway.next(new Map(), 5));
    await kafka.cluster.grant(kafka.cluster.state.users.gw.name, [
      { resource: 'topic', name: gateway.topic, operations: ['WRITE'], deny: true },
    ]);
    const from = new Map([...session.positions].map(([stream]) => [stream, 5]));
    await expect
      .poll(async () => {
        const failure = await failureOf(session.send(gateway.next(from, 5)));
        return gateway.upstream.dispositionOf(failure);
      })
      .toEqual({ kind: 'stop-topic', topic: gateway.topic });
    await session.close();
  });

  test('a missing one that may not be created stops; allowed, it is created', async () => {
    const gateway = gatewayFor(kafka.cluster, freshName('missing'), {
      upstream: { create: false },
    });
    await grantLeast(kafka.cluster, gateway);
    const failure = await failureOf(gateway.connect());
    expect(failure).toMatchObject({
      code: 'UPSTREAM_TOPIC_MISSING',
      message: expect.stringContaining('does not exist at Kafka and may not be created'),
    });
    expect(gateway.upstream.dispositionOf(failure)).toMatchObject({ kind: 'stop-topic' });
    const maker = gateway.reborn({ create: { partitions: 3, replicationFactor: 3 } });
    const refused = await failureOf(maker.connect());
    expect(refused).toMatchObject({ message: expect.stringContaining('could not be created') });
    await kafka.cluster.grant(kafka.cluster.state.users.gw.name, [
      { resource: 'topic', name: gateway.topic, operations: ['CREATE'] },
    ]);
    maker.fill(50);
    await maker.mirror();
    const found = await committed(kafka.cluster, maker);
    expectExactlyOnce(found, maker);
    expect(new Set(found.map(({ partition }) => partition)).size).toBe(3);
  });

  test('a transactional id or group that may not be used is named; the mirror tries again', async () => {
    const gateway = await newGateway(kafka.cluster, { grant: false });
    const { name } = kafka.cluster.state.users.gw;
    await kafka.cluster.grant(name, [
      { resource: 'topic', name: gateway.topic, operations: ['WRITE', 'DESCRIBE'] },
      { resource: 'topic', name: 'gatelog.positions', operations: ['READ'] },
    ]);
    // Each broker learns of rights in its own time.
    let first: unknown;
    await expect
      .poll(async () => (first = await failureOf(gateway.connect())))
      .toMatchObject({
        code: 'UPSTREAM_UNAUTHORIZED',
        message: expect.stringContaining(`transactional id 'gatelog.${gateway.name}'`),
      });
    expect(gateway.upstream.dispositionOf(first)).toEqual({ kind: 'retry' });
    const id = `gatelog.${gateway.name}`;
    await kafka.cluster.grant(name, [
      { resource: 'transactionalId', name: id, operations: ['WRITE'] },
    ]);
    await expect
      .poll(() => failureOf(gateway.connect()))
      .toMatchObject({
        code: 'UPSTREAM_UNAUTHORIZED',
        message: expect.stringContaining(`group 'gatelog.${gateway.name}'`),
      });
  });
});

test('the positions topic is made, and grows with the streams, where that is allowed', async () => {
  const positionsTopic = freshName('positions');
  const upstream = { positionsTopic } as const;
  const gateway = await newGateway(kafka.cluster, { upstream, partitions: 4 });
  const { name } = kafka.cluster.state.users.gw;
  const grant = (operations: readonly ('READ' | 'CREATE' | 'ALTER')[]): Promise<void> =>
    kafka.cluster.grant(name, [{ resource: 'topic', name: positionsTopic, operations }]);
  await grant(['READ']);
  await expect
    .poll(() => failureOf(gateway.connect()))
    .toMatchObject({
      code: 'UPSTREAM_TOPIC_MISSING',
      message: expect.stringContaining(`'${positionsTopic}' does not exist`),
    });
  await grant(['CREATE', 'ALTER']);
  const maker = gateway.reborn({ create: { partitions: 1, replicationFactor: 1 } });
  await expect.poll(() => failureOf(maker.connect().then((one) => one.close()))).toBe('no failure');
  // A stream numbered beyond the partitions there are.
  maker.records.set(streamId(64), []);
  const larger = maker.reborn();
  expect(await failureOf(larger.reborn({ create: false }).connect())).toMatchObject({
    message: expect.stringMatching(/has 64 partitions and this gateway needs 65/u),
  });
  larger.append(64, { key: null, value: Buffer.from('x') });
  larger.fill(50);
  await larger.mirror();
  expectExactlyOnce(await committed(kafka.cluster, larger), larger);
});

describe('records', () => {
  for (const delivery of ['exactly-once', 'at-least-once'] as const) {
    test(`an oversized one is rejected, the others arrive in order (${delivery})`, async () => {
      const upstream = { delivery, compression: 'none' } as const;
      const configs = { 'max.message.bytes': '20000' };
      const gateway = await newGateway(kafka.cluster, { upstream }, configs);
      gateway.fill(200, 400);
      const offset = gateway.append(2, {
        key: Buffer.from('big'),
        value: Buffer.alloc(50_000, 66),
      });
      gateway.fill(200, 400);
      await gateway.mirror(150);
      expect(gateway.failures).toEqual([]);
      expect(gateway.rejected).toEqual([
        {
          stream: streamId(2),
          offset,
          reason: expect.stringMatching(/Kafka refuses the record: .+/u),
          oversize: true,
        },
      ]);
      expectExactlyOnce(await committed(kafka.cluster, gateway), gateway);
    });
  }

  test.each(COMPRESSIONS)(
    'compressed by %s they are read by kcat and by the auditor',
    async (compression) => {
      const gateway = await newGateway(kafka.cluster, { upstream: { compression } });
      gateway.fill(600, 100);
      await gateway.mirror(100);
      expectExactlyOnce(await committed(kafka.cluster, gateway), gateway);
      const audited: string[] = [];
      const brokers = kafka.cluster.bootstrap('plaintext');
      for await (const records of consumeCommitted({
        brokers,
        topics: [gateway.topic],
        clock: systemClock,
      })) {
        audited.push(...records.map(({ identity }) => identity ?? ''));
      }
      expect(audited.toSorted()).toEqual(gateway.identities().toSorted());
    },
  );

  test('the auditor leaves out what was aborted', async () => {
    const gateway = await newGateway(kafka.cluster, { partitions: 1, listener: 'proxied' });
    gateway.fill(300);
    const link = await openKafkaLink(kafka.cluster);
    try {
      const session = await gateway.connectSoon();
      const cut = link.cut('EndTxn', { where: 'request', how: 'reset' });
      const batch = gateway.next(new Map(), 60);
      expect(await failureOf(session.send(batch))).toMatchObject({ code: 'UPSTREAM_UNCERTAIN' });
      await cut.done;
      await session.close();
      await gateway.mirror(60);
    } finally {
      await link.close();
    }
    const brokers = kafka.cluster.bootstrap('plaintext');
    const offsets: number[] = [];
    const audited: string[] = [];
    for await (const records of consumeCommitted({
      brokers,
      topics: [gateway.topic],
      clock: systemClock,
    })) {
      offsets.push(...records.map(({ offset }) => offset));
      audited.push(...records.map(({ identity }) => identity ?? ''));
    }
    expect(audited).toEqual(gateway.identities());
    expect(offsets[0]).toBeGreaterThan(0);
    const missing = consumeCommitted({ brokers, topics: ['no-such'], clock: systemClock });
    expect(await failureOf(missing.next())).toMatchObject({ code: 'UPSTREAM_TOPIC_MISSING' });
  });
});

describe('positions', () => {
  test('of another data folder are refused, unless it replaces that one', async () => {
    const gateway = await newGateway(kafka.cluster);
    gateway.fill(40);
    await gateway.mirror();
    const other = gateway.reborn({ incarnation: 'ffffffffffffffff', journal: memoryKeyValue() });
    const failure = await failureOf(other.connect());
    expect(failure).toMatchObject({
      code: 'UPSTREAM_MISMATCH',
      message: expect.stringContaining('belongs to another data folder'),
    });
    expect(other.upstream.dispositionOf(failure)).toEqual({ kind: 'halt' });
    const heir = gateway.reborn({
      incarnation: 'ffffffffffffffff',
      journal: memoryKeyValue(),
      replaces: gateway.options.incarnation,
    });
    const session = await heir.connect();
    expect([...session.positions.values()]).toEqual([0, 0, 0, 0]);
    await session.close();
  });

  test('another cluster than before is refused, unless it is named', async () => {
    const gateway = await newGateway(kafka.cluster);
    const { journal } = gateway.options;
    await journal.put('cluster', Buffer.from('the-old-one'));
    const failure = await failureOf(gateway.connect());
    const { clusterId } = kafka.cluster.state;
    expect(failure).toMatchObject({
      code: 'UPSTREAM_MISMATCH',
      message: expect.stringContaining(`set 'clusterId: ${clusterId}'`),
    });
    const moved = gateway.reborn({ clusterId });
    await (await moved.connect()).close();
    await (await gateway.connect()).close();
  });

  test('a seek is committed before the session begins', async () => {
    const gateway = await newGateway(kafka.cluster);
    gateway.fill(100);
    await gateway.mirror();
    const streams = gateway.streams.map((stream, partition) => ({
      stream,
      topic: gateway.topic,
      partition,
    }));
    const [stream = streamId(0)] = gateway.streams;
    const before: Coverages[] = [];
    const options = {
      seek: new Map([[stream, 3]]),
      onSought: (had: Coverages) => void before.push(had),
      quarantine: () => Promise.resolve(),
    };
    const session = await gateway.upstream.connect(streams, AbortSignal.timeout(30_000), options);
    expect(session.positions.get(stream)?.next).toBe(3);
    const had = upTo(gateway.records.get(stream)?.length ?? 0);
    expect(before).toEqual([new Map([[stream, had]])]);
    await session.close();
    const again = await gateway.connect();
    expect(again.positions.get(stream)).toBe(3);
    await again.close();
  });

  describe('forgotten by the far side', () => {
    const forget = async (group: string): Promise<void> => {
      const admin = kafka.cluster.openAdmin();
      await admin.deleteGroups({ groups: [group] });
      await admin.close();
    };

    test('with nothing in doubt: on from the local ones', async () => {
      const gateway = await newGateway(kafka.cluster);
      gateway.fill(200);
      await gateway.mirror();
      await forget(`gatelog.${gateway.name}`);
      gateway.fill(100);
      await gateway.mirror();
      expect(gateway.failures).toEqual([]);
      expectExactlyOnce(await committed(kafka.cluster, gateway), gateway);
    });

    for (const where of ['request', 'response'] as const) {
      test(`with EndTxn cut at its ${where}: the records themselves tell`, async () => {
        const gateway = await newGateway(kafka.cluster, { listener: 'proxied', partitions: 2 });
        gateway.fill(100);
        const link = await openKafkaLink(kafka.cluster);
        try {
          await gateway.mirror();
          gateway.fill(40);
          const session = await gateway.connectSoon();
          const cut = link.cut('EndTxn', { where, how: 'reset' });
          const batch = gateway.next(new Map(session.positions), 100);
          const failure = await failureOf(session.send(batch));
          expect(failure).toMatchObject({ code: 'UPSTREAM_UNCERTAIN' });
          await cut.done;
          await session.close();
          // Finishes or aborts what is open, as the next connection would, so that it can be forgotten.
          const settler = gateway.reborn({ journal: memoryKeyValue(), ...NO_BOOKS });
          await (await settler.connect()).close();
          await expect.poll(() => failureOf(forget(`gatelog.${gateway.name}`))).toBe('no failure');
          const blind = await failureOf(gateway.connect());
          expect(blind).toMatchObject({
            code: 'UPSTREAM_MISMATCH',
            message: expect.stringContaining('Grant READ on the topics'),
          });
          await kafka.cluster.grant(kafka.cluster.state.users.gw.name, [
            { resource: 'topic', name: gateway.topic, operations: ['READ'] },
          ]);
          await gateway.mirror();
        } finally {
          await link.close();
        }
        expectExactlyOnce(await committed(kafka.cluster, gateway), gateway);
      });
    }
  });
});

test('at least once: nothing is lost and the order stays when the link is cut', async () => {
  const link = await openKafkaLink(kafka.cluster);
  try {
    const upstream = { delivery: 'at-least-once' } as const;
    const gateway = await newGateway(kafka.cluster, { listener: 'proxied', upstream });
    gateway.fill(500);
    const cut = link.cut('Produce', { where: 'response', how: 'reset' });
    await gateway.mirror(20);
    await cut.done;
    const found = await kcatConsume(kafka.cluster, gateway.topic);
    const seen = found.map(({ headers }) => headers.at(-1)?.[1] ?? '');
    expect(seen.length).toBeGreaterThan(500);
    expect([...new Set(seen)].toSorted()).toEqual(gateway.identities().toSorted());
  } finally {
    await link.close();
  }
});
