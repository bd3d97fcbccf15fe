import { expect, test } from 'vitest';
import { KAFKA_DEFAULTS } from '../../../src/mirror/kafka/options.ts';
import { createCompressor } from '../../../src/mirror/kafka/compressor.ts';
import { type Cargo, PieceEncoder } from '../../../src/mirror/kafka/encode.ts';
import { Links } from '../../../src/mirror/kafka/links.ts';
import { identityBytes, targetsOf, wholeOf } from '../../../src/mirror/kafka/plan.ts';
import { type Delivered, produceWithPatience } from '../../../src/mirror/kafka/rounds.ts';
import { TimeBounds } from '../../../src/mirror/kafka/time-bounds.ts';
import { LargePatience } from '../../../src/mirror/large-patience.ts';
import { type LogRecord, streamId } from '../../../src/record.ts';
import { silentLogger } from '../../../src/telemetry.ts';
import { systemClock } from '../../../src/time.ts';
import { startFakeBroker } from '../../support/kafka/fake-broker.ts';

/** Records over a link that needs longer for one than an answer may take. */
const WAY = {
  stream: streamId(0),
  topic: 'scans',
  partition: 0,
  centralTopic: 'scans',
  centralPartitions: 1,
  identity: identityBytes({ gateway: 'g', incarnation: 'i', topic: 'scans', partition: 0 }),
};
const CONFIGURED_MS = 60;
const NO_PRODUCER = {
  producerId: -1n,
  producerEpoch: -1,
  baseSequence: -1,
  transactional: false,
} as const;

async function cargoOf(sizes: readonly number[]): Promise<Cargo[]> {
  const times = new TimeBounds(systemClock, silentLogger);
  const { maxBatchBytes } = KAFKA_DEFAULTS;
  const encoder = new PieceEncoder(createCompressor('none', undefined), maxBatchBytes, times);
  const records = sizes.map((size, offset): LogRecord => ({
    offset,
    timestampMs: 0,
    key: null,
    value: Buffer.alloc(size),
    headers: new Uint8Array(0),
  }));
  return encoder.encode(targetsOf([{ stream: WAY.stream, records }], () => WAY).map(wholeOf));
}

/** Sessions until one delivers, `most` at most: what each that did not said. */
async function sessions(sizes: readonly number[], most: number): Promise<string[]> {
  const broker = await startFakeBroker([], { producesAfterMs: (bytes) => bytes / 5 });
  const patience = new LargePatience({ configuredMs: CONFIGURED_MS, mostMs: 60_000 });
  const told: string[] = [];
  try {
    while (told.length < most) {
      const recordTimeoutMs = patience.begin();
      const links = new Links(
        { brokers: [], requestTimeoutMs: CONFIGURED_MS, recordTimeoutMs },
        () => {},
      );
      const delivered = await produceWithPatience(
        {
          links,
          patience,
          clock: systemClock,
          purpose: 'records',
          leaderOf: () => ({ host: '127.0.0.1', port: broker.port }),
          transactionalId: null,
          requestTimeoutMs: CONFIGURED_MS,
          pipelined: true,
          stampOf: () => NO_PRODUCER,
        },
        await cargoOf(sizes),
      ).catch((error: unknown): Delivered[] => {
        told.push(String(error));
        return [];
      });
      links.close();
      if (delivered.length > 0) break;
    }
  } finally {
    await broker.close();
  }
  return told;
}

test('one large record is waited for longer each time, named, and gets through', async () => {
  const told = await sessions([2000], 12);
  expect(told.length).toBeLessThan(12);
  expect(told[0]).toMatch(/within 60ms.*record 0 of scans\/0 \(2(?:\.\d)? KiB on the wire\)/u);
  expect(told[0]).toContain('did not get through in 60ms, it is given 180ms next');
  expect(told[1]).toContain('did not get through in 180ms, it is given 540ms next');
});

test('several together are not: they are sent again in smaller batches', async () => {
  const told = await sessions([1000, 1000], 3);
  expect(told.map((text) => /within (\w+)/u.exec(text)?.[1])).toEqual(['60ms', '60ms', '60ms']);
});
