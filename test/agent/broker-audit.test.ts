import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { generate } from 'mqtt-packet';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { ACCESS_LIMITS } from '../../src/access-limits.ts';
import { CLIENT_BOUNDS } from '../../src/client-limits.ts';
import { makeEntry } from '../../src/agent/password-entry.ts';
import { systemRandom } from '../../src/random.ts';
import { modulesBelow, ROOT } from '../rules/source-tree.ts';
import { listenAt } from '../support/listen.ts';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';
import { rememberingLogger } from '../support/store-kit.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'gatelog-audit-'));
});
afterEach(async () => {
  await stopTestBrokers();
  rmSync(folder, { recursive: true, force: true });
});

const users = [{ username: 'press', password: 'planted' }];

function login(more: Record<string, unknown> = {}): Record<string, unknown> {
  return { clientId: 'one', username: 'press', password: Buffer.from('planted'), ...more };
}

type Told = Readonly<Record<string, unknown>>;

function eventsOf(logger: ReturnType<typeof rememberingLogger>, prefix: string): Told[] {
  const fields: Told[] = logger.lines.map((line) => line.fields);
  return fields.filter(({ event }) => typeof event === 'string' && event.startsWith(prefix));
}

test('who comes and goes is told with its user, from where and why', async () => {
  const logger = rememberingLogger();
  const { port, broker } = await startTestBroker({ users, logger });
  const reasons = (): unknown[] =>
    eventsOf(logger, 'client.disconnected').map(({ reason }) => reason);
  const ends: readonly ((device: RawDevice) => unknown)[] = [
    (device) => device.send({ cmd: 'disconnect', reasonCode: 0 }),
    (device) => device.close(),
    (device) => device.socket.resetAndDestroy(),
    // Of quality 3, which we see; and a packet that aedes takes for none.
    (device) => device.sendBytes(Buffer.from([0x36, 4, 0, 1, 97, 0])),
    (device) => device.sendBytes(Buffer.from([0xf5, 0])),
    () => RawDevice.connect(port, 5, login()),
  ];
  for (const [at, end] of ends.entries()) {
    const device = await RawDevice.connect(port, 5, login());
    await end(device);
    await expect.poll(() => reasons().length).toBe(at + 1);
  }
  expect(reasons()).toEqual(['goodbye', 'lost', 'lost', 'violation', 'violation', 'taken-over']);
  await broker.stop();
  expect(reasons().at(-1)).toBe('stopping');
  const came = eventsOf(logger, 'client.connected');
  expect(came).toHaveLength(7);
  expect(came[0]).toEqual({
    event: 'client.connected',
    client: 'one',
    user: 'press',
    from: '127.0.0.1',
    version: 5,
  });
  expect(eventsOf(logger, 'client.violation')).toHaveLength(1);
  expect(JSON.stringify(logger.lines)).not.toContain('planted');
});

test('who breaks the rules of WebSockets, goes beyond a bound or does not read has that for a reason', async () => {
  const logger = rememberingLogger();
  const listen = [listenAt('mqtt://127.0.0.1:0'), listenAt('ws://127.0.0.1:0/mqtt')];
  const { broker, port } = await startTestBroker({ logger, listen });
  const page = new WebSocket(broker.addresses()[1] ?? '', ['mqtt']);
  await once(page, 'open');
  page.send(generate({ cmd: 'connect', clientId: 'page', keepalive: 60, clean: true }));
  await once(page, 'message');
  page.send('a text frame');
  await once(page, 'close');
  const many = await RawDevice.connect(port, 5, { clientId: 'many' });
  const subscriptions = Array.from({ length: CLIENT_BOUNDS.filtersPerPacket + 1 }, () => ({
    topic: 'a',
    qos: 0 as const,
  }));
  many.send({ cmd: 'subscribe', messageId: 1, subscriptions });
  await many.untilClosed();
  const deaf = await RawDevice.connect(port, 5, { clientId: 'deaf' });
  deaf.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 1 }] });
  await deaf.until(() => deaf.ids('suback').length === 1);
  deaf.socket.pause();
  const loud = await RawDevice.connect(port, 5, { clientId: 'loud' });
  for (let id = 1; id <= 200; id++) {
    loud.send(loud.publish('a', Buffer.alloc(100_000), 1, id));
    await loud.until(() => loud.ids('puback').length === id);
  }
  await expect.poll(() => broker.counters().connections).toBe(1);
  const found = eventsOf(logger, 'client.disconnected').map((told) => [
    told['client'],
    told['reason'],
  ]);
  expect(found).toEqual([
    ['page', 'violation'],
    ['many', 'violation'],
    ['deaf', 'too-slow'],
  ]);
});

test('a user that is removed, and a device that falls silent', async () => {
  const file = path.join(folder, 'users');
  const entry = await makeEntry(Buffer.from('planted'), systemRandom);
  writeFileSync(file, `press:${entry}\n`);
  const logger = rememberingLogger();
  const { port, broker } = await startTestBroker({ usersFile: file, logger });
  const silent = await RawDevice.connect(port, 5, login({ clientId: 'silent', keepalive: 1 }));
  await silent.untilClosed();
  const removed = await RawDevice.connect(port, 5, login());
  const other = await makeEntry(Buffer.from('planted-too'), systemRandom);
  writeFileSync(file, `new:${entry}\n`);
  await broker.lookAtFiles();
  await removed.untilClosed();
  writeFileSync(file, `new:${other}\n`);
  await broker.lookAtFiles();
  await expect.poll(() => eventsOf(logger, 'client.disconnected').length).toBe(2);
  const reasons = eventsOf(logger, 'client.disconnected').map(({ reason }) => reason);
  expect(reasons).toEqual(['keep-alive', 'not-authorized']);
  expect(eventsOf(logger, 'user.').map(({ event, user }) => [event, user])).toEqual([
    ['user.removed', 'press'],
    ['user.added', 'new'],
    ['user.changed', 'new'],
  ]);
  expect(JSON.stringify(logger.lines)).not.toMatch(/planted|\$scrypt/u);
});

test('a storm of connections is told in so many lines, and the rest is counted', async () => {
  const logger = rememberingLogger();
  const { port, broker } = await startTestBroker({ logger });
  const storms = ACCESS_LIMITS.auditLines / 2 + 20;
  for (let at = 0; at < storms; at += 40) {
    const some = Array.from({ length: 40 }, (_, i) =>
      RawDevice.connect(port, 4, { clientId: `c${at + i}` }),
    );
    for (const device of await Promise.all(some)) device.close();
  }
  await expect.poll(() => broker.counters().connections).toBe(0);
  await broker.stop();
  expect([
    ...eventsOf(logger, 'client.connected'),
    ...eventsOf(logger, 'client.disconnected'),
  ]).toHaveLength(ACCESS_LIMITS.auditLines);
  const [{ count } = {}] = eventsOf(logger, 'client.unsaid');
  expect(count).toBe(broker.counters().connectionsTotal * 2 - ACCESS_LIMITS.auditLines);
});

test('every event of the table in docs/access.md is in the source', () => {
  const text = readFileSync(path.join(ROOT, 'docs/access.md'), 'utf8');
  const named = [...text.matchAll(/^\| `([a-z-]+(?:\.[a-z-]+)?)` \|/gmu)].map(
    ([, name = '']) => name,
  );
  expect(named.length).toBeGreaterThan(15);
  const source = modulesBelow('src')
    .map((module) => module.text)
    .join('\n');
  const built = /`(?:login|certificate)\.\$\{|`\$\{what\}\./u;
  expect(source).toMatch(built);
  const missing = named.filter((name) => {
    const [first = '', last = ''] = name.split('.');
    const isWhole = source.includes(`'${name}'`);
    const isPut = source.includes(`.${last}\``) && ['users', 'rules', 'keys'].includes(first);
    const isWord = ['login', 'certificate'].includes(first) && source.includes(last);
    return !isWhole && !isPut && !isWord;
  });
  expect(missing).toEqual([]);
});

test('peers that say what they may not are told of some times a minute, whoever they are', async () => {
  const logger = rememberingLogger();
  const { port, broker } = await startTestBroker({ logger });
  const most = ACCESS_LIMITS.violationLines;
  for (let at = 0; at < most + 5; at++) {
    const device = await RawDevice.dial(port);
    device.sendBytes(Buffer.from([0x10, 0xff, 0xff, 0xff, 0xff])); // no such length
    await device.untilClosed();
  }
  expect(broker.counters().violations).toBe(most + 5);
  expect(eventsOf(logger, 'client.violation')).toHaveLength(most);
  await broker.stop();
  expect(eventsOf(logger, 'client.violations')).toEqual([{ event: 'client.violations', count: 5 }]);
});
