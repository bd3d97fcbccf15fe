import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { AgentStatus } from '../../src/admin/status.ts';
import { LIMITS } from '../../src/limits.ts';
import { consumeCommitted } from '../../src/mirror/kafka/consume.ts';
import { systemClock } from '../../src/time.ts';
import { CliFolder, publish } from '../support/cli.ts';
import { FakeTime } from '../support/fake-time.ts';
import { KafkaOfFile } from '../support/kafka/of-file.ts';
import { kcatConsume } from '../support/kafka/tools.ts';
import { freshName } from './kafka-rig.ts';

/** A real agent whose wall clock is set by libfaketime while it runs, and a real Kafka behind it. */
const kafka = KafkaOfFile.open();
let cli: CliFolder;
let fake: FakeTime;

beforeEach(() => {
  cli = new CliFolder();
  fake = new FakeTime(path.join(cli.folder, 'fake-time'), in1970());
});
afterEach(() => cli.remove());

const PLACE = ['--config', 'gatelog.yaml'];
const PATIENT = { timeout: 60_000, interval: 100 };
const HOUR = 3_600_000;
const YEAR = 365 * 24 * HOUR;
/** What the time may be off: corrections are not made for less, and two clocks are never read at once. */
const OFF_MS = 1100;

/** Five hours into the year 1970. */
const in1970 = (): number => 5 * HOUR - systemClock.nowMs();

function configure(gateway: string, trust: string): void {
  const brokers = JSON.stringify(kafka.cluster.bootstrap('plaintext'));
  writeFileSync(
    path.join(cli.folder, 'gatelog.yaml'),
    `gateway: ${gateway}\ndata: data\nmqtt: {listen: ["mqtt://127.0.0.1:0"]}\n` +
      `clock: {trust: "${trust}"}\n` +
      `topics: {telemetry: {partitions: 1}}\n` +
      `mirrors: {central: {kafka: {brokers: ${brokers}, topic: "{gateway}.{topic}",` +
      ` positionsTopic: ${gateway}.positions,` +
      ` create: {partitions: 1, replicationFactor: 3}}}}\n`,
  );
}

async function start() {
  const agent = await cli.start(['run', ...PLACE], fake.env);
  const [, url = ''] = await agent.waitFor(/"listeners":\["(mqtt:[^"]+)"/u);
  return { agent, url };
}

/** As a time daemon that has set the clock. */
const synchronise = (): void => writeFileSync(path.join(cli.folder, 'synchronised'), '');

async function clockStatus(): Promise<AgentStatus['clock'] | undefined> {
  const { stdout } = await cli.run(['status', ...PLACE, '--json']);
  return stdout === '' ? undefined : (JSON.parse(stdout) as AgentStatus).clock;
}

const steer = async (...args: string[]): Promise<void> => {
  expect(await cli.run(['mirror', ...args, ...PLACE])).toMatchObject({ code: 0 });
};

interface Sent {
  readonly value: string;
  readonly fromMs: number;
  readonly toMs: number;
}

async function send(url: string, value: string): Promise<Sent> {
  const fromMs = systemClock.nowMs();
  await publish(url, [{ topic: 'plant', payload: value }]);
  return { value, fromMs, toMs: systemClock.nowMs() };
}

interface Arrived {
  readonly value: string | null;
  readonly timestampMs: number;
  readonly headers: Readonly<Record<string, string>>;
}

async function arrived(topic: string): Promise<Arrived[]> {
  const times = new Map<string, number>();
  const brokers = kafka.cluster.bootstrap('plaintext');
  for await (const records of consumeCommitted({ brokers, topics: [topic], clock: systemClock })) {
    for (const { identity, timestampMs } of records) times.set(identity ?? '', timestampMs);
  }
  const found = await kcatConsume(kafka.cluster, topic);
  return found.map(({ value, headers }) => {
    const byName = Object.fromEntries(headers);
    return { value, timestampMs: times.get(byName['gatelog.id'] ?? '') ?? NaN, headers: byName };
  });
}

function expectTrueTimes(found: readonly Arrived[], sent: readonly Sent[]): void {
  expect(found.map(({ value }) => value)).toEqual(sent.map(({ value }) => value));
  const wrong = sent.filter(({ fromMs, toMs }, index) => {
    const timestampMs = found[index]?.timestampMs ?? NaN;
    return !(timestampMs >= fromMs - OFF_MS && timestampMs <= toMs + OFF_MS);
  });
  expect(wrong).toEqual([]);
}

test('1970, then the time, back an hour, ahead ten years and back: Kafka gets true times', async () => {
  const gateway = freshName('clock');
  configure(gateway, 'file:synchronised');
  const { agent, url } = await start();
  await steer('pause', 'central');
  expect(await clockStatus()).toMatchObject({ state: 'suspect', source: null });
  const sent = [await send(url, 'in 1970')];
  const looked = await cli.run(['consume', 'telemetry', '--json', ...PLACE]);
  expect(JSON.parse(looked.stdout)).toMatchObject({ value: 'in 1970', time: 'estimated' });
  const shown = await cli.run(['consume', 'telemetry', ...PLACE]);
  expect(shown.stdout).toMatch(/^~\d{4}-.*Z telemetry\/0@0 plant in 1970\n$/u);

  fake.set(0);
  await expect.poll(clockStatus, PATIENT).toMatchObject({ jumps: 1 });
  synchronise();
  await expect.poll(clockStatus, PATIENT).toMatchObject({ state: 'trusted' });
  sent.push(await send(url, 'in time'));
  fake.set(-HOUR);
  await expect.poll(clockStatus, PATIENT).toMatchObject({ state: 'suspect', jumps: 2 });
  sent.push(await send(url, 'back'));
  fake.set(10 * YEAR);
  await expect.poll(clockStatus, PATIENT).toMatchObject({ state: 'suspect', jumps: 3 });
  sent.push(await send(url, 'ahead'));
  fake.set(0);
  await expect.poll(clockStatus, PATIENT).toMatchObject({ state: 'trusted', jumps: 4 });
  sent.push(await send(url, 'in time again'));

  // A crash, and the same boot with the clock back in 1970: the boot knows better.
  await agent.kill();
  fake.set(in1970());
  const again = await start();
  expect(await clockStatus()).toMatchObject({ state: 'suspect' });
  sent.push(await send(again.url, 'in 1970 again'));
  await steer('resume', 'central');
  const topic = `${gateway}.telemetry`;
  await expect
    .poll(async () => (await kcatConsume(kafka.cluster, topic).catch(() => [])).length, PATIENT)
    .toBe(sent.length);
  const found = await arrived(topic);
  expectTrueTimes(found, sent);
  expect(found.map(({ headers }) => headers['gatelog.time'])).toEqual([
    'corrected',
    undefined,
    'corrected',
    'corrected',
    undefined,
    'corrected',
  ]);
  expect(Number(found[0]?.headers['gatelog.time.clock'])).toBeLessThan(6 * HOUR);
  const { stdout } = await cli.run(['status', ...PLACE]);
  expect(stdout).toMatch(
    /^clock {5}suspect, .*the time is 20\d\d-.* and not what the clock shows$/mu,
  );
  expect(await again.agent.stop(25_000)).toEqual({ code: 0, signal: null });
});

test('a boot that never learns the time: its records go up with the best estimate, and say so', async () => {
  const gateway = freshName('clock');
  configure(gateway, 'file:synchronised');
  const { agent, url } = await start();
  await send(url, 'when');
  const topic = `${gateway}.telemetry`;
  await expect
    .poll(async () => (await kcatConsume(kafka.cluster, topic).catch(() => [])).length, PATIENT)
    .toBe(1);
  const [record] = await arrived(topic);
  expect(record).toMatchObject({ value: 'when', headers: { 'gatelog.time': 'estimated' } });
  expect(Number(record?.headers['gatelog.time.clock'])).toBeLessThan(6 * HOUR);
  // In 1970 Kafka would remove it at once: it was not before this software was made.
  expect(record?.timestampMs).toBeGreaterThanOrEqual(LIMITS.clockEarliestMs);
  expect(await agent.stop(25_000)).toEqual({ code: 0, signal: null });
});

test('where nobody can be asked nothing is said, and timestamps are the clock’s own', async () => {
  const gateway = freshName('clock');
  configure(gateway, 'auto');
  fake.set(-HOUR);
  const { url } = await start();
  const { fromMs, toMs } = await send(url, 'as it is');
  const topic = `${gateway}.telemetry`;
  await expect
    .poll(async () => (await kcatConsume(kafka.cluster, topic).catch(() => [])).length, PATIENT)
    .toBe(1);
  const [record] = await arrived(topic);
  expect(record?.timestampMs).toBeGreaterThanOrEqual(fromMs - HOUR - OFF_MS);
  expect(record?.timestampMs).toBeLessThanOrEqual(toMs - HOUR + OFF_MS);
  expect(Object.keys(record?.headers ?? {}).filter((name) => name.startsWith('gatelog.'))).toEqual([
    'gatelog.id',
  ]);
});
