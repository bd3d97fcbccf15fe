import { randomBytes } from 'node:crypto';
import { copyFileSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { MirrorStatus } from '../../src/mirror/status.ts';
import { CliFolder, publish } from '../support/cli.ts';
import { gatewayGrants } from '../support/kafka/admin.ts';
import { openKafkaLink } from '../support/kafka/link.ts';
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
const TAKEN_BACK = /all there|took its transactional id .* back|was changed by somebody else/u;

function configure(gateway: string, link = ''): void {
  const brokers = JSON.stringify(kafka.cluster.bootstrap('plaintext'));
  writeFileSync(
    path.join(cli.folder, 'gatelog.yaml'),
    `gateway: ${gateway}\ndata: data\nmqtt: {listen: ["mqtt://127.0.0.1:0"]}\n` +
      `topics: {telemetry: {partitions: 4}}\n` +
      `mirrors: {central: {${link}kafka: {brokers: ${brokers},` +
      ` topic: "{gateway}.{topic}", positionsTopic: ${gateway}.positions,` +
      ` create: {partitions: 3, replicationFactor: 3}}}}\n`,
  );
}

async function mirror(): Promise<MirrorStatus> {
  const { stdout } = await cli.run(['mirror', 'status', 'central', ...PLACE, '--json']);
  return JSON.parse(stdout) as MirrorStatus;
}

interface Agent {
  readonly url: string;
  readonly log: () => string;
  readonly stop: () => Promise<unknown>;
}

async function start(): Promise<Agent> {
  const agent = await cli.start(['run', ...PLACE]);
  const [, url = ''] = await agent.waitFor(/"listeners":\["(mqtt:[^"]+)"/u);
  const log = (): string => agent.stdout() + agent.stderr();
  return { url, log, stop: () => agent.stop(25_000) };
}

async function said(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await cli.run(args);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout;
}

const exported = (): Promise<string> => said('export', 'central', '--to', STICK, ...PLACE);

/** Brokers on a busy machine may have to catch up with each other: what is waited for is on stderr. */
async function imported(): Promise<string> {
  const { code, stdout, stderr } = await cli.run(['import', STICK, ...PLACE]);
  expect({ code, stderr }).toEqual({
    code: 0,
    stderr: expect.stringMatching(/^(?:gatelog: .*; next try in .*\n)*$/u),
  });
  return stdout;
}

async function verified(records: number): Promise<void> {
  const report: unknown = JSON.parse(await said('verify', ...PLACE, '--json'));
  expect(report).toMatchObject({ clean: true, records, missing: 0, repeats: 0, disorder: 0 });
}

/** 16 KiB each, which no compression makes smaller. */
function noise(count: number): { topic: string; payload: Buffer }[] {
  return messages(count).map(({ topic }) => ({ topic, payload: randomBytes(16_384) }));
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

test('an import takes over from a mirror in the middle of its backlog, which goes on after it', async () => {
  // Several transactions are under way for seconds, whatever the machine.
  configure('carried-meanwhile', 'link: {rate: 256kbit/s}, ');
  const agent = await start();
  await publish(agent.url, messages(10));
  await expect.poll(mirror, PATIENT).toMatchObject({ state: 'live', lagRecords: 0 });
  await said('mirror', 'pause', 'central', ...PLACE);
  await publish(agent.url, noise(60));
  await said('mirror', 'resume', 'central', ...PLACE);
  await expect.poll(async () => (await mirror()).recordsSent, PATIENT).toBeGreaterThan(10);
  await exported();
  const { lagRecords } = await mirror();
  // The mirror takes its id back, which ends the import unless that was faster.
  const { code, stderr } = await cli.run(['import', STICK, ...PLACE]);
  expect(code === 0 ? 'all there' : stderr).toMatch(TAKEN_BACK);
  await expect.poll(mirror, PATIENT).toMatchObject({ state: 'live', lagRecords: 0 });
  expect(lagRecords).toBeGreaterThan(0);
  // Of one export, and as often as anybody likes.
  for (let again = 0; again < 4; again++) {
    await imported();
    await publish(agent.url, messages(5));
    await expect.poll(mirror, PATIENT).toMatchObject({ state: 'live', lagRecords: 0 });
  }
  await verified(90);
  expect(agent.log()).not.toContain('mirror.halted');
  await agent.stop();
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

  const unreachable = await cli.start(['import', STICK, '--config', 'offline.yaml']);
  await unreachable.waitFor(/gatelog: mirror central: .*ECONNREFUSED.*; next try in /u);
  unreachable.signal('SIGINT');
  expect(await unreachable.exited).toEqual({ code: 69, signal: null });
  expect(unreachable.stderr()).toContain('broken off');

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
  await said('export', 'central', '--to', 'other', ...PLACE);
  await agent.stop();
  // Numbers go on whatever is in the folder: both may be copied into one.
  expect(readdirSync(path.join(cli.folder, 'other'))).toEqual([
    expect.stringMatching(/^carried-torn\.central\.000002-[\da-f]{8}\.gatelog$/u),
  ]);
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

test('an import goes on after errors that pass, and brings each record once', async () => {
  const gateway = 'carried-bumpy';
  configure(gateway);
  const agent = await start();
  await publish(agent.url, messages(30));
  await expect.poll(mirror, PATIENT).toMatchObject({ state: 'live', lagRecords: 0 });
  await said('mirror', 'pause', 'central', ...PLACE);
  await publish(agent.url, messages(200));
  expect(await exported()).toContain('200 records in 1 file');
  await agent.stop();

  const { gw } = kafka.cluster.state.users;
  const id = `gatelog.${gateway}`;
  const topics = [`${gateway}.telemetry`, `${gateway}._gaps`];
  const rights = { transactionalId: id, group: id, positionsTopic: `${gateway}.positions`, topics };
  await kafka.cluster.grant(gw.name, gatewayGrants({ ...rights, create: true }));
  const file = path.join(cli.folder, 'gatelog.yaml');
  const login = `sasl: {mechanism: SCRAM-SHA-512, username: ${gw.name}, password: ${gw.password}}`;
  writeFileSync(
    path.join(cli.folder, 'link.yaml'),
    readFileSync(file, 'utf8').replace(
      /brokers: \[[^\]]*\]/u,
      `brokers: ${JSON.stringify(kafka.cluster.bootstrap('proxied'))}, ${login}`,
    ),
  );
  const link = await openKafkaLink(kafka.cluster);
  try {
    await link.setMode('refuse');
    const importing = await cli.start(['import', STICK, '--config', 'link.yaml']);
    await importing.waitFor(/ECONNREFUSED.*; next try in /u);
    const cuts = [
      link.cut('Produce', { where: 'request', how: 'reset' }),
      link.cut('EndTxn', { where: 'response', how: 'reset' }),
    ];
    await link.setMode('open');
    expect(await importing.exited).toEqual({ code: 0, signal: null });
    await Promise.all(cuts.map(({ done }) => done));
    expect(importing.stdout()).toContain('imported: 200 records\n');
    expect(importing.stderr()).toMatch(/outcome is asked at the next connection.*; next try in /u);
  } finally {
    await link.close();
  }
  await verified(230);
});
