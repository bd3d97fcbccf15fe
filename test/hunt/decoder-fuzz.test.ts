import { expect, test } from 'vitest';
import { fuzzDecoder } from '../support/decoder-fuzz.ts';
import { seedOfRun } from '../support/hunt/work-folder.ts';

test('1,200,000 inputs: the decoder neither throws nor hangs nor takes much memory', async () => {
  const seed = seedOfRun();
  console.log(`decoder-fuzz: GATELOG_SEED=${seed} replays this run`);
  const result = await fuzzDecoder(seed, 1_200_000);
  console.log('decoder-fuzz:', result);
  expect(result.inputs).toBeGreaterThanOrEqual(1_200_000);
  expect(result.peakGrowthBytes).toBeLessThan(512 * 1024 * 1024);
});
