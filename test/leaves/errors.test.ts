import { describe, expect, test } from 'vitest';
import { assert, AssertionError, must } from '../../src/assert.ts';
import { formatPlace, GatelogError, messageOf, systemCodeOf } from '../../src/errors.ts';

describe('errors', () => {
  test('a place shows what is known of it', () => {
    expect(formatPlace({ file: 'g.yaml' })).toBe('g.yaml');
    expect(formatPlace({ file: 'g.yaml', line: 3 })).toBe('g.yaml:3');
    expect(formatPlace({ file: 'g.yaml', line: 3, column: 7, key: 'mqtt.listen' })).toBe(
      'g.yaml:3:7: mqtt.listen',
    );
  });

  test('a message tells its causes once', () => {
    const cause = new Error('connection refused');
    const error = new GatelogError('UPSTREAM_UNREACHABLE', 'kafka-1:9092', { cause });
    expect(messageOf(error)).toBe('kafka-1:9092: connection refused');
    const told = new GatelogError('INTERNAL', 'it said connection refused', { cause });
    expect(messageOf(told)).toBe('it said connection refused');
    expect(messageOf('text')).toBe('text');
    const between = new Error('the attempt failed.', { cause });
    const whole = new Error('no Kafka: connection refused', { cause: between });
    expect(messageOf(whole)).toBe('no Kafka: connection refused: the attempt failed.');
    expect(messageOf(between)).toBe('the attempt failed: connection refused');
    cause.cause = between;
    expect(messageOf(between)).toBe('the attempt failed: connection refused');
  });

  test("a system error's code is found, anything else has none", () => {
    expect(systemCodeOf(Object.assign(new Error('x'), { code: 'ENOENT' }))).toBe('ENOENT');
    expect(systemCodeOf({ code: 7 })).toBeUndefined();
    expect(systemCodeOf(undefined)).toBeUndefined();
  });

  test('assertions name the invariant', () => {
    expect(() => assert(false, 'offsets are dense')).toThrow(AssertionError);
    expect(() => must(undefined, 'the segment exists')).toThrow('the segment exists');
    expect(must(0, 'zero is a value')).toBe(0);
  });
});

test('of what OpenSSL says only the reason is shown, on one line', () => {
  const error = new Error(
    'write EPROTO 40D7C6A4417F0000:error:0A000410:SSL routines:ssl3_read_bytes:ssl/tls alert handshake failure:../deps/openssl/rec_layer_s3.c:912:SSL alert number 40\n',
  );
  expect(messageOf(error)).toBe('write EPROTO ssl/tls alert handshake failure');
});
