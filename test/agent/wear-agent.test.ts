import { expect, test } from 'vitest';
import { startAgent } from '../../src/agent/agent.ts';
import { parseConfig } from '../../src/agent/config.ts';
import { seededRandom } from '../../src/random.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { onDisk } from '../support/store-kit.ts';

// A budget so large that what others write to this disk meanwhile does not matter.
const OPTIONS = `
mqtt: {listen: ["mqtt://127.0.0.1:0"]}
http: false
store: {linger: 5ms, wear: {budget: 5TB, rating: 100TB, maxLatency: 400ms}}
`;

test('an agent whose day ran hot before its restart goes on with the longest wait', async () => {
  const place = await onDisk.make();
  const text = `data: ${JSON.stringify(place.folder)}\n${OPTIONS}`;
  const { config } = parseConfig(text, 'gatelog.yaml', { env: {}, workingFolder: place.folder });
  const surroundings = {
    clock: systemClock,
    random: seededRandom(1),
    logger: silentLogger,
    version: '0',
  };
  const waits: number[] = [];
  for (const budgetLevel of [1, 0]) {
    const store = await place.open();
    const day = { slots: [], savedMs: systemClock.nowMs() + 60_000, budgetLevel };
    await store.keyValue('wear').put('day', Buffer.from(JSON.stringify(day)));
    await store.close();
    const agent = await startAgent(config, surroundings);
    const { wear } = await agent.status();
    waits.push(wear?.lingerMs ?? 0);
    expect(wear).toMatchObject({ budgetBytes: 5e12, ratingBytes: 1e14 });
    expect(wear?.budgetLevel).toBeCloseTo(budgetLevel, 1);
    expect(await agent.stop()).toBe(true);
  }
  expect(waits).toEqual([5, 400]);
  await place.remove();
});
