import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startAgent } from '../../src/agent/agent.ts';
import type { Agent } from '../../src/agent/agent-types.ts';
import { loadConfig } from '../../src/agent/config.ts';
import type { ConfigReading } from '../../src/agent/reloader.ts';
import { ControlClient } from '../../src/admin/control-client.ts';
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

/** On ports that nobody has. */
function write(text: string, gateway = 'gw'): void {
  const listen = /^mqtt:/mu.test(text) ? '' : '\nmqtt: {listen: ["mqtt://127.0.0.1:0"]}';
  const http = /^http:/mu.test(text) ? '' : '\nhttp: false';
  writeFileSync(file, `data: data\ngateway: ${gateway}\n${text}${listen}${http}\n`);
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

function upTo(end: number): number[] {
  return Array.from({ length: end }, (_, index) => index);
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
  write('', 'another');
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

test('limits of devices hold for those who are connected, and let go of them again', async () => {
  const running = await start(USERS);
  const anna = await login('anna', 'first');
  const limited = (limits: string): string => `${USERS}  limits: {${limits}}\n`;
  const acks = (): number => anna.packets.filter(({ cmd }) => cmd === 'puback').length;
  write(limited('messages: 1, totalMessages: 1, inFlight: 2000'));
  expect(await running.reload()).toMatchObject({
    applied: ['mqtt.limits.messages', 'mqtt.limits.totalMessages'],
    needsRestart: ['mqtt.limits.inFlight'],
  });
  const all = 500;
  for (let id = 1; id <= all; id++) anna.send(anna.publish('anna/a', 'x', 1, id));
  await anna.until(() => acks() > 0);
  // The rest would take minutes.
  expect(acks()).toBeLessThan(all / 2);
  write(limited('topicLevels: 2, connectsPerAddress: 1'));
  expect(await running.reload()).toMatchObject({ needsRestart: [] });
  await anna.until(() => acks() === all);
  anna.send(anna.publish('anna/b/c', 'x', 1, all + 1));
  await anna.until(() => anna.closed);
  const many = await Promise.all(upTo(20).map((number) => login(`nobody-${number}`, 'x')));
  expect(many.some(({ closed, packets }) => closed && packets.length === 0)).toBe(true);
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

test('the HTTP side: another token, another address, none, and one again', async () => {
  const http = (more: string): string => `http: {listen: ["http://127.0.0.1:0"]${more}}\n`;
  const running = await start(http(''));
  const url = async (): Promise<string> => (await running.status()).http.listeners[0] ?? '';
  const asked = async (token = ''): Promise<number> => {
    const headers = token === '' ? {} : { authorization: `Bearer ${token}` };
    return (await fetch(`${await url()}/api/v1/status`, { headers })).status;
  };
  expect(await asked()).toBe(200);
  const events = await fetch(`${await url()}/api/v1/events`);
  expect(events.status).toBe(200);
  write(http(', token: first-token-0123456789'));
  expect(await running.reload()).toMatchObject({ applied: ['http.token'], needsRestart: [] });
  // Who was let in without one is not told any more: the stream has ended.
  await Promise.allSettled([events.text()]);
  expect([await asked(), await asked('first-token-0123456789')]).toEqual([401, 200]);
  write(http(', token: other-token-0123456789, hosts: [gateway]'));
  expect(await running.reload()).toMatchObject({ applied: ['http.token', 'http.hosts'] });
  expect([await asked('first-token-0123456789'), await asked('other-token-0123456789')]).toEqual([
    401, 200,
  ]);
  const before = await url();
  write('http: false\n');
  expect(await running.reload()).toMatchObject({ applied: ['http'], needsRestart: [] });
  expect((await running.status()).http).toEqual({ listeners: [], trouble: null });
  await expect(fetch(`${before}/healthz`)).rejects.toThrow('fetch failed');
  const { port } = new URL(before);
  write(
    `http: {listen: ["http://127.0.0.1:${port}", "http://192.0.2.1:1"], token: other-token-0123456789, allowPlain: true}\n`,
  );
  expect(await running.reload()).toMatchObject({ applied: ['http'], needsRestart: [] });
  expect(await url()).toBe(before);
  expect((await running.status()).http.trouble).toContain('192.0.2.1');
  expect(await asked('other-token-0123456789')).toBe(200);
});

test('mirrors come, change their kind and go, and who goes can be let go of', async () => {
  const running = await start('');
  const kinds = async (): Promise<string[]> =>
    (await running.status()).mirrors.map(({ name, state }) => `${name} ${state}`);
  const client = new ControlClient(join(folder, 'data'));
  const forget = (): Promise<unknown> => client.steer('central', 'forget', {});
  expect(await kinds()).toEqual([]);
  write(MIRROR);
  expect(await running.reload()).toMatchObject({ applied: ['mirrors.central'], needsRestart: [] });
  expect(await kinds()).toHaveLength(1);
  await expect(forget()).rejects.toMatchObject({ code: 'USAGE' });

  write('mirrors: {central: {mqtt: {url: "mqtt://127.0.0.1:1"}}}\n');
  expect(await running.reload()).toMatchObject({
    applied: ['mirrors.central.kafka.brokers', 'mirrors.central.mqtt.url'],
    needsRestart: [],
  });
  const error = async (): Promise<string | undefined> =>
    (await running.status()).mirrors[0]?.lastError?.text;
  await expect.poll(error).toContain('mqtt://127.0.0.1:1');
  const elsewhere = (): number =>
    logger.lines.filter(({ fields }) => fields['event'] === 'mirror.kind').length;
  expect(elsewhere()).toBe(1);
  // The same again changes nothing, and an option that says its default neither.
  write('mirrors: {central: {mqtt: {url: "mqtt://127.0.0.1:1", qos: 1}}}\n');
  expect(await running.reload()).toMatchObject({ applied: [], needsRestart: [] });

  write('');
  expect(await running.reload()).toMatchObject({ applied: ['mirrors.central'], needsRestart: [] });
  expect(await kinds()).toEqual([]);
  expect(logger.lines.some(({ fields }) => fields['event'] === 'mirror.absent')).toBe(true);
  await forget();
  expect(elsewhere()).toBe(1);
  write(MIRROR);
  expect(await running.reload()).toMatchObject({ applied: ['mirrors.central'] });
  expect(await kinds()).toHaveLength(1);
});

test('a mirror that changed its kind by a reload does not begin anew at the next start again', async () => {
  const elsewhere = (): number =>
    logger.lines.filter(({ fields }) => fields['event'] === 'mirror.kind').length;
  const before = elsewhere();
  const overMqtt = 'mirrors: {central: {mqtt: {url: "mqtt://127.0.0.1:1"}}}\n';
  const running = await start(MIRROR);
  write(overMqtt);
  await running.reload();
  expect(elsewhere()).toBe(before + 1);
  await running.stop();
  await start(overMqtt);
  expect(elsewhere()).toBe(before + 1);
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
