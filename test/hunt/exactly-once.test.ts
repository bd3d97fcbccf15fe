import { expect, test } from 'vitest';
import { huntWithCluster } from '../support/hunt/exactly-once-run.ts';

test('300 faults of agent, brokers and links: every record of the log is in Kafka once, in order', async () => {
  const result = await huntWithCluster(300);
  expect(result.problems).toEqual([]);
  expect(result.faults).toBe(300);
  for (const { records } of result.mirrors) expect(records).toBe(result.logRecords);
  expect(result.acked).toBeGreaterThan(10_000);
});

test('300 faults under two mirrors with classes, drain orders, and links that cost: each has everything once', async () => {
  const result = await huntWithCluster(300, { extended: true });
  expect(result.problems).toEqual([]);
  expect(result.faults).toBe(300);
  expect(result.mirrors).toHaveLength(2);
  for (const { records } of result.mirrors) expect(records).toBe(result.logRecords);
  expect(result.acked).toBeGreaterThan(10_000);
});
