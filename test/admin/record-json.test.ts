import fc from 'fast-check';
import { expect, test } from 'vitest';
import { recordJson } from '../../src/admin/record-json.ts';
import { encodeHeaders } from '../../src/headers.ts';

const EMPTY = new Uint8Array(0);

test('text goes as text, in the order of the documents', () => {
  const record = {
    offset: 7,
    timestampMs: 1000,
    key: Buffer.from('plant/1'),
    value: Buffer.from('grün'),
    headers: encodeHeaders([
      { key: 'a', value: Buffer.from('1') },
      { key: 'a', value: Buffer.from([0xff]) },
      { key: 'b', value: null },
    ]),
  };
  expect(JSON.stringify(recordJson('t', 3, record))).toBe(
    '{"topic":"t","partition":3,"offset":7,"timestamp":1000,"key":"plant/1","value":"grün",' +
      '"headers":[{"key":"a","value":"1"},{"key":"a","valueBase64":"/w=="},{"key":"b","value":null}]}',
  );
});

test('a time that is not simply what the clock said is told as such', () => {
  const time = { trust: 'corrected', clockMs: 20_000 } as const;
  const record = { offset: 7, timestampMs: 1000, time, key: null, value: null, headers: EMPTY };
  expect(JSON.stringify(recordJson('t', 3, record))).toBe(
    '{"topic":"t","partition":3,"offset":7,"timestamp":1000,"time":"corrected",' +
      '"timeClock":20000,"key":null,"value":null,"headers":[]}',
  );
});

test('null and empty are told apart', () => {
  const record = { offset: 0, timestampMs: 0, key: null, value: EMPTY, headers: EMPTY };
  expect(recordJson('t', 0, record)).toMatchObject({ key: null, value: '' });
  expect(recordJson('t', 0, { ...record, key: EMPTY, value: null })).toMatchObject({
    key: '',
    value: null,
  });
});

test('every byte comes back', () => {
  const bytes = fc.uint8Array({ maxLength: 40 });
  fc.assert(
    fc.property(bytes, bytes, (key, value) => {
      const record = { offset: 0, timestampMs: 0, key, value, headers: EMPTY };
      const read = JSON.parse(JSON.stringify(recordJson('t', 0, record))) as Record<string, string>;
      const back = (name: string): Buffer =>
        read[name] === undefined
          ? Buffer.from(read[`${name}Base64`] ?? '?', 'base64')
          : Buffer.from(read[name], 'utf8');
      expect(back('key').equals(key)).toBe(true);
      expect(back('value').equals(value)).toBe(true);
    }),
  );
});
