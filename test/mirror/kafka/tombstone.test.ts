import { expect, test } from 'vitest';
import { encodeHeaders } from '../../../src/headers.ts';
import { asTombstone } from '../../../src/mirror/kafka/tombstone.ts';
import type { LogRecord } from '../../../src/record.ts';

function record(value: string | null, retain: string | undefined, key: string | null): LogRecord {
  const headers = retain === undefined ? [] : [{ key: 'mqtt.retain', value: Buffer.from(retain) }];
  return {
    offset: 1,
    timestampMs: 2,
    key: key === null ? null : Buffer.from(key),
    value: value === null ? null : Buffer.from(value),
    headers: encodeHeaders(headers),
  };
}

test.each([
  ['empty, retained, with a key', record('', '1', 'k'), true],
  ['not retained', record('', '0', 'k'), false],
  ['without the header', record('', undefined, 'k'), false],
  ['without a key', record('', '1', null), false],
  ['with a value', record('x', '1', 'k'), false],
])('%s', (_what, given, isTombstone) => {
  expect(asTombstone(given)).toEqual(isTombstone ? { ...given, value: null } : given);
});

test('a record of the log, whose parts are getters', () => {
  const { offset, timestampMs, key, headers } = record('', '1', 'k');
  class Stored implements LogRecord {
    get offset(): number {
      return offset;
    }
    get timestampMs(): number {
      return timestampMs;
    }
    get key(): Uint8Array | null {
      return key;
    }
    get value(): Uint8Array {
      return new Uint8Array(0);
    }
    get headers(): Uint8Array {
      return headers;
    }
  }
  expect(asTombstone(new Stored())).toEqual({ offset, timestampMs, key, value: null, headers });
});
