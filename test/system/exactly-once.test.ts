import { expect, test } from 'vitest';
import { huntWithCluster } from '../support/hunt/exactly-once-run.ts';

/** Invariants 4 and 5 on real parts; 300 faults in `npm run test:hunt`. */
test('30 faults of agent, brokers and links: every record of the log is in Kafka once, in order', async () => {
  const result = await huntWithCluster(30);
  expect(result.problems).toEqual([]);
  expect(result.faults).toBe(30);
  for (const { records } of result.mirrors) expect(records).toBe(result.logRecords);
  expect(result.acked).toBeGreaterThan(1000);
}, 600_000);

/** 60 cuts in `npm run test:hunt`; the disk's side of them is what test/crash looks at. */
test('4 power cuts of the gateway: every record of the log is in Kafka once, in order', async () => {
  const result = await huntWithCluster(4, { powerCuts: true });
  expect(result.problems).toEqual([]);
  expect(result.faults).toBe(4);
  for (const { records } of result.mirrors) expect(records).toBe(result.logRecords);
  expect(result.acked).toBeGreaterThan(200);
}, 600_000);
