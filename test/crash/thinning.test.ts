import { expect, test } from 'vitest';
import { cutWhileThinning } from './thinning-campaign.ts';

/** 150 in `npm run test:hunt`. */
test('12 power cuts while segments are thinned: each is whole, or holds all that was to stay', async () => {
  const { undone, thin } = await cutWhileThinning(12);
  // Something was cut, and something was thinned before.
  expect(undone).toBeGreaterThan(2);
  expect(thin).toBeGreaterThan(2);
}, 300_000);
