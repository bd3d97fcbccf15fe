import { crc32c, Reader, readRecordsBatch, type RecordsBatch } from '@platformatic/kafka';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { encodeHeaders, type Header } from '../../../src/headers.ts';
import { IDENTITY_HEADER } from '../../../src/identity.ts';
import { createCompressor } from '../../../src/mirror/kafka/compressor.ts';
import { COMPRESSIONS } from '../../../src/mirror/kafka/options.ts';
import { RecordBatchEncoder, sealBatch } from '../../../src/mirror/kafka/record-batch.ts';
import type { LogRecord } from '../../../src/record.ts';

/** The encoder against the client library's reader, which shares no code with it. */
const IDENTITY = Buffer.from('gw/00ff/telemetry/3/');
const STAMP = { producerId: 77n, producerEpoch: 5, baseSequence: 1234, transactional: true };

const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array));
const header: fc.Arbitrary<Header> = fc.record({
  key: fc.string({ maxLength: 80 }),
  value: fc.option(bytes),
});
const contents = fc.record({
  key: fc.option(bytes),
  value: fc.option(bytes),
  headers: fc.array(header, { maxLength: 70 }),
  timestampMs: fc.integer({ min: -1, max: 4_000_000_000_000 }),
  gap: fc.integer({ min: 1, max: 2 ** 40 }),
});

interface Made {
  readonly record: LogRecord;
  readonly headers: readonly Header[];
}

const records: fc.Arbitrary<Made[]> = fc
  .array(contents, { minLength: 1, maxLength: 40 })
  .map((list) => {
    let offset = 0;
    return list.map(({ gap, headers, ...rest }) => {
      offset += gap;
      return { record: { ...rest, offset, headers: encodeHeaders(headers) }, headers };
    });
  });

function expectSame(batch: RecordsBatch, made: readonly Made[]): void {
  expect(batch.magic).toBe(2);
  expect(batch.lastOffsetDelta).toBe(made.length - 1);
  expect(batch.producerId).toBe(77n);
  expect(batch.producerEpoch).toBe(5);
  expect(batch.firstSequence).toBe(1234);
  expect(batch.attributes & 0x10).toBe(0x10);
  const times = made.map(({ record }) => record.timestampMs);
  expect(Number(batch.firstTimestamp)).toBe(times[0]);
  expect(Number(batch.maxTimestamp)).toBe(Math.max(...times));
  expect(
    batch.records.map((record) => ({
      offsetDelta: record.offsetDelta,
      time: Number(batch.firstTimestamp + record.timestampDelta),
      key: record.key?.toString('hex'),
      value: record.value?.toString('hex'),
      headers: record.headers.map(([key, value]) => [key?.toString(), value?.toString('hex')]),
    })),
  ).toEqual(
    made.map(({ record, headers }, index) => ({
      offsetDelta: index,
      time: record.timestampMs,
      key: record.key === null ? undefined : Buffer.from(record.key).toString('hex'),
      value: record.value === null ? undefined : Buffer.from(record.value).toString('hex'),
      headers: [
        ...headers.map(({ key, value }) => [
          key,
          value === null ? undefined : Buffer.from(value).toString('hex'),
        ]),
        [IDENTITY_HEADER, Buffer.from(`${IDENTITY.toString()}${record.offset}`).toString('hex')],
      ],
    })),
  );
}

test.each(COMPRESSIONS)(
  'what is written with %s is what the library reads',
  async (compression) => {
    const compressor = createCompressor(compression, undefined);
    const encoder = new RecordBatchEncoder(64); // Small, so that it has to grow.
    await fc.assert(
      fc.asyncProperty(records, async (made) => {
        for (const { record } of made) encoder.add(record, IDENTITY);
        expect(encoder.count).toBe(made.length);
        const compressed = await compressor.compress(encoder.records());
        const batch = encoder.finish(compressed, compressor.codec);
        sealBatch(batch, STAMP);
        expect(batch.bytes.readInt32BE(8)).toBe(batch.bytes.length - 12);
        expect(batch.bytes.readUInt32BE(17)).toBe(crc32c(batch.bytes.subarray(21)));
        expectSame(readRecordsBatch(Reader.from(batch.bytes)), made);
      }),
      { numRuns: 150 },
    );
    compressor.close();
  },
);

test('a batch may be sealed again for another producer', () => {
  const encoder = new RecordBatchEncoder(1000);
  const record = {
    offset: 9,
    timestampMs: 5,
    key: null,
    value: Buffer.from('x'),
    headers: new Uint8Array(0),
  };
  encoder.add(record, IDENTITY);
  const batch = encoder.finish(undefined, 0);
  sealBatch(batch, STAMP);
  sealBatch(batch, { ...STAMP, producerId: 78n, baseSequence: 0, transactional: false });
  const read = readRecordsBatch(Reader.from(batch.bytes));
  expect([read.producerId, read.firstSequence, read.attributes]).toEqual([78n, 0, 0]);
  expect(read.crc).toBe(crc32c(batch.bytes.subarray(21)));
});

test('a batch owns its bytes; what was not finished can be forgotten', () => {
  const encoder = new RecordBatchEncoder(1000);
  const value = Buffer.from('first');
  const record = { offset: 0, timestampMs: 0, key: null, value, headers: new Uint8Array(0) };
  encoder.add(record, IDENTITY);
  const first = encoder.finish(undefined, 0);
  const before = first.bytes.toString('hex');
  encoder.add({ ...record, value: Buffer.from('other') }, IDENTITY);
  expect(first.bytes.toString('hex')).toBe(before);
  encoder.reset();
  expect(encoder.count).toBe(0);
  expect(encoder.records()).toHaveLength(0);
});
