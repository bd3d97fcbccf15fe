import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeHeaders } from '../../../src/headers.ts';
import { createCompressor } from '../../../src/mirror/kafka/compressor.ts';
import { decodeCargo } from '../../../src/mirror/kafka/decode.ts';
import { PieceEncoder } from '../../../src/mirror/kafka/encode.ts';
import {
  identityBytes,
  rangesOf,
  refine,
  Target,
  targetsOf,
  type Way,
  wholeOf,
} from '../../../src/mirror/kafka/plan.ts';
import type { ProduceAnswer } from '../../../src/mirror/kafka/produce.ts';
import { TimeBounds } from '../../../src/mirror/kafka/time-bounds.ts';
import { type LogRecord, streamId, type StreamId } from '../../../src/record.ts';
import { silentLogger } from '../../../src/telemetry.ts';
import { systemClock } from '../../../src/time.ts';

const ANY_TIME = new TimeBounds(systemClock, silentLogger);

const GATEWAY = { gateway: 'gw', incarnation: 'aaaa' };

function wayFor(stream: StreamId, centralPartitions: number): Way {
  const parts = { topic: 'telemetry', partition: stream };
  return {
    stream,
    ...parts,
    centralTopic: 'central',
    centralPartitions,
    identity: identityBytes({ ...GATEWAY, ...parts }),
  };
}

function recordAt(offset: number, key: string | null, size = 20): LogRecord {
  return {
    offset,
    timestampMs: 1000 + offset,
    key: key === null ? null : Buffer.from(key),
    value: Buffer.alloc(size, 65 + (offset % 26)),
    headers: encodeHeaders([{ key: 'a', value: Buffer.from(String(offset)) }]),
  };
}

test('every record goes to one target; order per key and stream is kept', () => {
  const lists = fc.array(
    fc.array(fc.option(fc.constantFrom('a', 'b', 'c', 'd')), { maxLength: 50 }),
    {
      maxLength: 5,
    },
  );
  fc.assert(
    fc.property(lists, fc.integer({ min: 1, max: 9 }), (streams, partitions) => {
      const slices = streams.map((keys, index) => ({
        stream: streamId(index),
        records: keys.map((key, offset) => recordAt(offset + 10, key)),
      }));
      const targets = targetsOf(slices, (stream) => wayFor(stream, partitions));
      const total = slices.reduce((sum, { records }) => sum + records.length, 0);
      expect(targets.reduce((sum, { records }) => sum + records.length, 0)).toBe(total);
      for (const { records, ways } of targets) {
        const last = new Map<string, number>();
        for (const [index, record] of records.entries()) {
          const place = `${ways[index]?.stream ?? ''}`;
          expect(record.offset).toBeGreaterThan(last.get(place) ?? -1);
          last.set(place, record.offset);
        }
      }
      const nonEmpty = slices.filter(({ records }) => records.length > 0);
      expect(rangesOf(slices)).toEqual(
        nonEmpty.map(({ stream, records }) => ({ stream, from: 10, to: 10 + records.length })),
      );
    }),
  );
});

describe('a condemned piece', () => {
  const target = new Target('central', 0);
  for (let offset = 0; offset < 10; offset++) {
    target.records.push(recordAt(offset + 100, null));
    target.ways.push(wayFor(streamId(3), 1));
  }
  const answer = (indexes: readonly number[]): ProduceAnswer => ({
    topic: 'central',
    partition: 0,
    code: 87,
    baseOffset: -1n,
    recordErrors: indexes.map((index) => ({ index, reason: `bad ${index}` })),
    message: null,
  });
  const rangesIn = (indexes: readonly number[], from: number, to: number) =>
    refine({ target, from, to }, answer(indexes), 'why').pieces.map((piece) => [
      piece.from,
      piece.to,
    ]);

  test('is halved when no record is named', () => {
    expect(rangesIn([], 0, 10)).toEqual([
      [0, 5],
      [5, 10],
    ]);
    expect(rangesIn([], 4, 7)).toEqual([
      [4, 5],
      [5, 7],
    ]);
  });

  test('of one record is that record', () => {
    const { pieces, rejected } = refine({ target, from: 4, to: 5 }, answer([]), 'why');
    expect(pieces).toEqual([]);
    expect(rejected).toEqual([{ stream: streamId(3), offset: 104, reason: 'why' }]);
  });

  test('loses the records that were named, and only those', () => {
    expect(rangesIn([0, 3, 4, 9], 0, 10)).toEqual([
      [1, 3],
      [5, 9],
    ]);
    const { rejected } = refine({ target, from: 2, to: 8 }, answer([1, 99]), 'why');
    expect(rejected).toEqual([{ stream: streamId(3), offset: 103, reason: 'why: bad 1' }]);
  });

  test('by halving always ends with every record delivered or rejected', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 0, max: 9 })), (bad) => {
        const rejected: number[] = [];
        const delivered: number[] = [];
        const work = [wholeOf(target)];
        for (let piece = work.shift(); piece !== undefined; piece = work.shift()) {
          const { from, to } = piece;
          if (bad.some((index) => index >= from && index < to)) {
            const cut = refine(piece, answer([]), 'why');
            work.unshift(...cut.pieces);
            rejected.push(...cut.rejected.map(({ offset }) => offset - 100));
          } else {
            for (let index = from; index < to; index++) delivered.push(index);
          }
        }
        expect(rejected).toEqual(bad.toSorted((a, b) => a - b));
        expect(delivered).toEqual(delivered.toSorted((a, b) => a - b));
        expect(delivered.length + rejected.length).toBe(10);
      }),
    );
  });
});

describe('encoding', () => {
  test('cuts by bytes, and one record always fits', async () => {
    const target = new Target('central', 0);
    const sizes = [100, 100, 100, 5000, 100];
    for (const [offset, size] of sizes.entries()) {
      target.records.push(recordAt(offset, null, size));
      target.ways.push(wayFor(streamId(0), 1));
    }
    const encoder = new PieceEncoder(createCompressor('none', undefined), 600, ANY_TIME);
    const cargo = await encoder.encode([wholeOf(target)]);
    expect(cargo.map(({ batch, first }) => [first.offset, batch.records])).toEqual([
      [0, 3],
      [3, 1],
      [4, 1],
    ]);
    encoder.learnTooLarge('central', { bytes: Buffer.alloc(0), records: 2, rawBytes: 300 });
    const smaller = await encoder.encode([wholeOf(target)]);
    expect(smaller.map(({ batch }) => batch.records)).toEqual([1, 1, 1, 1, 1]);
  });

  test('what was encoded can be taken apart again', async () => {
    const target = new Target('central', 2);
    for (let offset = 0; offset < 30; offset++) {
      target.records.push(recordAt(offset * 3, offset % 4 === 0 ? null : `k${offset}`));
      target.ways.push(wayFor(streamId(offset % 2), 8));
    }
    const encoder = new PieceEncoder(createCompressor('zstd', undefined), 100_000, ANY_TIME);
    const [cargo] = await encoder.encode([wholeOf(target)]);
    if (cargo === undefined) throw new Error('one batch');
    const again = decodeCargo(cargo, (_topic, partition) => wayFor(streamId(partition), 8));
    const plain = ({ records, ways }: Target) =>
      records.map((record, index) => ({
        ...record,
        key: record.key === null ? null : Buffer.from(record.key).toString(),
        value: Buffer.from(record.value ?? '').toString(),
        headers: Buffer.from(record.headers).toString('hex'),
        stream: ways[index]?.stream,
      }));
    expect(plain(again)).toEqual(plain(target));
    expect([again.topic, again.partition]).toEqual(['central', 2]);
  });

  test('callers take turns: nothing of one batch gets into another', async () => {
    const encoder = new PieceEncoder(createCompressor('gzip', 1), 2000, ANY_TIME);
    const targets = Array.from({ length: 6 }, (_, index) => {
      const target = new Target('central', index);
      for (let offset = 0; offset < 50; offset++) {
        target.records.push(recordAt(offset, `p${index}`));
        target.ways.push(wayFor(streamId(index), 6));
      }
      return target;
    });
    const made = await Promise.all(targets.map((target) => encoder.encode([wholeOf(target)])));
    for (const [index, cargo] of made.entries()) {
      const records = cargo.flatMap(
        (one) => decodeCargo(one, (_topic, partition) => wayFor(streamId(partition), 6)).records,
      );
      expect(records.map(({ offset }) => offset)).toEqual(
        Array.from({ length: 50 }, (_, at) => at),
      );
      expect(new Set(records.map(({ key }) => Buffer.from(key ?? '').toString()))).toEqual(
        new Set([`p${index}`]),
      );
    }
  });
});
