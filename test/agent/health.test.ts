import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { startAgent } from '../../src/agent/agent.ts';
import { parseConfig } from '../../src/agent/config.ts';
import { healthOf, type HealthLook } from '../../src/agent/health-record.ts';
import { HealthTeller } from '../../src/agent/health-teller.ts';
import { hostFigures, type HostFigures } from '../../src/agent/host-figures.ts';
import type { AgentStatus } from '../../src/admin/status.ts';
import { HEALTH_LIMITS } from '../../src/health-limits.ts';
import { METRICS, parseHealth } from '../../src/health.ts';
import { seededRandom } from '../../src/random.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { LIVE_MIRROR, STATUS } from '../support/agent-status.ts';
import { MemoryWriter } from '../support/memory-writer.ts';
import { SimClock } from '../support/sim-clock.ts';
import { onDisk } from '../support/store-kit.ts';

const HOST: HostFigures = {
  uptimeMs: 1,
  cores: 4,
  load: [0, 0, 0],
  memoryBytes: 100,
  memoryAvailableBytes: 40,
  temperatureC: null,
  interfaces: [],
  cpuBusyMs: 1000,
  cpuTotalMs: 10_000,
};
const LOOK: HealthLook = {
  atMs: 0,
  nowMs: 0,
  status: { ...STATUS, mirrors: [{ ...LIVE_MIRROR, recordsSent: 5 }] },
  host: HOST,
  cpuMs: 100,
  logged: { warn: 1, error: 2 },
};

test('rates are since the record before, and the first record has none', () => {
  const first = healthOf(LOOK, undefined, 60_000);
  expect(first).toMatchObject({ agent: { cpuShare: null }, host: { cpuShare: null } });
  expect(first.losses).toEqual({ corruption: 2 });
  const host = { ...HOST, cpuBusyMs: 2000, cpuTotalMs: 14_000 };
  const mirrors = [{ ...LIVE_MIRROR, recordsSent: 25 }];
  const later = { ...LOOK, atMs: 10_000, cpuMs: 600, host, status: { ...STATUS, mirrors } };
  expect(healthOf(later, LOOK, 60_000)).toMatchObject({
    agent: { cpuShare: 0.05, warnings: 1, errors: 2 },
    host: { cpuShare: 0.25 },
    mirrors: [{ name: 'central', state: 'live', recordsPerSecond: 2 }],
  });
});

test('a record is bounded, whatever there is to tell, and is read back as it was', () => {
  const reason = 'x'.repeat(5000);
  const mirrors = Array.from({ length: 100 }, (_, at) => ({
    ...LIVE_MIRROR,
    name: `m-${at}-${'n'.repeat(90)}`,
    reason,
  }));
  const status: AgentStatus = { ...STATUS, degraded: reason, mirrors };
  const interfaces = Array.from({ length: HEALTH_LIMITS.interfaces }, () => ({
    name: 'wwan0123456789a',
    state: 'lowerlayerdown',
  }));
  const health = healthOf({ ...LOOK, status, host: { ...HOST, interfaces } }, LOOK, 60_000);
  const value = Buffer.from(JSON.stringify(health));
  expect(value.length).toBeLessThan(HEALTH_LIMITS.recordBytes);
  expect(health).toMatchObject({ mirrorsTotal: 100 });
  expect(parseHealth(value)).toEqual(health);
});

test.each([
  ['nothing', null],
  ['no JSON', Buffer.from('{')],
  ['a number', Buffer.from('7')],
  ['another schema', Buffer.from(JSON.stringify({ ...healthOf(LOOK, undefined, 1), schema: 2 }))],
  ['no time', Buffer.from(JSON.stringify({ ...healthOf(LOOK, undefined, 1), time: 'x' }))],
  ['no mirrors', Buffer.from(JSON.stringify({ ...healthOf(LOOK, undefined, 1), mirrors: null }))],
])('a value that is %s is no record', (_, value) => {
  expect(parseHealth(value)).toBeUndefined();
});

test('the host’s figures: the hottest zone that is a sensor, and interfaces without the loopback', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'gatelog-host-'));
  const write = (name: string, text: string): void => {
    mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    writeFileSync(path.join(folder, name), `${text}\n`);
  };
  write('meminfo', 'MemTotal: 100 kB\nMemAvailable:    3 kB');
  for (const [at, text] of ['48312', '-274000', 'none', '51500'].entries()) {
    write(`class/thermal/thermal_zone${at}/temp`, text);
  }
  write('class/thermal/cooling_device0/temp', '90000');
  for (const name of ['lo', 'eth0', 'wwan0']) {
    write(`class/net/${name}/operstate`, name === 'eth0' ? 'up' : 'down');
  }
  expect(await hostFigures({ proc: folder, sys: folder })).toMatchObject({
    temperatureC: 51.5,
    memoryAvailableBytes: 3072,
    interfaces: [
      { name: 'eth0', state: 'up' },
      { name: 'wwan0', state: 'down' },
    ],
  });
  const nothing = { proc: '/nothing', sys: '/nothing' };
  expect(await hostFigures(nothing)).toMatchObject({ temperatureC: null, interfaces: [] });
  rmSync(folder, { recursive: true });
});

test('a record soon after the start and one at every interval; what the log refuses is not kept', async () => {
  const clock = new SimClock();
  const writer = new MemoryWriter();
  const warnings: string[] = [];
  const teller = new HealthTeller({
    intervalMs: 60_000,
    gateway: 'gw-1',
    writer,
    status: () => Promise.resolve(STATUS),
    logged: () => LOOK.logged,
    host: () => Promise.resolve(HOST),
    clock,
    logger: { ...silentLogger, warn: (_, text) => void warnings.push(text) },
  });
  teller.start();
  await clock.advance(HEALTH_LIMITS.firstMs);
  await expect.poll(() => writer.records.length).toBe(1);
  await clock.advance(60_000);
  await expect.poll(() => writer.records.length).toBe(2);
  const [record] = writer.records;
  expect(record).toMatchObject({ key: Buffer.from('gw-1'), durability: 'os' });
  expect(parseHealth(record?.value ?? null)).toMatchObject({ gateway: 'gw-1', intervalMs: 60_000 });
  await teller.stop();
  await clock.advance(200_000);
  expect(writer.records).toHaveLength(2);
  expect(warnings).toEqual([]);
});

test('an agent tells of itself where it is asked to, and has no topic for it otherwise', async () => {
  const place = await onDisk.make();
  const recordsAt = async (interval: string, enough: number): Promise<number> => {
    const text =
      `data: ${JSON.stringify(place.folder)}\nmqtt: {listen: ["mqtt://127.0.0.1:0"]}\n` +
      `http: false\nmetrics: {interval: ${interval}}\n`;
    const { config } = parseConfig(text, 'gatelog.yaml', { env: {}, workingFolder: place.folder });
    const random = seededRandom(1);
    const around = { clock: systemClock, random, logger: silentLogger, version: '0' };
    const agent = await startAgent(config, around);
    const records = async (): Promise<number> =>
      (await agent.status()).topics.find(({ name }) => name === METRICS)?.records ?? -1;
    await expect.poll(records, { timeout: 10_000 }).toBe(enough);
    await agent.stop();
    return enough;
  };
  expect(await recordsAt('off', -1)).toBe(-1);
  expect(await recordsAt('5s', 1)).toBe(1);
  await place.remove();
});
