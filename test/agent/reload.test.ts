import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startAgent } from '../../src/agent/agent.ts';
import type { Agent } from '../../src/agent/agent-types.ts';
import { loadConfig } from '../../src/agent/config.ts';
import type { ConfigReading } from '../../src/agent/reloader.ts';
import { seededRandom } from '../../src/random.ts';
import { systemClock } from '../../src/time.ts';
import { RawDevice } from '../support/mqtt-raw.ts';
import { rememberingLogger } from '../support/store-kit.ts';

/** A changed configuration under a running agent: what it takes, what it names, what it refuses. */
let folder: string;
let file: string;
let agent: Agent | undefined;
let levels: string[];
const logger = rememberingLogger();

const USERS = `
mqtt:
  listen: [mqtt://127.0.0.1:0]
  users: [{username: anna, password: first}, {username: ben, password: of-ben}]
`;
/** Nobody listens there. */
const MIRROR = `
mirrors:
  central:
    kafka: {brokers: ["127.0.0.1:1"]}
`;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gatelog-reload-'));
  file = join(folder, 'gatelog.yaml');
  levels = [];
});

afterEach(async () => {
  await agent?.stop();
  agent = undefined;
  rmSync(folder, { recursive: true });
});

function write(text: string): void {
  writeFileSync(file, `data: data\ngateway: gw\n${text}`);
}

function read(): ConfigReading {
  return loadConfig(file, { env: {}, workingFolder: folder });
}

async function start(text: string): Promise<Agent> {
  write(text);
  const first = read();
  agent = await startAgent(first.config, {
    clock: systemClock,
    random: seededRandom(1),
    logger,
    version: 'test',
    configSource: { first, read, isOverruled: (at) => at[0] === 'gateway' },
    setLogLevel: (level) => void levels.push(level),
  });
  return agent;
}

async function login(user: string, password: string): Promise<RawDevice> {
  const port = Number(new URL(agent?.addresses()[0] ?? '').port);
  const device = await RawDevice.dial(port);
  const fields = { clientId: user, username: user, password: Buffer.from(password) };
  device.send(device.connectPacket(fields));
  await device.until(() => device.closed || device.packets.length > 0);
  return device;
}

function codeOf({ packets }: RawDevice): unknown {
  return packets.find(({ cmd }) => cmd === 'connack');
}

test('nothing changed: nothing is said to have', async () => {
  const running = await start(USERS);
  expect(await running.reload()).toMatchObject({ refused: null, applied: [], needsRestart: [] });
});

test('the level of the log, and retention, count at once', async () => {
  const running = await start('topics: {telemetry: {partitions: 2}}');
  write(
    'log: {level: debug}\ntopics: {telemetry: {partitions: 2, priority: 2, retention: {time: 1h}}}',
  );
  expect(await running.reload()).toMatchObject({
    applied: ['topics.telemetry.priority', 'topics.telemetry.retention.time', 'log.level'],
    needsRestart: [],
  });
  expect(levels).toEqual(['debug']);
  const { topics, reload } = await running.status();
  expect(topics.find(({ name }) => name === 'telemetry')).toMatchObject({
    retentionMs: 3_600_000,
    priority: 2,
  });
  expect(reload?.applied).toHaveLength(3);
});

test('what can not change is named at every reload, until the file says again what runs', async () => {
  const running = await start('');
  write('store: {segment: 1MiB}\nlog: {level: warn}\nclock: {trust: always}');
  const first = await running.reload();
  expect(first).toMatchObject({
    applied: ['log.level'],
    needsRestart: ['store.segment', 'clock.trust'],
  });
  expect(running.glance().needsRestart).toEqual(['store.segment', 'clock.trust']);
  expect(await running.reload()).toMatchObject({
    applied: [],
    needsRestart: ['store.segment', 'clock.trust'],
  });
  write('log: {level: warn}\nstore: {segment: 64MiB}');
  expect(await running.reload()).toMatchObject({ applied: [], needsRestart: [] });
});

test('what a flag overrules is not named', async () => {
  const running = await start('');
  writeFileSync(file, 'data: data\ngateway: another');
  expect(await running.reload()).toMatchObject({ applied: [], needsRestart: [] });
});

test('of a configuration with one thing wrong nothing is taken', async () => {
  const running = await start('');
  write('log: {level: debug}\nstore: {segment: huge}');
  const refused = await running.reload();
  expect(refused.refused).toMatch(/gatelog\.yaml:4:\d+: store\.segment: /u);
  expect(refused.applied).toEqual([]);
  expect(levels).toEqual([]);
  expect((await running.status()).reload).toEqual(refused);
  write('log: {level: debug}');
  expect(await running.reload()).toMatchObject({ refused: null, applied: ['log.level'] });
});

test('included files are read again, and of one that is wrong nothing is taken', async () => {
  const included = join(folder, 'conf.d');
  mkdirSync(included);
  const running = await start('include: [conf.d/*.yaml]\n');
  writeFileSync(join(included, '10.yaml'), 'log: {level: warn}\nstore: {segment: huge}\n');
  expect((await running.reload()).refused).toMatch(/conf\.d\/10\.yaml:2:\d+: store\.segment: /u);
  writeFileSync(join(included, '10.yaml'), 'log: {level: warn}\nstore: {segment: 1MiB}\n');
  expect(await running.reload()).toMatchObject({
    applied: ['log.level'],
    needsRestart: ['store.segment'],
  });
  rmSync(join(included, '10.yaml'));
  expect(await running.reload()).toMatchObject({ applied: ['log.level'], needsRestart: [] });
  expect(levels).toEqual(['warn', 'info']);
});

test('a user whose password changed is disconnected, and others are not', async () => {
  const running = await start(USERS);
  const anna = await login('anna', 'first');
  const ben = await login('ben', 'of-ben');
  write(USERS.replace('password: first', 'password: second'));
  expect(await running.reload()).toMatchObject({ applied: ['mqtt.users'] });
  await anna.until(() => anna.closed);
  expect(codeOf(await login('anna', 'first'))).toMatchObject({ returnCode: 4 });
  expect(codeOf(await login('anna', 'second'))).toMatchObject({ returnCode: 0 });
  expect(ben.closed).toBe(false);
});

test('other rules hold at once for who is connected', async () => {
  const rules = (topic: string): string => `${USERS}  acl: [{publish: ["${topic}"]}]\n`;
  const running = await start(rules('a/#'));
  const anna = await login('anna', 'first');
  anna.send(anna.publish('a/b', 'x', 1, 1));
  await anna.until(() => anna.packets.some(({ cmd }) => cmd === 'puback'));
  expect((await running.status()).ingest).toMatchObject({ received: 1, refused: 0 });
  write(rules('b/#'));
  expect(await running.reload()).toMatchObject({ applied: ['mqtt.acl'] });
  anna.send(anna.publish('a/b', 'x', 1, 2));
  const refused = async (): Promise<unknown> => (await running.status()).ingest?.refused;
  await expect.poll(refused).toBe(1);
});

test('the first user wants a restart: the doors were opened without', async () => {
  const running = await start('mqtt: {listen: ["mqtt://127.0.0.1:0"]}');
  write(USERS);
  expect(await running.reload()).toMatchObject({ applied: [], needsRestart: ['mqtt.users'] });
});

test('a mirror begins anew with what the file says of it, others stay', async () => {
  const other =
    '  other:\n    topics: [none]\n    kafka: {brokers: ["127.0.0.1:2"], group: other}\n';
  const running = await start(`${MIRROR}${other}`);
  const before = await running.status();
  write(`${MIRROR.replace('127.0.0.1:1', '127.0.0.1:3')}    topics: [telemetry]\n${other}`);
  expect(await running.reload()).toMatchObject({
    applied: ['mirrors.central.kafka.brokers', 'mirrors.central.topics'],
    needsRestart: [],
  });
  const error = async (): Promise<string | undefined> =>
    (await running.status()).mirrors.find(({ name }) => name === 'central')?.lastError?.text;
  await expect.poll(error).toContain('127.0.0.1:3');
  const after = await running.status();
  expect(after.mirrors.map(({ name }) => name)).toEqual(before.mirrors.map(({ name }) => name));
});

test('a mirror that comes or goes wants a restart', async () => {
  const running = await start('');
  write(MIRROR);
  expect(await running.reload()).toMatchObject({ applied: [], needsRestart: ['mirrors.central'] });
});

test('a stop in the midst of a reload ends both, and no mirror begins after it', async () => {
  const running = await start(MIRROR);
  write(MIRROR.replace('127.0.0.1:1', '127.0.0.1:3'));
  const reloading = running.reload();
  // It has begun.
  await new Promise((resolve) => setImmediate(resolve));
  expect(await running.stop()).toBe(true);
  expect(await reloading).toMatchObject({ applied: ['mirrors.central.kafka.brokers'] });
  expect((await running.status()).mirrors.map(({ state }) => state)).toEqual(['stopped']);
});
