import { copyFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DebianCell } from '../support/debian-root.ts';
import type { Running } from '../support/process.ts';
import { DEVICE, putPackage } from './built-packages.ts';

/** The package for a Pi: under that architecture's own dpkg, its programs run by qemu. */
const NODE = '/usr/lib/gatelog/node_modules/.bin/node';
const SLOW_MS = 180_000;
let cell: DebianCell;

beforeAll(async () => {
  cell = await DebianCell.make({ arch: 'arm64', include: ['systemd', 'systemd-sysv', 'dbus'] });
  const file = await putPackage(cell.path('tmp'), { architecture: 'arm64' });
  copyFileSync(DEVICE, cell.path('tmp/device.mjs'));
  await cell.check(['dpkg', '--force-unsafe-io', '--install', `/tmp/${file}`], SLOW_MS);
});
afterAll(async () => {
  await cell?.remove();
});

async function agent(config: string): Promise<Running> {
  const running = await cell.start(['gatelog', 'run', '--config', config]);
  await running.waitFor(/agent\.ready/u, SLOW_MS);
  return running;
}

async function consumed(config: string): Promise<string[]> {
  const args = ['gatelog', 'consume', 'telemetry', '--json', '--config', config];
  const { stdout } = await cell.check(args, SLOW_MS);
  return stdout.split('\n').filter((line) => line !== '');
}

async function publish(): Promise<void> {
  const args = [NODE, '/tmp/device.mjs', '1883', '5', '500'];
  expect((await cell.check(args, SLOW_MS)).stdout).toBe('acknowledged 5\n');
}

test('MQTT in, logged, mirrored to a centre exactly once, also over a restart', async () => {
  expect((await cell.check(['dpkg', '--print-architecture'])).stdout).toBe('arm64\n');
  writeFileSync(
    cell.path('tmp/centre.yaml'),
    'gateway: centre\ndata: /tmp/centre\nmqtt: { listen: ["mqtt://127.0.0.1:1884"], central: true }\n',
  );
  writeFileSync(
    cell.path('tmp/gw.yaml'),
    'gateway: gw\ndata: /tmp/gw\nmirrors: { centre: { mqtt: { url: "mqtt://127.0.0.1:1884" } } }\n',
  );
  const centre = await agent('/tmp/centre.yaml');
  const first = await agent('/tmp/gw.yaml');
  await publish();
  await first.stop(60_000);
  expect(await consumed('/tmp/gw.yaml')).toHaveLength(5);
  const second = await agent('/tmp/gw.yaml');
  await publish();
  const arrived = async (): Promise<number> => (await consumed('/tmp/centre.yaml')).length;
  await expect.poll(arrived, { timeout: SLOW_MS, interval: 2000 }).toBe(10);
  await second.stop(60_000);
  await centre.stop(60_000);
  expect(await consumed('/tmp/centre.yaml')).toHaveLength(10);
});

test('all natives are of that architecture, and are loaded', async () => {
  const load = `
    const { createRequire } = require('node:module');
    const from = createRequire('/usr/lib/gatelog/package.json');
    from('classic-level'); from('@node-rs/crc32').crc32('x');
    const { extractStrings } = createRequire(from.resolve('msgpackr'))('msgpackr-extract');
    console.log(process.arch, typeof extractStrings);`;
  const { stdout } = await cell.check([NODE, '-e', load], SLOW_MS);
  expect(stdout).toBe('arm64 function\n');
});
