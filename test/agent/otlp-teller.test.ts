import { afterEach, beforeEach, expect, test } from 'vitest';
import type { AgentStatus } from '../../src/admin/status.ts';
import { OtlpTeller } from '../../src/agent/otlp-teller.ts';
import { WELL } from '../support/agent-status.ts';
import { until } from '../support/hunt/wait.ts';
import { OtlpReceiver } from '../support/otlp-receiver.ts';
import { SimClock } from '../support/sim-clock.ts';
import { rememberingLogger } from '../support/store-kit.ts';

const MINUTE = 60_000;

let collector: OtlpReceiver;
let clock: SimClock;
let teller: OtlpTeller;
const logger = rememberingLogger();
let measure: () => Promise<AgentStatus>;

beforeEach(async () => {
  collector = await OtlpReceiver.open();
  clock = new SimClock();
  logger.lines.length = 0;
  measure = () => Promise.resolve(WELL);
  teller = new OtlpTeller({
    config: { url: collector.url, intervalMs: MINUTE, headers: { 'X-Scope': 'plant' } },
    status: () => measure(),
    events: { counts: () => ({ info: 3, warn: 2, error: 1 }) },
    clock,
    logger,
  });
  teller.start();
});
afterEach(async () => {
  teller.stop();
  await collector.close();
});

/** The export that is due then. */
async function exported(afterMs = MINUTE): Promise<void> {
  const { asked } = collector;
  await clock.advance(afterMs);
  await until(
    () => collector.asked > asked,
    30_000,
    () => 'the collector is asked',
  );
}

test('says whose metrics they are, since when, and sends what was configured with them', async () => {
  await exported(5000);
  const [first] = collector.received;
  expect(first?.path).toBe('/v1/metrics');
  expect(first?.headers).toMatchObject({
    'content-type': 'application/x-protobuf',
    'x-scope': 'plant',
  });
  expect(first?.resource).toEqual({
    'service.name': 'gatelog',
    'service.version': WELL.version,
    'service.instance.id': WELL.gateway,
    'gatelog.gateway': WELL.gateway,
    'gatelog.incarnation': WELL.incarnation,
  });
  const lines = first?.metrics.find(({ name }) => name === 'gatelog_log_lines_total');
  expect(lines).toMatchObject({ kind: 'sum', temporality: 2, isMonotonic: true, unit: '' });
  expect(lines?.points.map(({ attributes, value }) => [attributes['level'], value])).toEqual([
    ['info', 3],
    ['warn', 2],
    ['error', 1],
  ]);
  const [point] = lines?.points ?? [];
  expect(point?.startNanos).toBe(BigInt(Date.UTC(2026, 0, 1)) * 1_000_000n);
  expect((point?.nanos ?? 0n) - (point?.startNanos ?? 0n)).toBe(5_000_000_000n);
});

test('a collector that refuses is told of once, and so is that it takes them again', async () => {
  const events = (): unknown[] => logger.lines.map(({ fields }) => fields['event']);
  collector.status = 400;
  await exported();
  await until(
    () => events().length === 1,
    30_000,
    () => 'it is told',
  );
  await exported();
  await exported();
  collector.status = 200;
  await exported();
  await until(
    () => events().length > 1,
    30_000,
    () => 'it is told',
  );
  expect(events()).toEqual(['otlp.unsent', 'otlp.sent']);
  expect(logger.lines[0]?.message).toMatch(/^the collector at http:.* did not take the metrics: /u);
});

test('a status that can not be had, and a silent collector, hold nothing up', async () => {
  measure = () => Promise.reject(new Error('no status'));
  await clock.advance(MINUTE);
  await until(
    () => logger.lines.length === 1,
    30_000,
    () => 'it is told',
  );
  expect(logger.lines[0]?.message).toContain('no status');
  measure = () => Promise.resolve(WELL);
  collector.status = undefined;
  await exported();
  // One at a time: the next is due when this one has ended.
  await clock.advance(5 * MINUTE);
  expect(collector.asked).toBe(1);
  teller.stop();
  await clock.advance(5 * MINUTE);
  expect(collector.asked).toBe(1);
});
