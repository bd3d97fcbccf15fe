import { expect, test } from 'vitest';
import { huntWithCluster } from '../support/hunt/exactly-once-run.ts';

test('300 faults of agent, brokers and links: every record of the log is in Kafka once, in order', async () => {
  const result = await huntWithCluster(300);
  expect(result.problems).toEqual([]);
  expect(result.faults).toBe(300);
  expect(result.centralRecords).toBe(result.logRecords);
  expect(result.acked).toBeGreaterThan(10_000);
});
