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

/** With the mirror as it is written; undefined: without. */
function mirrored(upstream: string | undefined): void {
  const mirrors = upstream === undefined ? '' : `mirrors: {central: {${upstream}}}\n`;
  writeFileSync(
    path.join(cli.folder, 'gatelog.yaml'),
    `gateway: cli-come-and-go\ndata: data\nmqtt: {listen: ["mqtt://127.0.0.1:0"]}\n${mirrors}`,
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

/** A device that publishes without a pause. */
async function startTraffic(url: string): Promise<{ stop(): Promise<number> }> {
  const device = await connectAsync(url, { reconnectPeriod: 0 });
  const ending = new AbortController();
  let sent = 0;
  const sending = (async () => {
    for (; !ending.signal.aborted; sent++) {
      await device.publishAsync(`line/${sent % 5}`, String(sent), { qos: 1 });
    }
  })();
  return {
    async stop() {
      ending.abort();
      await sending;
      await device.endAsync();
      return sent;
    },
  };
}

/** All that was acknowledged is in Kafka, each once and in order. */
async function arriveOnce(records: number): Promise<void> {
  await expect
    .poll(mirrorStatus, { timeout: 60_000, interval: 100 })
    .toMatchObject({ state: 'live', lagRecords: 0 });
  const { stdout } = await cli.run(['verify', ...PLACE, '--json']);
  expect(JSON.parse(stdout)).toMatchObject({ clean: true, records, missing: 0 });
}

test('everything arrives once, in order, and a wrong configuration disturbs nothing', async () => {
  configure('batch: {records: 20}');
  const agent = await cli.start(['run', ...PLACE]);
  const [, url = ''] = await agent.waitFor(/"listeners":\["(mqtt:[^"]+)"/u);
  const traffic = await startTraffic(url);
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
  const sent = await traffic.stop();
  await arriveOnce(sent);
  expect(await agent.stop(25_000)).toEqual({ code: 0, signal: null });
});

test('a mirror comes, goes, moves to a central gatelog and comes back: all is there once, in order', async () => {
  const brokers = JSON.stringify(kafka.cluster.bootstrap('plaintext'));
  const toKafka =
    `kafka: {brokers: ${brokers}, topic: "{gateway}.{topic}", positionsTopic: cli-come.positions,` +
    ` create: {partitions: 3, replicationFactor: 3}}`;
  const centre = new CliFolder();
  try {
    const more = path.join(centre.folder, 'gatelog.yaml');
    writeFileSync(more, 'gateway: centre\nmqtt: {central: true}\n');
    const { url: centreUrl } = await centre.startAgent(PLACE);
    mirrored(undefined);
    const agent = await cli.start(['run', ...PLACE, '--http', 'off']);
    const [, url = ''] = await agent.waitFor(/"listeners":\["(mqtt:[^"]+)"/u);
    const traffic = await startTraffic(url);
    const flows = async (): Promise<void> => {
      const figure = async (): Promise<number> => Number((await mirrorStatus())['recordsSent']);
      await expect.poll(figure, { timeout: 60_000, interval: 100 }).toBeGreaterThan(10);
    };
    for (const upstream of [toKafka, undefined, `batch: {records: 50}, ${toKafka}`]) {
      mirrored(upstream);
      expect(await reload()).toMatchObject({ refused: null, needsRestart: [] });
      if (upstream !== undefined) await flows();
    }
    mirrored(`mqtt: {url: "${centreUrl}"}`);
    expect(await reload()).toMatchObject({ refused: null, needsRestart: [] });
    await flows();
    mirrored(toKafka);
    expect(await reload()).toMatchObject({ refused: null, needsRestart: [] });
    const sent = await traffic.stop();
    // What went to the centre meanwhile Kafka has, too: it says itself where it stood.
    await arriveOnce(sent);
    expect(await agent.stop(25_000)).toEqual({ code: 0, signal: null });
  } finally {
    await centre.remove();
  }
});
