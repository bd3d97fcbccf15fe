import { expect, test } from 'vitest';
import { murmur2, partitionOfKey } from '../../src/murmur2.ts';

/** The cases of Kafka's own UtilsTest.testMurmur2. */
test.each([
  ['21', -973932308],
  ['foobar', -790332482],
  ['a-little-bit-long-string', -985981536],
  ['a-little-bit-longer-string', -1486304829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ['abc', 479470107],
])('murmur2 of %s is what Kafka computes', (text, hash) => {
  expect(murmur2(Buffer.from(text))).toBe(hash);
});

test('a key lands in toPositive(hash) mod partitions', () => {
  expect(partitionOfKey(Buffer.from('21'), 10)).toBe((-973932308 & 0x7fffffff) % 10);
  expect(partitionOfKey(Buffer.from('abc'), 8)).toBe(479470107 % 8);
  expect(partitionOfKey(Buffer.alloc(0), 1)).toBe(0);
});
