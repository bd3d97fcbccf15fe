import { expect, test } from 'vitest';
import { fuzzDecoder } from '../support/decoder-fuzz.ts';

test('whatever bytes it is given, the decoder neither throws nor hangs nor takes much memory', async () => {
  const result = await fuzzDecoder(20_261_125, 20_000);
  expect(result.inputs).toBeGreaterThanOrEqual(20_000);
  // Both ways are taken often: else the mutations are too tame or too wild.
  expect(result.accepted).toBeGreaterThan(2000);
  expect(result.refused).toBeGreaterThan(5000);
  expect(result.peakGrowthBytes).toBeLessThan(512 * 1024 * 1024);
});
