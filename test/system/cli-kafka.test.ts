import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { CliFolder, publish } from '../support/cli.ts';
import { type KafkaCluster, startKafkaCluster } from '../support/kafka/cluster.ts';

/** The commands around a Kafka mirror: verify by the configuration, pause, seek, resume. */
let cluster: KafkaCluster;
let cli: CliFolder;
beforeAll(async () => {
  cluster = await startKafkaCluster();
});
afterAll(() => cluster.close());
beforeEach(() => {
  cli = new CliFolder();
});
afterEach(() => cli.remove());

const PATIENT = { timeout: 60_000, interval: 100 };
const PLACE = ['--config', 'gatelog.yaml'];

function configure(gateway: string, delivery: string): void {
  const brokers = JSON.stringify(cluster.bootstrap('plaintext'));
  writeFileSync(
    path.join(cli.folder, 'gatelog.yaml'),
    `gateway: ${gateway}\ndata: data\nmqtt: {listen: ["mqtt://127.0.0.1:0"]}\n` +
      `mirrors: {central: {kafka: {brokers: ${brokers}, delivery: ${delivery},` +
      ` topic: "{gateway}.{topic}", positionsTopic: ${gateway}.positions,` +
      ` create: {partitions: 3, replicationFactor: 3}}}}\n`,
  );
}

async function mirror(): Promise<Record<string, unknown>> {
  const { stdout } = await cli.run(['mirror', 'status', 'central', ...PLACE, '--json']);
  return JSON.parse(stdout) as Record<string, unknown>;
}

async function verified(): Promise<unknown> {
  const { code, stdout } = await cli.run(['verify', ...PLACE, '--json']);
  return { code, ...(JSON.parse(stdout) as object) };
}

async function start(): Promise<{ url: string; stop: () => Promise<unknown> }> {
  const agent = await cli.start(['run', ...PLACE]);
  const [, url = ''] = await agent.waitFor(/"listeners":\["(mqtt:[^"]+)"/u);
  return { url, stop: () => agent.stop(25_000) };
}

const MESSAGES = ['1', '2', '3'].map((payload) => ({ topic: 'one', payload }));

test('verify by the configuration finds everything there, running and stopped', async () => {
  configure('cli-verify', 'exactly-once');
  const agent = await start();
  await publish(agent.url, MESSAGES);
  await expect.poll(mirror, PATIENT).toMatchObject({ state: 'live', lagRecords: 0 });
  const clean = { code: 0, mirror: 'central', clean: true, records: 3, missing: 0 };
  expect(await verified()).toMatchObject(clean);

  expect(await cli.run(['mirror', 'pause', 'central', ...PLACE])).toMatchObject({ code: 0 });
  await publish(agent.url, MESSAGES);
  await expect.poll(mirror, PATIENT).toMatchObject({ state: 'paused', lagRecords: 3 });
  // What is not sent yet is lag, not loss.
  expect(await verified()).toMatchObject(clean);
  expect(await cli.run(['mirror', 'resume', 'central', ...PLACE])).toMatchObject({ code: 0 });
  await expect.poll(mirror, PATIENT).toMatchObject({ state: 'live', lagRecords: 0 });
  expect(await agent.stop()).toEqual({ code: 0, signal: null });
  expect(await verified()).toMatchObject({ ...clean, records: 6 });
});

test.each(['exactly-once', 'at-least-once'])(
  'what a person sends again by seek is found, and is no fault: the ledger says so (%s)',
  async (delivery) => {
    configure(`cli-seek-${delivery}`, delivery);
    const agent = await start();
    await publish(agent.url, MESSAGES);
    await expect.poll(mirror, PATIENT).toMatchObject({ state: 'live', lagRecords: 0 });
    const seek = ['mirror', 'seek', 'central', '--topic', 'telemetry', '--to', 'beginning'];
    const moved = await cli.run([...seek, ...PLACE]);
    expect(moved.code).toBe(0);
    expect(moved.stdout).toContain('telemetry/0 goes on from offset 0\n');
    await expect
      .poll(mirror, PATIENT)
      .toMatchObject({ state: 'live', lagRecords: 0, recordsSent: 6, pendingSeeks: [] });
    const counts = { records: 3, repeats: 0, declaredRepeats: 3 };
    expect(await verified()).toMatchObject({ code: 0, clean: true, ...counts });
    const { stdout } = await cli.run(['gaps', ...PLACE, '--json']);
    const gap = { topic: 'telemetry', reason: 'rewound', records: 3, mirror: 'central' };
    expect(JSON.parse(stdout)).toMatchObject(gap);
    expect(await agent.stop()).toEqual({ code: 0, signal: null });
  },
);
