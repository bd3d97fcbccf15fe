import { copyFileSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { MirrorStatus } from '../../src/mirror/status.ts';
import { CliFolder, publish } from '../support/cli.ts';
import { KafkaOfFile } from '../support/kafka/of-file.ts';

/** `gatelog export` and `gatelog import`: records that are carried, beside a mirror that comes back. */
const kafka = KafkaOfFile.open();
let cli: CliFolder;
beforeEach(() => {
  cli = new CliFolder();
});
afterEach(() => cli.remove());

const PATIENT = { timeout: 60_000, interval: 100 };
const PLACE = ['--config', 'gatelog.yaml'];
const STICK = 'stick';

function configure(gateway: string): void {
  const brokers = JSON.stringify(kafka.cluster.bootstrap('plaintext'));
  writeFileSync(
    path.join(cli.folder, 'gatelog.yaml'),
    `gateway: ${gateway}\ndata: data\nmqtt: {listen: ["mqtt://127.0.0.1:0"]}\n` +
      `topics: {telemetry: {partitions: 4}}\n` +
      `mirrors: {central: {kafka: {brokers: ${brokers},` +
      ` topic: "{gateway}.{topic}", positionsTopic: ${gateway}.positions,` +
      ` create: {partitions: 3, replicationFactor: 3}}}}\n`,
  );
}

async function mirror(): Promise<MirrorStatus> {
  const { stdout } = await cli.run(['mirror', 'status', 'central', ...PLACE, '--json']);
  return JSON.parse(stdout) as MirrorStatus;
}

async function start(): Promise<{ url: string; stop: () => Promise<unknown> }> {
  const agent = await cli.start(['run', ...PLACE]);
  const [, url = ''] = await agent.waitFor(/"listeners":\["(mqtt:[^"]+)"/u);
  return { url, stop: () => agent.stop(25_000) };
}

async function said(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await cli.run(args);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout;
}

const exported = (): Promise<string> => said('export', 'central', '--to', STICK, ...PLACE);
const UNAVAILABLE = 69;

/** As a person does: again while brokers on a busy machine have to catch up with each other. */
async function imported(): Promise<string> {
  for (;;) {
    const { code, stdout, stderr } = await cli.run(['import', STICK, ...PLACE]);
    if (code === UNAVAILABLE) continue;
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    return stdout;
  }
}

async function verified(records: number): Promise<void> {
  const report: unknown = JSON.parse(await said('verify', ...PLACE, '--json'));
  expect(report).toMatchObject({ clean: true, records, missing: 0, repeats: 0, disorder: 0 });
}

function messages(count: number): { topic: string; payload: string }[] {
  return Array.from({ length: count }, (_, index) => ({
    topic: `plant/${index % 7}`,
    payload: `value ${index}`,
  }));
}

test('what was carried is there once, and the mirror goes on behind it', async () => {
  configure('carried');
  const agent = await start();
  await publish(agent.url, messages(30));
  await expect.poll(mirror, PATIENT).toMatchObject({ state: 'live', lagRecords: 0 });
  await said('mirror', 'pause', 'central', ...PLACE);
  await publish(agent.url, messages(200));
  expect(await exported()).toContain('200 records in 1 file');
  await publish(agent.url, messages(50));
  expect(await exported()).toContain('50 records in 1 file');
  expect(await exported()).toContain('nothing new to export');

  expect(await said('import', STICK, '--check')).toContain('250 records of 1 topic in 2 files');
  expect(await imported()).toContain('imported: 250 records\n');
  expect(await imported()).toContain('imported: 0 records, 250 records there already');
  await publish(agent.url, messages(20));
  await said('mirror', 'resume', 'central', ...PLACE);
  await expect.poll(mirror, PATIENT).toMatchObject({ state: 'live', lagRecords: 0 });
  // The carried ones were not sent again.
  expect((await mirror()).recordsSent).toBe(50);
  await verified(300);

  // An import beside a mirror that is at work: it takes over for a moment, and is no clone.
  await imported();
  await publish(agent.url, messages(10));
  await expect.poll(mirror, PATIENT).toMatchObject({ state: 'live', lagRecords: 0 });
  await verified(310);
  expect(await agent.stop()).toEqual({ code: 0, signal: null });
});

test('from a stopped folder, never online before; what comes after it joins on', async () => {
  configure('carried-cold');
  writeFileSync(
    path.join(cli.folder, 'offline.yaml'),
    readFileSync(path.join(cli.folder, 'gatelog.yaml'), 'utf8').replaceAll(
      /127\.0\.0\.1:\d+/gu,
      (at) => (at === '127.0.0.1:0' ? at : '127.0.0.1:1'),
    ),
  );
  const offline = await cli.start(['run', '--config', 'offline.yaml']);
  const [, url = ''] = await offline.waitFor(/"listeners":\["(mqtt:[^"]+)"/u);
  await publish(url, messages(40));
  await offline.stop();
  expect(await exported()).toContain('40 records in 1 file');

  // Whether it was imported is not known yet: a person is asked, and nothing is sent twice.
  const agent = await start();
  await expect.poll(mirror, PATIENT).toMatchObject({
    state: 'halted',
    reason: expect.stringContaining('were exported to files'),
  });
  expect(await imported()).toContain('imported: 40 records\n');
  await said('mirror', 'resume', 'central', ...PLACE);
  await publish(agent.url, messages(5));
  await expect.poll(mirror, PATIENT).toMatchObject({ state: 'live', lagRecords: 0 });
  await verified(45);
  await agent.stop();
});

test('a copy that is not whole is told from one that is, and nothing of it goes in', async () => {
  configure('carried-torn');
  const agent = await start();
  await publish(agent.url, messages(60));
  await said('mirror', 'pause', 'central', ...PLACE);
  await publish(agent.url, messages(60));
  await exported();
  await agent.stop();
  const [name = ''] = readdirSync(path.join(cli.folder, STICK));
  const file = path.join(cli.folder, STICK, name);
  copyFileSync(file, `${file}.good`);
  const bytes = readFileSync(file);
  const middle = Math.floor(bytes.length / 2);
  writeFileSync(file, bytes.fill(bytes[middle] === 0 ? 1 : 0, middle, middle + 1));
  const args = ['import', STICK, ...PLACE];
  const altered = await cli.run(args);
  expect(altered).toMatchObject({ code: 65, stderr: expect.stringContaining(name) });
  copyFileSync(`${file}.good`, file);
  truncateSync(file, bytes.length - 10);
  const torn = await cli.run(args);
  expect(torn).toMatchObject({ code: 65, stderr: expect.stringContaining('copy it again') });
  copyFileSync(`${file}.good`, file);
  expect(await imported()).toMatch(/imported: \d+ records/u);
});
