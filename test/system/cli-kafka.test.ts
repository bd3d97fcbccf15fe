import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { must } from '../../src/assert.ts';
import type { LinkStatus } from '../../src/mirror/policy/link-status.ts';
import { systemRandom } from '../../src/random.ts';
import { openStore } from '../../src/store/open.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { CliFolder, publish } from '../support/cli.ts';
import { fill } from '../support/store-kit.ts';
import { KafkaOfFile } from '../support/kafka/of-file.ts';

/** The commands around a Kafka mirror: verify by the configuration, pause, seek, resume. */
const kafka = KafkaOfFile.open();
let cli: CliFolder;
beforeEach(() => {
  cli = new CliFolder();
});
afterEach(() => cli.remove());

const PATIENT = { timeout: 60_000, interval: 100 };
const PLACE = ['--config', 'gatelog.yaml'];

interface Variant {
  readonly file?: string;
  readonly data?: string;
  readonly partitions?: number;
}

function configure(
  gateway: string,
  delivery: string,
  { file = 'gatelog.yaml', data = 'data', partitions = 8 }: Variant = {},
): void {
  const brokers = JSON.stringify(kafka.cluster.bootstrap('plaintext'));
  writeFileSync(
    path.join(cli.folder, file),
    `gateway: ${gateway}\ndata: ${data}\nmqtt: {listen: ["mqtt://127.0.0.1:0"]}\n` +
      `topics: {telemetry: {partitions: ${partitions}}}\n` +
      `mirrors: {central: {link: {rate: 20Mbit/s, budget: [{bytes: 1GB, per: month}]},` +
      ` kafka: {brokers: ${brokers}, delivery: ${delivery},` +
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
    const { wireBytes, budgets } = (await mirror())['link'] as LinkStatus;
    expect(wireBytes).toBeGreaterThan(1000);
    expect(budgets[0]?.usedBytes).toBeGreaterThanOrEqual(wireBytes);
    const counts = { records: 3, repeats: 0, declaredRepeats: 3 };
    expect(await verified()).toMatchObject({ code: 0, clean: true, ...counts });
    const { stdout } = await cli.run(['gaps', ...PLACE, '--json']);
    const gap = { topic: 'telemetry', reason: 'rewound', records: 3, mirror: 'central' };
    expect(JSON.parse(stdout)).toMatchObject(gap);
    expect(await agent.stop()).toEqual({ code: 0, signal: null });
  },
);

/** As in an outage, but an entry of the ledger is closed at once and not after two minutes. */
async function loseToTheCap(): Promise<number> {
  const store = await openStore({
    folder: path.join(cli.folder, 'data'),
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
    segmentBytes: 30_000,
    compression: 'none',
    ledgerIdleMs: 50,
  });
  const { options } = must(store.reader.topic('telemetry'), 'it was published to');
  const topic = store.writer.defineTopic('telemetry', { ...options, retentionBytes: 60_000 });
  await fill(store, topic, 1000, { bytes: 200 });
  await store.retain();
  await expect.poll(() => store.reader.topic('_gaps'), PATIENT).toBeDefined();
  const { startOffset } = store.reader.range(must(topic.streams[0], 'its partition'));
  await store.close();
  return startOffset - MESSAGES.length;
}

test('what the cap took before the mirror had it is declared by the central _gaps alone', async () => {
  const gateway = 'cli-gaps';
  configure(gateway, 'exactly-once', { partitions: 1 });
  configure(gateway, 'exactly-once', { file: 'centre.yaml', data: 'nowhere' });
  const before = await start();
  await publish(before.url, MESSAGES);
  await expect.poll(mirror, PATIENT).toMatchObject({ state: 'live', lagRecords: 0 });
  await before.stop();
  const lost = await loseToTheCap();
  expect(lost).toBeGreaterThan(500);
  const after = await start();
  await publish(after.url, MESSAGES);
  await expect.poll(mirror, PATIENT).toMatchObject({ state: 'live', lagRecords: 0 });
  const brokers = kafka.cluster.bootstrap('plaintext').join(',');
  const named = ['telemetry', '_gaps'].flatMap((topic) => ['--topic', `${gateway}.${topic}`]);
  const clean = { clean: true, missing: 0, declaredLost: lost };
  for (const place of [['--kafka', brokers, ...named], ['--config', 'centre.yaml'], PLACE]) {
    const { code, stdout } = await cli.run(['verify', ...place, '--json']);
    expect({ code, ...(JSON.parse(stdout) as object) }).toMatchObject({ code: 0, ...clean });
  }
  await after.stop();
});
