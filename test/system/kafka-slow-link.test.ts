import { afterAll, beforeAll, expect, test } from 'vitest';
import { Mirror } from '../../src/mirror/mirror.ts';
import { seededRandom } from '../../src/random.ts';
import { streamId } from '../../src/record.ts';
import { type Logger, silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { KafkaOfFile } from '../support/kafka/of-file.ts';
import { type KafkaLink, openKafkaLink } from '../support/kafka/link.ts';
import { MemoryLog } from '../support/memory-log.ts';
import { committed, INCARNATION, newGateway } from './kafka-rig.ts';

/** A link that does not carry a batch of the configured size within the request timeout. */
const kafka = KafkaOfFile.open();
let link: KafkaLink;

beforeAll(async () => {
  link = await openKafkaLink(kafka.cluster);
}, 420_000);

afterAll(async () => {
  await link.close();
});

const KIB = 1024;
const WAIT_MS = 120_000;

interface Drained {
  readonly said: readonly string[];
  /** Identities at the centre, and those that are to be there. */
  readonly seen: readonly string[];
  readonly wanted: readonly string[];
}

/** Sends them over 128 KiB a second, with 2 s for each answer. */
async function drain(
  delivery: 'exactly-once' | 'at-least-once',
  values: string[],
): Promise<Drained> {
  const upstream = { delivery, compression: 'none', requestTimeoutMs: 2000 } as const;
  const gateway = await newGateway(kafka.cluster, { listener: 'proxied', partitions: 1, upstream });
  const log = new MemoryLog();
  const { streams } = log.topic(gateway.topic);
  const [stream = streamId(-1)] = streams;
  for (const value of values) {
    // Of 1970 Kafka would remove them at its next look for what is too old.
    log.add(stream, value, systemClock.nowMs());
    gateway.append(0, { key: null, value: Buffer.from(value) });
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
    sampled: log.sampled,
    upstream: gateway.upstream,
    topics: [gateway.topic],
    backoff: { firstMs: 50, maxMs: 500 },
    clock: systemClock,
    random: seededRandom(1),
    logger,
  });
  await (await gateway.connectSoon()).close();
  link.setShape({ bytesPerSecond: 128 * KIB, latencyMs: 20 });
  try {
    await mirror.start();
    await expect
      .poll(() => mirror.status(), { timeout: WAIT_MS, interval: 200 })
      .toMatchObject({ lagRecords: 0 });
  } finally {
    link.setShape({});
    await mirror.stop();
  }
  const found = await committed(kafka.cluster, gateway);
  const seen = found.map(({ headers }) => headers.at(-1)?.[1] ?? '');
  return { said, seen, wanted: gateway.identities() };
}

for (const delivery of ['exactly-once', 'at-least-once'] as const) {
  test(`batches are as small as gets through (${delivery})`, async () => {
    // 512 KiB would take 4 s, 256 KiB 2 s.
    const values = Array.from({ length: 64 }, () => '.'.repeat(8 * KIB));
    const { said, seen, wanted } = await drain(delivery, values);
    // By its receipts' pace one of them finds the size, mostly before anything fails; the other by failing.
    const byFailing = said.some((text) => /batches of at most \S+ KiB instead of/u.test(text));
    expect(byFailing || delivery === 'exactly-once').toBe(true);
    expect(delivery === 'exactly-once' ? seen : [...new Set(seen)]).toEqual(wanted);
  });
}

test('one record that takes longer than an answer may gets through', async () => {
  const { said, seen, wanted } = await drain('exactly-once', ['.'.repeat(512 * KIB)]);
  expect(said).toContainEqual(
    expect.stringMatching(
      /record 0 of \S+\/0 \(512\S* KiB on the wire\) did not get through in 2s/u,
    ),
  );
  expect(seen).toEqual(wanted);
});
