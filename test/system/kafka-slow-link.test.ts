import { afterAll, beforeAll, expect, test } from 'vitest';
import { Mirror } from '../../src/mirror/mirror.ts';
import { seededRandom } from '../../src/random.ts';
import { streamId } from '../../src/record.ts';
import { type Logger, silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import type { KafkaCluster } from '../support/kafka/cluster.ts';
import { type KafkaLink, openKafkaLink } from '../support/kafka/link.ts';
import { MemoryLog } from '../support/memory-log.ts';
import { committed, INCARNATION, newGateway, openCluster } from './kafka-rig.ts';

/** A link that does not carry a batch of the configured size within the request timeout. */
let cluster: KafkaCluster;
let link: KafkaLink;

beforeAll(async () => {
  cluster = await openCluster();
  link = await openKafkaLink(cluster);
}, 420_000);

afterAll(async () => {
  await link.close();
  await cluster.close();
});

const KIB = 1024;
const RECORDS = 64;
const VALUE = '.'.repeat(8 * KIB);

for (const delivery of ['exactly-once', 'at-least-once'] as const) {
  test(`smaller batches get through (${delivery})`, async () => {
    const upstream = { delivery, compression: 'none', requestTimeoutMs: 2000 } as const;
    const gateway = await newGateway(cluster, { listener: 'proxied', partitions: 1, upstream });
    const log = new MemoryLog();
    const { streams } = log.topic(gateway.topic);
    const [stream = streamId(-1)] = streams;
    for (let index = 0; index < RECORDS; index++) {
      // Of 1970 Kafka would remove them at its next look for what is too old.
      log.add(stream, VALUE, systemClock.nowMs());
      gateway.append(0, { key: null, value: Buffer.from(VALUE) });
    }
    const said: string[] = [];
    const logger: Logger = {
      ...silentLogger,
      child: () => logger,
      warn: (_fields, text) => void said.push(text),
    };
    const mirror = new Mirror({
      name: 'central',
      gateway: gateway.name,
      incarnation: INCARNATION,
      reader: log.reader,
      positions: log.positions(),
      ledger: log.ledger,
      quarantine: { writer: log.writer, topic: log.topic('_quarantine') },
      decisions: log.keyValue,
      upstream: gateway.upstream,
      topics: [gateway.topic],
      backoff: { firstMs: 50, maxMs: 500 },
      clock: systemClock,
      random: seededRandom(1),
      logger,
    });
    await (await gateway.connectSoon()).close();
    // 512 KiB would take 4 s, 256 KiB 2 s.
    link.setShape({ bytesPerSecond: 128 * KIB, latencyMs: 20 });
    try {
      await mirror.start();
      await expect
        .poll(() => mirror.status(), { timeout: 120_000, interval: 200 })
        .toMatchObject({ lagRecords: 0 });
    } finally {
      link.setShape({});
      await mirror.stop();
    }
    expect(said).toContainEqual(expect.stringMatching(/batches of at most \S+ KiB instead of/u));
    const found = await committed(cluster, gateway);
    const seen = found.map(({ headers }) => headers.at(-1)?.[1] ?? '');
    const arrived = delivery === 'exactly-once' ? seen : [...new Set(seen)];
    expect(arrived).toEqual(gateway.identities());
  });
}
