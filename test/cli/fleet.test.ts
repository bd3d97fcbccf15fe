import { expect, test } from 'vitest';
import { healthOf } from '../../src/agent/health-record.ts';
import type { HealthJson } from '../../src/health.ts';
import { FleetBook, type Told } from '../../src/cli/fleet-book.ts';
import { fleetLines } from '../../src/cli/fleet-lines.ts';
import type { GapJson } from '../../src/loss.ts';
import { isoTime } from '../../src/time.ts';
import { LIVE_MIRROR, WELL } from '../support/agent-status.ts';
import { PLAIN_CONTEXT } from '../support/cli-context.ts';

const NOW = Date.UTC(2026, 10, 27);
const HOST = {
  uptimeMs: 1,
  cores: 4,
  load: [0, 0, 0],
  memoryBytes: 100,
  memoryAvailableBytes: 40,
  temperatureC: 48.3,
  interfaces: [
    { name: 'eth0', state: 'up' },
    { name: 'wwan0', state: 'down' },
  ],
  cpuBusyMs: 0,
  cpuTotalMs: 0,
} as const;

function health(ageMs: number, given: Partial<HealthJson> = {}): HealthJson {
  const status = { ...WELL, mirrors: [LIVE_MIRROR] };
  const look = { atMs: 0, nowMs: 0, status, host: HOST, cpuMs: 0, logged: { warn: 0, error: 0 } };
  return { ...healthOf(look, undefined, 60_000), time: isoTime(NOW - ageMs), ...given };
}

function record(gateway: string, topic: string, value: object, offset: number = 1): Told {
  return {
    gateway,
    topic,
    incarnation: 'inc',
    offset,
    own: Buffer.from(JSON.stringify(value)),
  };
}

const GAP: GapJson = {
  incarnation: 'inc',
  topic: 'telemetry',
  partition: 0,
  firstOffset: 3,
  lastOffset: 9,
  records: 7,
  bytes: null,
  reason: 'corruption',
  detail: 'a block',
  mirror: null,
  from: isoTime(NOW - 5000),
  to: isoTime(NOW - 5000),
};

test('the latest of each gateway counts, in whatever order it comes, and whoever it says that it is', () => {
  const book = new FleetBook();
  book.take(record('b', '_metrics', health(1000), 8));
  book.take(record('b', '_metrics', health(61_000, { version: 'old' }), 7));
  book.take(record('b', '_metrics', health(500, { gateway: 'a', version: 'new' }), 9));
  book.take(record('b', '_gaps', GAP));
  book.take(record('b', '_gaps', { ...GAP, to: isoTime(NOW - 9000), records: 1 }));
  book.take(record('a', '_metrics', health(200_000)));
  book.take(record('c', '_gaps', GAP));
  book.take(record('d', 'telemetry', health(0)));
  book.take({ gateway: 'f', topic: '_metrics', incarnation: 'inc', offset: 1, own: null });
  book.take(record('e', '_metrics', {}));
  expect(book.gateways(NOW)).toMatchObject([
    { gateway: 'a', ageMs: 200_000, late: true, lastLoss: null },
    {
      gateway: 'b',
      ageMs: 500,
      late: false,
      health: { gateway: 'b', version: 'new' },
      lastLoss: { records: 7 },
    },
    { gateway: 'c', ageMs: null, late: true, health: null, lastLoss: { topic: 'telemetry' } },
  ]);
});

/** The value with one part of it, however deep, replaced. */
function* altered(value: unknown, junk: unknown): Generator {
  yield junk;
  if (Array.isArray(value)) {
    for (const [at, inner] of value.entries()) {
      for (const other of altered(inner, junk)) yield value.with(at, other);
    }
  } else if (typeof value === 'object' && value !== null) {
    for (const [name, inner] of Object.entries(value)) {
      for (const other of altered(inner, junk)) yield { ...value, [name]: other };
    }
  }
}

test('no record of one gateway, whatever is in it, hides the others', () => {
  const whole = health(1000, { wear: { bytesPerDay: 1, ratingYears: 2, budgetLevel: null } });
  let count = 0;
  for (const junk of [null, 'x', '', 7, -1, true, [], {}, [null], undefined]) {
    for (const value of altered(whole, junk)) {
      const book = new FleetBook();
      const own = Buffer.from(JSON.stringify(value) ?? '');
      book.take({ gateway: 'bad', topic: '_metrics', incarnation: 'inc', offset: 1, own });
      book.take(record('good', '_metrics', health(1000)));
      expect(fleetLines(PLAIN_CONTEXT, book.gateways(NOW)).join('\n')).toMatch(/^good /mu);
      count++;
    }
  }
  expect(count).toBeGreaterThan(300);
});

test('a clock that was ahead once hides nothing that comes after it, and one that is makes nobody look well', () => {
  const book = new FleetBook();
  const YEAR_MS = 365 * 86_400_000;
  book.take(record('a', '_metrics', health(-YEAR_MS, { version: 'ahead' }), 7));
  book.take(record('a', '_metrics', health(600_000, { version: 'after' }), 8));
  book.take(record('b', '_metrics', health(-YEAR_MS), 7));
  expect(book.gateways(NOW)).toMatchObject([
    { gateway: 'a', ageMs: 600_000, late: true, health: { version: 'after' } },
    { gateway: 'b', ageMs: -YEAR_MS, late: true },
  ]);
  const lines = fleetLines(PLAIN_CONTEXT, book.gateways(NOW));
  expect(lines.join('\n')).toMatch(/its clock is .* ahead of this one/u);
});

test('a person sees one line a gateway, and below it what is wrong there', () => {
  const book = new FleetBook();
  const [central] = health(0).mirrors;
  const mirrors = [
    {
      ...central,
      name: 'up\u001B[2J',
      state: 'halted',
      lagRecords: 12,
      lagMs: null,
      reason: 'fenced',
    },
  ];
  book.take(record('gw-1', '_metrics', health(1000)));
  book.take(record('gw-2', '_metrics', health(300_000, { mirrors } as Partial<HealthJson>)));
  book.take(record('gw-2', '_gaps', GAP));
  book.take(record('gw-3', '_gaps', GAP));
  const lines = fleetLines(PLAIN_CONTEXT, book.gateways(NOW));
  const text = lines.join('\n');
  expect(lines[0]).toMatch(/^GATEWAY +SEEN +VERSION .*MIRRORS$/u);
  expect(text).toMatch(/^gw-1 +1s +0\.1\.0 .* 48°C +60% .* central live$/mu);
  expect(text).toContain('  down: wwan0');
  expect(text).toMatch(/^gw-2 +5m .* 12 +\? +0 +up.*halted$/mu);
  expect(text).toContain('  silent for 5m, and tells every 1m: what stands here is old');
  expect(text).toContain('is halted: fenced');
  expect(text).toContain('7 records of telemetry (corruption: a block)');
  expect(text).toMatch(/^gw-3 +never/mu);
  expect(text).not.toContain('\u001B');
  expect(lines.at(-1)).toBe('3 gateways, 2 late');
});
