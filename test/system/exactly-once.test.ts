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

/** 100 of them, and 60 power cuts alone, in `npm run test:hunt`; the disk's side of cuts is what test/crash looks at. */
test('8 kills, power cuts and faults of links: what devices sent is in Kafka, each message once', async () => {
  const result = await huntWithCluster(8, { fromDevice: true });
  expect(result.problems).toEqual([]);
  expect(result.faults).toBe(8);
  expect(result.resendCopies).toBe(0);
  expect(result.acked).toBe(result.sent);
  expect(result.logRecords).toBe(result.sent);
  for (const { records } of result.mirrors) expect(records).toBe(result.sent);
  expect(result.sent).toBeGreaterThan(400);
}, 600_000);
