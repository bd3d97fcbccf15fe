import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { connectAsync } from 'mqtt';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ReloadStatus } from '../../src/admin/reload-status.ts';
import { CliFolder } from '../support/cli.ts';
import { KafkaOfFile } from '../support/kafka/of-file.ts';

/** A mirror that begins anew under a running agent, as `gatelog reload` has it, in the midst of traffic. */
const kafka = KafkaOfFile.open();
let cli: CliFolder;
beforeEach(() => {
  cli = new CliFolder();
});
afterEach(() => cli.remove());

const PLACE = ['--config', 'gatelog.yaml'];

function configure(settings: string, store: string = ''): void {
  const brokers = JSON.stringify(kafka.cluster.bootstrap('plaintext'));
  writeFileSync(
    path.join(cli.folder, 'gatelog.yaml'),
    `gateway: cli-reload\ndata: data\nmqtt: {listen: ["mqtt://127.0.0.1:0"]}\n${store}\n` +
      `mirrors: {central: {${settings}, kafka: {brokers: ${brokers},` +
      ` topic: "{gateway}.{topic}", positionsTopic: cli-reload.positions,` +
      ` create: {partitions: 3, replicationFactor: 3}}}}\n`,
  );
}

async function reload(): Promise<ReloadStatus> {
  const { code, stdout, stderr } = await cli.run(['reload', ...PLACE, '--json']);
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as ReloadStatus;
}

async function mirrorStatus(): Promise<Record<string, unknown>> {
  const { stdout } = await cli.run(['mirror', 'status', 'central', ...PLACE, '--json']);
  return JSON.parse(stdout) as Record<string, unknown>;
}

test('everything arrives once, in order, and a wrong configuration disturbs nothing', async () => {
  configure('batch: {records: 20}');
  const agent = await cli.start(['run', ...PLACE]);
  const [, url = ''] = await agent.waitFor(/"listeners":\["(mqtt:[^"]+)"/u);
  const device = await connectAsync(url, { reconnectPeriod: 0 });
  const traffic = new AbortController();
  let sent = 0;
  const sending = (async () => {
    for (; !traffic.signal.aborted; sent++) {
      await device.publishAsync(`line/${sent % 5}`, String(sent), { qos: 1 });
    }
  })();
  const settings = ['batch: {records: 500}', 'link: {rate: 50Mbit/s}', 'batch: {records: 7}'];
  for (const setting of settings) {
    configure(setting);
    const report = await reload();
    expect(report).toMatchObject({ refused: null, needsRestart: [] });
    expect(report.applied.every((key) => key.startsWith('mirrors.central'))).toBe(true);
    expect(report.applied.length).toBeGreaterThan(0);
  }
  configure('batch: {records: many}', 'store: {segment: 1MiB}');
  const refused = await cli.run(['reload', '--data', 'data']);
  expect(refused.code).toBe(78);
  expect(refused.stderr).toMatch(/mirrors\.central\.batch\.records/u);
  expect(refused.stderr).toMatch(/nothing of it was taken/u);
  configure('batch: {records: 7}', 'store: {segment: 1MiB}');
  expect(await reload()).toMatchObject({ applied: [], needsRestart: ['store.segment'] });
  const { stdout } = await cli.run(['status', ...PLACE]);
  expect(stdout).toContain('needs a restart: store.segment');
  traffic.abort();
  await sending;
  await device.endAsync();
  await expect
    .poll(mirrorStatus, { timeout: 60_000, interval: 100 })
    .toMatchObject({ state: 'live', lagRecords: 0 });
  const verified = await cli.run(['verify', ...PLACE, '--json']);
  expect(JSON.parse(verified.stdout)).toMatchObject({ clean: true, records: sent, missing: 0 });
  expect(await agent.stop(25_000)).toEqual({ code: 0, signal: null });
});
