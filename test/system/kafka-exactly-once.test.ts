import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Claim, Claims } from '../../src/mirror/claims.ts';
import type { StreamId } from '../../src/record.ts';
import { systemClock } from '../../src/time.ts';
import { KafkaOfFile } from '../support/kafka/of-file.ts';
import type { ApiName } from '../support/kafka/frames.ts';
import { type KafkaLink, openKafkaLink } from '../support/kafka/link.ts';
import { kcatConsume } from '../support/kafka/tools.ts';
import { committed, expectExactlyOnce, memoryKeyValue, newGateway, NO_BOOKS } from './kafka-rig.ts';

/** The exactly-once state machine against real brokers, seen from outside. */
const kafka = KafkaOfFile.open();

test('records and positions in one transaction: each once, with its headers', async () => {
  const gateway = await newGateway(kafka.cluster);
  gateway.fill(1000);
  await gateway.mirror(60);
  expect(gateway.failures).toEqual([]);
  const found = await committed(kafka.cluster, gateway);
  expectExactlyOnce(found, gateway);
  const first = found.find(({ value }) => value === '0');
  expect(first?.headers.slice(0, -1)).toEqual([
    ['mqtt.topic', 'plant/a'],
    ['tag', expect.anything()],
    ['tag', 'zweimal'],
  ]);
});

test('the same transactional id through several lives, each bumping the epoch', async () => {
  const gateway = await newGateway(kafka.cluster);
  let lastPositions: ReadonlyMap<StreamId, number> = new Map();
  for (let life = 1; life <= 4; life++) {
    gateway.fill(100);
    // A new process that lost its local positions: Kafka knows where we were.
    const process = gateway.reborn();
    await process.mirror(30);
    expect(process.failures).toEqual([]);
    expect([...process.sessionPositions.values()]).toEqual(
      life === 1 ? [0, 0, 0, 0] : [...lastPositions.values()],
    );
    lastPositions = process.positions;
  }
  expectExactlyOnce(await committed(kafka.cluster, gateway), gateway);
});

test('two clones: the older one is fenced, says so and stays away', async () => {
  const older = await newGateway(kafka.cluster);
  older.fill(400);
  const first = await older.connectSoon();
  const from = new Map<StreamId, number>();
  await first.send(older.next(from, 20));
  const clone = older.reborn({ journal: memoryKeyValue(), ...NO_BOOKS });
  const second = await clone.connect();
  expect([...second.positions.values()].every((position) => position === 20)).toBe(true);
  const failure: unknown = await first.send(older.next(from, 20)).catch((error: unknown) => error);
  expect(failure).toMatchObject({
    code: 'UPSTREAM_FENCED',
    message: expect.stringContaining(`a clone of '${older.name}' is running`),
  });
  expect(older.upstream.dispositionOf(failure)).toEqual({ kind: 'halt' });
  await first.close();
  const rest = new Map(second.positions);
  await second.send(clone.next(rest, 400));
  await second.close();
  expectExactlyOnce(await committed(kafka.cluster, older), older);
});

test('two mirrors of one gateway at two addresses of one cluster: the second is refused before it fences', async () => {
  const claims = new Claims();
  const claim = (mirror: string): { claim: (wanted: readonly Claim[]) => void } => ({
    claim: (wanted) => claims.take(mirror, wanted),
  });
  const one = await newGateway(kafka.cluster, { upstream: claim('one') });
  one.fill(40);
  const session = await one.connectSoon();
  const brokers = kafka.cluster.bootstrap('sasl').slice(1);
  const two = one.reborn({ brokers, journal: memoryKeyValue(), ...claim('two') });
  await expect(two.connect()).rejects.toMatchObject({
    code: 'UPSTREAM_MISMATCH',
    message: expect.stringMatching(
      /^mirror "one" of this gateway sends to the same far side under another address: both use the transactionalId/u,
    ) as string,
  });
  await session.send(one.next(new Map(), 100));
  await session.close();
  expectExactlyOnce(await committed(kafka.cluster, one), one);
});

describe('the link is cut', () => {
  let link: KafkaLink;

  beforeAll(async () => {
    link = await openKafkaLink(kafka.cluster);
  });

  afterAll(async () => {
    await link.close();
  });

  const requests: readonly ApiName[] = [
    'AddPartitionsToTxn',
    'AddOffsetsToTxn',
    'Produce',
    'TxnOffsetCommit',
    'EndTxn',
    'InitProducerId',
    'OffsetFetch',
  ];
  const places = ['request', 'middle', 'response'] as const;
  // All of them with GATELOG_CUTS=all; the hunts cut everywhere.
  const isPicked = (request: ApiName, at: number): boolean =>
    process.env['GATELOG_CUTS'] === 'all' || requests.indexOf(request) % places.length === at;
  for (const [at, where] of places.entries()) {
    const picked = requests.filter((request) => isPicked(request, at));
    test.each(picked)(`at the ${where} of %s: no repeat, no gap`, async (request) => {
      const gateway = await newGateway(kafka.cluster, { listener: 'proxied' });
      gateway.fill(300);
      const cut = link.cut(request, { where, how: 'reset' });
      await gateway.mirror(20);
      await cut.done;
      expect(gateway.failures.length).toBeGreaterThan(0);
      expectExactlyOnce(await committed(kafka.cluster, gateway), gateway);
    });
  }

  test.each(['Produce', 'EndTxn'] as const)(
    'silently after %s was carried out: found by the request timeout, no repeat, no gap',
    async (request) => {
      const gateway = await newGateway(kafka.cluster, {
        listener: 'proxied',
        upstream: { requestTimeoutMs: 1500 },
      });
      gateway.fill(300);
      const cut = link.cut(request, { where: 'response', how: 'silent' });
      await gateway.mirror(20);
      await cut.done;
      expect(gateway.failures).toContainEqual(
        expect.objectContaining({
          code: expect.stringMatching(/UPSTREAM_(UNCERTAIN|UNREACHABLE)/u),
        }),
      );
      expectExactlyOnce(await committed(kafka.cluster, gateway), gateway);
    },
  );

  test('what an aborted transaction left is seen by read_uncommitted only', async () => {
    const gateway = await newGateway(kafka.cluster, { listener: 'proxied' });
    gateway.fill(100);
    const session = await gateway.connectSoon();
    const cut = link.cut('EndTxn', { where: 'request', how: 'reset' });
    const failure = await session
      .send(gateway.next(new Map(), 10))
      .catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'UPSTREAM_UNCERTAIN' });
    await cut.done;
    await session.close();
    await gateway.mirror(20);
    expectExactlyOnce(await committed(kafka.cluster, gateway), gateway);
    const all = await kcatConsume(kafka.cluster, gateway.topic, undefined, 'read_uncommitted');
    // More where brokers under load refused some of it meanwhile (not enough replicas).
    expect(all.length).toBeGreaterThanOrEqual(100 + 40);
    expect(gateway.failures.length > 0 || all.length === 100 + 40).toBe(true);
  });

  test('a session without some streams forgets nothing of what was in doubt of them', async () => {
    const gateway = await newGateway(kafka.cluster, { listener: 'proxied' });
    gateway.fill(100);
    const first = await gateway.connectSoon();
    // Committed, and nobody here knows: of all four streams.
    const cut = link.cut('EndTxn', { where: 'response', how: 'reset' });
    await first.send(gateway.next(new Map(), 10)).catch(() => {});
    await cut.done;
    await first.close();
    // As a link policy has it: one goes on, and its transaction takes the place in the journal.
    const only = gateway.streams.slice(0, 1);
    const second = await gateway.connect(undefined, only);
    const from = new Map(second.positions);
    const batch = gateway.next(from, 10).filter(({ stream }) => only.includes(stream));
    await second.send(batch);
    await second.close();
    await gateway.mirror(20);
    expect(gateway.failures).toEqual([]);
    expectExactlyOnce(await committed(kafka.cluster, gateway), gateway);
  });

  test('an idle session learns that its link is gone', async () => {
    const gateway = await newGateway(kafka.cluster, { listener: 'proxied' });
    const session = await gateway.connectSoon();
    const broken = session.broken.catch((error: unknown) => error);
    link.resetAll();
    expect(await broken).toMatchObject({ code: 'UPSTREAM_UNREACHABLE' });
    await session.close();
  });
});

test('a broker is killed in the middle of it: no repeat, no gap', async () => {
  const gateway = await newGateway(kafka.cluster, { upstream: { requestTimeoutMs: 5000 } });
  gateway.fill(4000);
  const done = gateway.mirror(20, 120_000);
  await expect.poll(() => gateway.positions.size, { timeout: 30_000 }).toBeGreaterThan(0);
  await kafka.cluster.kill(2);
  await done;
  await kafka.cluster.restore([gateway.topic]);
  expectExactlyOnce(await committed(kafka.cluster, gateway), gateway);
}, 240_000);

test('a stopped broker answers late: what it then does for us harms nothing', async () => {
  const gateway = await newGateway(kafka.cluster, { upstream: { requestTimeoutMs: 3000 } });
  gateway.fill(3000);
  const done = gateway.mirror(20, 120_000);
  await expect.poll(() => gateway.positions.size, { timeout: 30_000 }).toBeGreaterThan(0);
  await kafka.cluster.stop(3);
  // Until the gateway has given it up and takes over from itself.
  await expect.poll(() => gateway.failures.length, { timeout: 60_000 }).toBeGreaterThan(0);
  await systemClock.sleep(1000);
  await kafka.cluster.cont(3);
  await done;
  await kafka.cluster.restore([gateway.topic]);
  expectExactlyOnce(await committed(kafka.cluster, gateway), gateway);
}, 240_000);
