import { expect, test } from 'vitest';
import { decodeHeaders } from '../../src/headers.ts';
import { parseIdentity } from '../../src/identity.ts';
import type { GapJson } from '../../src/loss.ts';
import { LIMITS } from '../../src/limits.ts';
import { createKafkaUpstream } from '../../src/mirror/kafka/kafka-upstream.ts';
import { Mirror } from '../../src/mirror/mirror.ts';
import { partitionOfKey } from '../../src/murmur2.ts';
import { systemRandom } from '../../src/random.ts';
import type { Store, TopicInfo, TopicOptions } from '../../src/store/log.ts';
import { systemClock } from '../../src/time.ts';
import { KafkaOfFile } from '../support/kafka/of-file.ts';
import { kcatConsume } from '../support/kafka/tools.ts';
import { append, onDisk, rememberingLogger } from '../support/store-kit.ts';
import { newGateway } from './kafka-rig.ts';

/** Records without a key for a compacted topic: Kafka refuses whole batches, record by record. */
const kafka = KafkaOfFile.open();

const REFUSED = 8000;
const OPTIONS: TopicOptions = {
  partitions: 1,
  durability: 'fsync',
  retentionMs: undefined,
  retentionBytes: undefined,
};

/** The identities in the quarantine topic, in its order. */
async function quarantined(store: Store, { streams }: TopicInfo): Promise<string[]> {
  const cursor = store.reader.cursor(new Map(streams.map((stream) => [stream, 0])));
  const found: string[] = [];
  for (;;) {
    const batch = await cursor.next({ maxRecords: 10_000, maxBytes: 10_000_000 });
    if (batch.records === 0) break;
    for (const { headers } of batch.slices.flatMap(({ records }) => records)) {
      const source = decodeHeaders(headers).find(({ key }) => key === 'gatelog.quarantine.source');
      found.push(Buffer.from(source?.value ?? []).toString());
    }
  }
  await cursor.close();
  return found;
}

/** For each partition a key that Kafka's rule leads to it. */
const KEYS = [0, 1, 2, 3].map((partition) => {
  const numbers = Array.from({ length: 100 }, (_, number) => Buffer.from(`key-${number}`));
  return numbers.find((key) => partitionOfKey(key, 4) === partition) ?? null;
});

type Kind = 'good' | 'bad';

function fill(store: Store, { streams }: TopicInfo, from: number, to: number, kind: Kind) {
  const numbers = Array.from({ length: to - from }, (_, index) => from + index);
  return Promise.all(
    numbers.flatMap((number) => {
      const stream = streams[number % streams.length];
      const value = Buffer.from(String(number));
      const key = kind === 'good' ? (KEYS[number % streams.length] ?? null) : null;
      const timestampMs = systemClock.nowMs();
      return stream === undefined ? [] : [append(store, stream, { timestampMs, key, value })];
    }),
  );
}

/** Records that the gateway's ledger in the centre names, by reason. */
async function gapsOf(gateway: string): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const { value, headers } of await kcatConsume(kafka.cluster, '_gaps')) {
    if (parseIdentity(headers.at(-1)?.[1] ?? '')?.gateway !== gateway) continue;
    const { reason, records } = JSON.parse(value ?? '') as GapJson;
    counts[reason] = (counts[reason] ?? 0) + records;
  }
  return counts;
}

test.for(['exactly-once', 'at-least-once'] as const)(
  'thousands of records that Kafka refuses are put aside once, and the mirror moves on (%s)',
  async (delivery) => {
    const configs = { 'cleanup.policy': 'compact' };
    const options = { upstream: { delivery }, otherTopics: ['_gaps'] };
    const gateway = await newGateway(kafka.cluster, options, configs);
    const place = await onDisk.make();
    const store = await place.open({ ledgerIdleMs: 100 });
    const logger = rememberingLogger();
    const { incarnation } = store.identity;
    const topic = store.writer.defineTopic(gateway.topic, { ...OPTIONS, partitions: 4 });
    const quarantine = store.writer.defineTopic('_quarantine', OPTIONS);
    await fill(store, topic, 0, REFUSED, 'bad');
    const mirror = new Mirror({
      name: 'central',
      gateway: gateway.name,
      incarnation,
      reader: store.reader,
      positions: await store.positions('mirror.central', { pins: true }),
      ledger: store.ledger,
      quarantine: { writer: store.writer, topic: quarantine },
      decisions: store.keyValue('mirror.central'),
      sampled: store.keyValue('sampled.central'),
      upstream: createKafkaUpstream({ ...gateway.options, incarnation }),
      topics: [gateway.topic, '_gaps'],
      stoppedTopicRetryMs: 200, // Rights that were just granted reach the brokers one by one.
      clock: systemClock,
      random: systemRandom,
      logger,
    });
    try {
      const before = store.counters().commits;
      await mirror.start();
      await expect.poll(() => mirror.status().lagRecords, { timeout: 60_000 }).toBe(0);
      // One commit a part, one more where a part's last record came when it had begun, and `_gaps`.
      const parts = Math.ceil(REFUSED / LIMITS.quarantinePartRecords);
      expect(store.counters().commits - before).toBeLessThanOrEqual(parts * 2 + 6);
      expect(mirror.status()).toMatchObject({
        recordsRejected: REFUSED,
        rejections: [{ records: REFUSED, reason: expect.stringMatching(/[Kk]ey/u) as string }],
      });

      await fill(store, topic, REFUSED, REFUSED + 100, 'good');
      await fill(store, topic, REFUSED + 100, REFUSED + 102, 'bad');
      await fill(store, topic, REFUSED + 102, REFUSED + 200, 'good');
      await expect.poll(() => mirror.status().lagRecords, { timeout: 60_000 }).toBe(0);
      expect(mirror.status()).toMatchObject({ recordsRejected: REFUSED + 2 });
      expect(store.counters().losses.rejected.records).toBe(REFUSED + 2);

      const aside = await quarantined(store, quarantine);
      expect(aside).toHaveLength(REFUSED + 2);
      expect(new Set(aside).size).toBe(REFUSED + 2);
      const lines = logger.lines.filter(({ fields }) => fields['event'] === 'mirror.quarantine');
      expect(lines.length).toBeLessThanOrEqual(delivery === 'exactly-once' ? 2 : 8);
      const told = lines.map(({ fields }) => Number(fields['records']));
      expect(told.reduce((sum, records) => sum + records, 0)).toBe(REFUSED + 2);
      await expect
        .poll(() => gapsOf(gateway.name), { timeout: 60_000 })
        .toEqual({ rejected: REFUSED + 2 });
    } finally {
      await mirror.stop();
      await store.close();
      await place.remove();
    }
    await expect
      .poll(async () => (await kcatConsume(kafka.cluster, gateway.topic)).length)
      .toBeGreaterThanOrEqual(198);
    const found = await kcatConsume(kafka.cluster, gateway.topic);
    const refused = new Set([REFUSED + 100, REFUSED + 101].map(String));
    const wanted = Array.from({ length: 200 }, (_, index) => String(REFUSED + index));
    expect(found).toHaveLength(198);
    const taken = wanted.filter((value) => !refused.has(value));
    expect(new Set(found.map(({ value }) => value))).toEqual(new Set(taken));
    const sources = found.map(({ headers }) => parseIdentity(headers.at(-1)?.[1] ?? ''));
    for (const partition of [0, 1, 2, 3]) {
      const own = sources.filter((source) => source?.partition === partition);
      const offsets = own.map((source) => source?.offset ?? -1);
      expect(offsets).toEqual(offsets.toSorted((one, other) => one - other));
    }
  },
);
