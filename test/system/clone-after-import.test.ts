import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { MirrorStatus } from '../../src/mirror/status.ts';
import { CliFolder, publish } from '../support/cli.ts';
import { KafkaOfFile } from '../support/kafka/of-file.ts';
import { kcatConsume } from '../support/kafka/tools.ts';

/** Two copies of one data folder, of which records were exported and imported: still two clones. */
const kafka = KafkaOfFile.open();
let cli: CliFolder;
beforeEach(() => {
  cli = new CliFolder();
});
afterEach(() => cli.remove());

const PATIENT = { timeout: 60_000, interval: 100 };
const STICK = 'stick';
type Copy = 'first' | 'second';

interface Agent {
  readonly say: (text: string) => Promise<void>;
  readonly stop: () => Promise<unknown>;
}

function configure(gateway: string, drain: string, partitions: number): void {
  const brokers = JSON.stringify(kafka.cluster.bootstrap('plaintext'));
  for (const copy of ['first', 'second']) {
    writeFileSync(
      path.join(cli.folder, `${copy}.yaml`),
      `gateway: ${gateway}\ndata: ${copy}\nmqtt: {listen: ["mqtt://127.0.0.1:0"]}\n` +
        `topics: {telemetry: {partitions: ${partitions}}}\n` +
        `mirrors: {central: {topics: [{match: telemetry, drain: ${drain}}],` +
        ` kafka: {brokers: ${brokers}, topic: "{gateway}.{topic}",` +
        ` positionsTopic: ${gateway}.positions, create: {partitions: 3, replicationFactor: 3}}}}\n`,
    );
  }
}

async function start(copy: Copy): Promise<Agent> {
  const agent = await cli.start(['run', '--config', `${copy}.yaml`]);
  const [, url = ''] = await agent.waitFor(/"listeners":\["(mqtt:[^"]+)"/u);
  return {
    // Of one MQTT topic: of one key, so in one partition.
    say: (text) => publish(url, [{ topic: 'plant/a', payload: text }]),
    stop: () => agent.stop(25_000),
  };
}

async function mirror(copy: Copy): Promise<MirrorStatus> {
  const args = ['mirror', 'status', 'central', '--config', `${copy}.yaml`, '--json'];
  return JSON.parse((await cli.run(args)).stdout) as MirrorStatus;
}

async function isThrough(copy: Copy): Promise<void> {
  await expect
    .poll(() => mirror(copy), PATIENT)
    .toMatchObject({ state: 'live', lagRecords: 0, pendingSeeks: [] });
}

async function said(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await cli.run(args);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return stdout;
}

const steer = (copy: Copy, verb: string, ...args: string[]): Promise<string> =>
  said('mirror', verb, 'central', ...args, '--config', `${copy}.yaml`);

/** What is waited for on a busy machine is on stderr. */
async function importAll(): Promise<void> {
  expect(await cli.run(['import', STICK, '--config', 'first.yaml'])).toMatchObject({ code: 0 });
}

const exportAll = (): Promise<string> =>
  said('export', 'central', '--to', STICK, '--config', 'first.yaml');

async function carry(agent: Agent): Promise<void> {
  await steer('first', 'pause');
  await agent.say('carried');
  expect(await exportAll()).toContain('1 record in 1 file');
  await importAll();
  await steer('first', 'resume');
  await isThrough('first');
}

async function seek(): Promise<void> {
  for (const to of ['beginning', 'end']) {
    await steer('first', 'seek', '--topic', 'telemetry', '--to', to);
    await isThrough('first');
  }
}

function copyFolder(): void {
  const [from, to] = ['first', 'second'].map((copy) => path.join(cli.folder, copy));
  cpSync(from ?? '', to ?? '', { recursive: true });
  rmSync(path.join(to ?? '', 'agent.sock'), { force: true });
}

/** Something in log and Kafka, what `steps` say, and a copy of the folder after a proper end. */
async function firstLife(steps: (agent: Agent) => Promise<void>): Promise<void> {
  const agent = await start('first');
  for (let count = 0; count < 5; count++) await agent.say(`before ${count}`);
  await isThrough('first');
  await steps(agent);
  await agent.stop();
  copyFolder();
}

async function isHalted(copy: Copy, reason: RegExp): Promise<void> {
  await expect
    .poll(() => mirror(copy), PATIENT)
    .toMatchObject({ state: 'halted', reason: expect.stringMatching(reason) as unknown });
}

async function centralValues(gateway: string): Promise<(string | null)[]> {
  const records = await kcatConsume(kafka.cluster, `${gateway}.telemetry`);
  return records.map(({ value }) => value);
}

/** The second came last and has the transactional id; each has something else at the next offset. */
async function sayInBoth({ first, second }: Readonly<Record<Copy, Agent>>): Promise<void> {
  await first.say('one');
  await isHalted('first', /a clone of/u);
  await second.say('two');
  await isThrough('second');
  // What the other sent in its place is seen by its own books, too.
  await steer('first', 'resume');
  await isHalted('first', /this data folder has sent it up to \d+ only: a copy/u);
  await second.say('three');
  await isThrough('second');
}

async function startBoth(): Promise<Record<Copy, Agent>> {
  const first = await start('first');
  await isThrough('first');
  const second = await start('second');
  await isThrough('second');
  return { first, second };
}

test.each([
  ['newest-first', 1],
  ['backlog-first', 3],
] as const)(
  'copied after an import and a seek (%s): one of two halts',
  async (drain, partitions) => {
    const gateway = `copied-${drain}`;
    configure(gateway, drain, partitions);
    await firstLife(async (agent) => {
      await carry(agent);
      await agent.say('between');
      await isThrough('first');
      // Nothing is sent after it: the books of the copies are those of the seek.
      await seek();
    });
    await sayInBoth(await startBoth());
    const values = await centralValues(gateway);
    expect(values.slice(-2)).toEqual(['two', 'three']);
    expect(values).not.toContain('one');
  },
);

test('an import comes after the copy: who has the id goes on, the other one halts', async () => {
  configure('copied-before', 'newest-first', 1);
  await firstLife(async (agent) => {
    await steer('first', 'pause');
    await agent.say('carried');
    await exportAll();
    await steer('first', 'resume');
    await isThrough('first');
    await seek();
  });
  const agents = await startBoth();
  await importAll();
  await agents.second.say('after the import');
  await isThrough('second');
  await sayInBoth(agents);
  const values = await centralValues('copied-before');
  expect(values.slice(-3)).toEqual(['after the import', 'two', 'three']);
  expect(values).not.toContain('one');
});

test('a mirror that gets another name is no clone, and goes on where it was', async () => {
  configure('renamed', 'backlog-first', 3);
  await firstLife(carry);
  const file = path.join(cli.folder, 'first.yaml');
  writeFileSync(file, readFileSync(file, 'utf8').replace('{central: ', '{upstream: '));
  const agent = await start('first');
  await agent.say('under another name');
  const status = ['mirror', 'status', 'upstream', '--config', 'first.yaml', '--json'];
  await expect
    .poll(async () => JSON.parse((await cli.run(status)).stdout) as MirrorStatus, PATIENT)
    .toMatchObject({ state: 'live', lagRecords: 0, recordsSent: 1 });
  const before = Array.from({ length: 5 }, (_, count) => `before ${count}`);
  expect(await centralValues('renamed')).toEqual([...before, 'carried', 'under another name']);
  await agent.stop();
});
