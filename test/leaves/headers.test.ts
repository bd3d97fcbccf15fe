import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decodeHeaders,
  encodeHeaders,
  NO_HEADERS,
  varintSize,
  writeVarint,
} from '../../src/headers.ts';

const header = fc.record({
  key: fc.string({ unit: 'grapheme', maxLength: 40 }),
  value: fc.option(fc.uint8Array({ maxLength: 200 }), { nil: null }),
});

describe('record headers', () => {
  test('come back as they went in: order, repeats, nulls, bytes', () => {
    fc.assert(
      fc.property(fc.array(header, { maxLength: 80 }), (headers) => {
        const back = decodeHeaders(encodeHeaders(headers));
        expect(back.map((one) => one.key)).toEqual(headers.map((one) => one.key));
        expect(back.map((one) => one.value && [...one.value])).toEqual(
          headers.map((one) => one.value && [...one.value]),
        );
      }),
    );
  });

  test('none take no bytes', () => {
    expect(encodeHeaders([])).toBe(NO_HEADERS);
    expect(decodeHeaders(NO_HEADERS)).toEqual([]);
  });

  test('are laid out as Kafka lays them out', () => {
    const bytes = encodeHeaders([
      { key: 'a', value: Buffer.from('xy') },
      { key: 'b', value: null },
    ]);
    expect([...bytes]).toEqual([4, 2, 97, 4, 120, 121, 2, 98, 1]);
  });

  test('torn bytes are an error, not an endless read', () => {
    const bytes = encodeHeaders([{ key: 'topic', value: Buffer.from('plant/1') }]);
    for (let length = 1; length < bytes.length; length++) {
      expect(() => decodeHeaders(bytes.subarray(0, length))).toThrow(RangeError);
    }
  });
});

test('varints are zigzag and as long as varintSize says', () => {
  fc.assert(
    fc.property(fc.integer({ min: -1_000_000_000, max: 1_000_000_000 }), (value) => {
      const target = new Uint8Array(10);
      const end = writeVarint(target, value, 0);
      expect(end).toBe(varintSize(value));
      let raw = 0;
      for (let at = end - 1; at >= 0; at--) raw = raw * 128 + ((target[at] ?? 0) & 0x7f);
      expect(raw % 2 === 0 ? raw / 2 : -(raw + 1) / 2).toBe(value);
    }),
  );
});
