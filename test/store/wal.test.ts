import fc from 'fast-check';
import { expect, test } from 'vitest';
import { crc32c } from '../../src/store/crc32c.ts';
import { BLOCK_BYTES, HEADER_BYTES, readWal, walOf } from '../../src/store/wal.ts';

/** Sizes around what fits a block, and records of many blocks. */
const size = fc.oneof(
  fc.integer({ min: 13, max: 600 }),
  fc.integer({ min: BLOCK_BYTES - 40, max: BLOCK_BYTES + 40 }),
  fc.integer({ min: 13, max: 3 * BLOCK_BYTES }),
);

/** As LevelDB's batches begin: sequence, count, the kind of an entry. Contents are all different. */
function batch(index: number, bytes: number): Buffer {
  const record = Buffer.alloc(bytes, `${index}.`);
  record.writeBigUInt64LE(BigInt(index + 1), 0);
  record.writeUInt32LE(1, 8);
  record.writeUInt8(1, 12);
  return record;
}

const sizes = fc.array(size, { minLength: 1, maxLength: 40 });
const batches = (lengths: readonly number[]): Buffer[] =>
  lengths.map((bytes, index) => batch(index, bytes));

test('what is written is read, to the byte', () => {
  fc.assert(
    fc.property(sizes, (lengths) => {
      const written = batches(lengths);
      const file = walOf(written);
      const { records: found, bad } = readWal(file);
      expect(bad).toEqual([]);
      expect(
        found.map(({ bytes }) => bytes.equals(written[Number(sequenceOf(bytes))] as Buffer)),
      ).toEqual(written.map(() => true));
      expect(found.at(-1)?.to).toBe(file.length);
    }),
  );
});

function sequenceOf(record: Buffer): bigint {
  return record.readBigUInt64LE(0) - 1n;
}

test('of a damaged file all records are read that were not hit, and nothing else', () => {
  const hit = fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    bytes: fc.integer({ min: 1, max: 5000 }),
    fill: fc.option(fc.integer({ min: 0, max: 255 }), { nil: undefined }),
  });
  fc.assert(
    fc.property(sizes, fc.array(hit, { minLength: 1, maxLength: 3 }), (lengths, hits) => {
      const written = batches(lengths);
      const file = walOf(written);
      const before = readWal(file).records;
      const spans = hits.map(({ at, bytes, fill }) => {
        const from = Math.floor(at * (file.length - 1));
        const to = Math.min(file.length, from + bytes);
        for (let place = from; place < to; place++) {
          file[place] = fill ?? ((file[place] ?? 0) ^ 0x55) & 0xff;
        }
        return { from, to };
      });
      const after = readWal(file);
      const isHit = ({ from, to }: { readonly from: number; readonly to: number }): boolean =>
        spans.some((span) => span.from < to + HEADER_BYTES && from < span.to);
      const places = after.records.map(({ from }) => from);
      expect(places).toEqual(
        expect.arrayContaining(before.filter((one) => !isHit(one)).map(({ from }) => from)),
      );
      for (const { bytes } of after.records) {
        expect(bytes.equals(written[Number(sequenceOf(bytes))] ?? Buffer.alloc(0))).toBe(true);
      }
    }),
    { numRuns: 300 },
  );
});

test('a file that ends anywhere is read up to there, and the rest is one bad end', () => {
  fc.assert(
    fc.property(sizes, fc.double({ min: 0, max: 1, noNaN: true }), (lengths, share) => {
      const written = batches(lengths);
      const whole = walOf(written);
      const file = whole.subarray(0, Math.floor(share * whole.length));
      const { records: found, bad } = readWal(file);
      const wanted = readWal(whole).records.filter(({ to }) => to <= file.length);
      expect(found.map(({ from }) => from)).toEqual(wanted.map(({ from }) => from));
      expect(bad.length).toBeLessThanOrEqual(1);
      for (const { from, to } of bad) {
        expect(from).toBeGreaterThanOrEqual(found.at(-1)?.to ?? 0);
        expect(to).toBe(file.length);
      }
    }),
  );
});

test('a file of noise holds nothing', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 0, maxLength: 4 * BLOCK_BYTES }), (noise) => {
      expect(readWal(Buffer.from(noise)).records).toEqual([]);
    }),
    { numRuns: 50 },
  );
});

/** Bit by bit. */
function slowCrc32c(bytes: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of bytes) {
    value ^= byte;
    for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? 0x82f63b78 : 0);
  }
  return (value ^ 0xffffffff) >>> 0;
}

test('the checksum is CRC-32C, of any length', () => {
  expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283); // The check value of its definition.
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 70 }), (bytes) => {
      expect(crc32c(bytes)).toBe(slowCrc32c(bytes));
    }),
  );
});
