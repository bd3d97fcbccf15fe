import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { streamId, type LogRecord } from '../../src/record.ts';
import { Batch } from '../../src/store/batch.ts';
import { packCheckpoint, unpackCheckpoint } from '../../src/store/checkpoint.ts';
import { readColumn, writeColumn } from '../../src/store/column.ts';
import { CommitDecoder } from '../../src/store/commit-decoder.ts';
import { CommitEncoder } from '../../src/store/commit-encoder.ts';
import { readHead, type StoredTopic } from '../../src/store/commit-head.ts';
import { entryKey, parseKey } from '../../src/store/commit-key.ts';
import { Compressor, rawBody } from '../../src/store/compression.ts';
import { FRAME_HEADER_BYTES, readFrame, writeFrame } from '../../src/store/frame.ts';
import { LogState } from '../../src/store/log-state.ts';
import { Reading } from '../../src/store/reading.ts';
import { readVarints, VarintWriter } from '../../src/store/varint.ts';

const whole = fc.maxSafeNat();
const bytes = fc.uint8Array({ maxLength: 300 });

describe('keys', () => {
  test('sort as their commits do, a checkpoint after its commit, and come back', () => {
    const entry = fc.tuple(whole, fc.constantFrom('commit' as const, 'checkpoint' as const));
    const rank = ([commit, kind]: readonly [number, string]): [number, number] => [
      commit,
      kind === 'commit' ? 0 : 1,
    ];
    fc.assert(
      fc.property(entry, entry, (left, right) => {
        const [a, b] = [entryKey(...left), entryKey(...right)];
        const [x, y] = [rank(left), rank(right)];
        expect(Math.sign(Buffer.compare(a, b))).toBe(Math.sign(x[0] - y[0] || x[1] - y[1]));
        expect(parseKey(a)).toEqual({ commit: left[0], kind: left[1] });
      }),
    );
  });

  test('bytes that are no key are none', () => {
    expect(parseKey(Buffer.from('identity!'))).toBeUndefined();
    expect(parseKey(Buffer.alloc(8))).toBeUndefined();
    expect(parseKey(Buffer.alloc(9, 255))).toBeUndefined();
  });
});

describe('numbers', () => {
  test('varints come back', () => {
    fc.assert(
      fc.property(fc.array(whole, { maxLength: 400 }), (values) => {
        const writer = new VarintWriter();
        for (const value of values) writer.write(value);
        expect(readVarints(writer.bytes(), 400)).toEqual(values);
        writer.write(1);
        expect(readVarints(writer.bytes(), values.length)).toBeUndefined();
      }),
    );
    expect(readVarints(new Uint8Array([0x80]), 1)).toBeUndefined();
    expect(readVarints(new Uint8Array(9).fill(0xff), 1)).toBeUndefined();
    expect(readVarints(Uint8Array.of(...new Uint8Array(7).fill(0xff), 0x0f), 1)).toEqual([
      Number.MAX_SAFE_INTEGER,
    ]);
    expect(readVarints(Uint8Array.of(...new Uint8Array(7).fill(0xff), 0x1f), 1)).toBeUndefined();
  });

  test('columns of any width come back, also of times before 1970', () => {
    const scratch = Buffer.alloc(8 * 100);
    const values = fc
      .tuple(
        fc.constantFrom(1, 200, 60_000, 4_000_000_000, 8e12),
        fc.integer({ min: -1e12, max: 1e12 }),
        fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 100 }),
      )
      .map(([spread, base, parts]) => parts.map((part) => base + Math.floor(part * spread)));
    fc.assert(
      fc.property(values, (numbers) => {
        const column = writeColumn(Float64Array.from(numbers), numbers.length, scratch, 0);
        const read = new Float64Array(numbers.length);
        const copy = { ...column, bytes: Uint8Array.from(column.bytes) };
        expect(readColumn(copy, numbers.length, read, -Infinity)).toBe(true);
        expect([...read]).toEqual(numbers);
        expect(readColumn(copy, numbers.length, read, column.min + 1)).toBe(false);
      }),
    );
    const odd = { min: 0, bytes: new Uint8Array(7) };
    expect(readColumn(odd, 3, new Float64Array(3), 0)).toBe(false);
  });
});

const record = fc.record({
  stream: fc.nat(200),
  timestampMs: fc.oneof(fc.nat(1000), fc.integer({ min: 0, max: 4e12 })),
  key: fc.option(bytes),
  value: fc.option(bytes),
  headers: fc.oneof(fc.constant(new Uint8Array(0)), bytes),
});

const topic: fc.Arbitrary<StoredTopic> = fc.record({
  name: fc.string({ minLength: 1, maxLength: 20 }),
  options: fc.record({
    partitions: fc.nat(5),
    durability: fc.constantFrom('fsync', 'os', 'none'),
    retentionMs: fc.option(whole, { nil: undefined }),
    retentionBytes: fc.option(whole, { nil: undefined }),
    onFull: fc.constantFrom('drop-oldest', 'refuse', undefined),
    priority: fc.option(fc.nat(9), { nil: undefined }),
  }),
  streams: fc.array(fc.nat(16_000), { maxLength: 5 }),
});

describe('commits', () => {
  test('records, definitions and producers come back, compressed or not', async () => {
    const encoder = new CommitEncoder(4096);
    const decoder = new CommitDecoder();
    const compressor = new Compressor();
    const input = fc.tuple(
      fc.array(record, { minLength: 1, maxLength: 60 }),
      fc.array(topic, { maxLength: 2 }),
      fc.array(fc.tuple(fc.string(), whole), { maxLength: 3 }),
      fc.boolean(),
    );
    await fc.assert(
      fc.asyncProperty(input, async ([records, topics, producers, compressed]) => {
        const batch = new Batch();
        const next = new Map<number, number>();
        const expected = new Map<number, LogRecord[]>();
        for (const { stream, timestampMs, key, value, headers } of records) {
          const offset = next.get(stream) ?? stream * 1000;
          next.set(stream, offset + 1);
          const size = (key?.length ?? 0) + (value?.length ?? 0) + headers.length;
          batch.addRecord(stream, offset, timestampMs, key, value, headers, size, undefined);
          if (size % 3 === 0) batch.addMarker(() => {});
          const list = expected.get(stream) ?? [];
          list.push({ offset, timestampMs, key, value, headers });
          expected.set(stream, list);
        }
        for (const [name, sequence] of producers) batch.addProducer(name, sequence);
        const { head, body } = encoder.encode(batch, topics);
        const stored = compressed ? Buffer.concat(await compressor.compress(body)) : body;
        const key = entryKey(7, 'commit');
        const value = Buffer.from(
          writeFrame(Buffer.alloc(FRAME_HEADER_BYTES + head.length + stored.length), key, {
            head,
            body: stored,
            compressed,
            rawBodyBytes: body.length,
          }),
        );
        const frame = readFrame(key, value);
        expect(frame).toBeDefined();
        if (frame === undefined) return;
        const readBack = readHead(frame.head);
        expect(readBack).toBeDefined();
        if (readBack === undefined) return;
        expect(readBack.topics).toEqual(topics);
        expect(new Map(readBack.producers)).toEqual(new Map(producers));
        expect(readBack.count).toBe(records.length);
        const times = records.map(({ timestampMs }) => timestampMs);
        expect([readBack.minTime, readBack.maxTime]).toEqual([
          Math.min(...times),
          Math.max(...times),
        ]);
        const from = new Map([...expected].map(([stream]) => [streamId(stream), stream * 1000]));
        const reading = new Reading(from, new LogState(), { maxRecords: 1e4, maxBytes: 1e9 });
        const wanted = reading.plan(readBack);
        expect(wanted).toBeDefined();
        if (wanted === undefined) return;
        expect(decoder.open(rawBody(frame) ?? new Uint8Array(0), readBack)).toBe(true);
        expect(decoder.decode(readBack, wanted, reading)).toBe(true);
        const plain = (list: readonly LogRecord[]): unknown[] =>
          list.map(({ key: k, value: v, headers: h, ...rest }) => ({
            ...rest,
            key: k === null ? null : [...k],
            value: v === null ? null : [...v],
            headers: [...h],
          }));
        const slices = reading.batch().slices;
        expect(slices.map(({ stream }) => stream)).toEqual(
          [...expected.keys()].toSorted((a, b) => a - b),
        );
        for (const slice of slices) {
          expect(plain(slice.records)).toEqual(plain(expected.get(slice.stream) ?? []));
        }
      }),
    );
    compressor.close();
  });

  test('any flipped bit, of key or value, is seen', () => {
    const key = entryKey(1, 'commit');
    const value = writeFrame(Buffer.alloc(FRAME_HEADER_BYTES + 60), key, {
      head: Buffer.alloc(20, 1),
      body: Buffer.alloc(40, 2),
      compressed: false,
      rawBodyBytes: 40,
    });
    expect(readFrame(key, value)).toBeDefined();
    for (const target of [key, value]) {
      for (let bit = 0; bit < target.length * 8; bit++) {
        const flip = (): void => {
          target[bit >> 3] = (target[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        };
        flip();
        expect(readFrame(key, value), `bit ${bit}`).toBeUndefined();
        flip();
      }
    }
    for (let length = 0; length < value.length; length++) {
      expect(readFrame(key, value.subarray(0, length))).toBeUndefined();
    }
  });
});

test('checkpoints come back', () => {
  const numbers = fc.array(whole, { maxLength: 20 });
  const times = fc.array(fc.integer({ min: -1, max: 4e12 }), { maxLength: 20 });
  const checkpoint = fc.record({
    commit: whole.map((number) => Math.max(number, 1e9 + 1)),
    previous: fc.integer({ min: -1, max: 1e9 }),
    incarnation: fc.stringMatching(/^[0-9a-f]{16}$/u),
    createdMs: whole,
    segmentBytes: whole,
    topics: fc.array(topic, { maxLength: 3 }),
    next: numbers,
    stored: numbers,
    latest: times,
    newest: times,
    producers: fc.array(fc.tuple(fc.string(), whole), { maxLength: 5 }),
    producersBefore: fc.integer({ min: -1, max: 1e9 }),
  });
  // Zeros at their ends are left out.
  const begun = fc.array(fc.integer({ min: 1, max: 1e9 }), { maxLength: 20 });
  const starts = fc.option(fc.record({ start: begun, storedBefore: begun }), { nil: {} });
  fc.assert(
    fc.property(checkpoint, starts, (value, begins) => {
      const both = { ...value, ...begins };
      expect(unpackCheckpoint(packCheckpoint(both))).toEqual(both);
    }),
  );
});
