import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { MortalSpace } from '../support/mortal-space.ts';
import { startTestBroker, stopTestBrokers, type TestBroker } from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';
import { rememberingLogger } from '../support/store-kit.ts';

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'gatelog-rules-'));
  file = path.join(folder, 'rules.yaml');
});
afterEach(async () => {
  await stopTestBrokers();
  rmSync(folder, { recursive: true, force: true });
});

const users = ['press', 'board'].map((username) => ({ username, password: 'x' }));
const WIDE = 'acl:\n  - {publish: ["plant/#", "id/%c"], subscribe: ["plant/#"]}\n';
const NARROW = 'acl:\n  - {publish: ["plant/a"], subscribe: ["plant/a"]}\n';

type Started = TestBroker & { readonly logger: ReturnType<typeof rememberingLogger> };

async function start(): Promise<Started> {
  writeFileSync(file, WIDE);
  const logger = rememberingLogger();
  const keep = { space: new MortalSpace() };
  return { ...(await startTestBroker({ users, aclFile: file, logger, keep })), logger };
}

async function change({ broker }: Started, rules: string): Promise<void> {
  writeFileSync(file, rules);
  await broker.lookAtFiles();
}

function login(username: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  const properties = { sessionExpiryInterval: 600 };
  return { clientId: `${username}-1`, username, password: Buffer.from('x'), properties, ...more };
}

async function publishes(device: RawDevice, ...topics: string[]): Promise<unknown[]> {
  const acks = (): unknown[] =>
    device.packets.flatMap((one) => (one.cmd === 'puback' ? [one.reasonCode] : []));
  const before = acks().length;
  device.send(...topics.map((topic, at) => device.publish(topic, topic, 1, before + at + 1)));
  await device.until(() => acks().length === before + topics.length);
  return acks().slice(before);
}

function heard(device: RawDevice): string[] {
  return device.packets.flatMap((one) => (one.cmd === 'publish' ? [one.topic] : []));
}

async function subscribed(port: number): Promise<RawDevice> {
  const board = await RawDevice.connect(port, 5, login('board', { clean: false }));
  const subscriptions = [{ topic: 'plant/#', qos: 1 as const }];
  board.send({ cmd: 'subscribe', messageId: 7, subscriptions });
  await board.until(() => board.ids('suback').length === 1);
  return board;
}

test('who is connected loses what is allowed no more, and gets what is new, without a break', async () => {
  const broker = await start();
  const board = await subscribed(broker.port);
  const press = await RawDevice.connect(broker.port, 5, login('press'));
  expect(await publishes(press, 'plant/a', 'plant/b', 'id/press-1', 'id/board-1')).toEqual([
    0, 0, 0, 0x87,
  ]);
  await board.until(() => heard(board).length === 2);
  await change(broker, NARROW);
  expect(await publishes(press, 'plant/a', 'plant/b', 'id/press-1')).toEqual([0, 0x87, 0x87]);
  await board.until(() => heard(board).length === 3);
  await change(broker, `${NARROW}  - {users: [press], publish: ["plant/#"]}\n`);
  expect(await publishes(press, 'plant/a', 'plant/b')).toEqual([0, 0]);
  await board.until(() => heard(board).length === 4);
  await board.ping();
  // The second one is published again, and is not delivered.
  expect(heard(board)).toEqual(['plant/a', 'plant/b', 'plant/a', 'plant/a']);
  expect(broker.logger.lines.map(({ fields }) => fields['event'])).toContain('rules.new');
});

test('a session that is away is under the new rules, and so is a will', async () => {
  const broker = await start();
  const board = await subscribed(broker.port);
  board.close();
  const will = { topic: 'plant/will', payload: Buffer.from('gone'), qos: 1, retain: false };
  const dying = await RawDevice.connect(
    broker.port,
    5,
    login('press', { clientId: 'dying', will, properties: {} }),
  );
  await expect.poll(() => broker.broker.counters().connections).toBe(1);
  await change(broker, `${NARROW}  - {users: [press], publish: ["plant/b"]}\n`);
  const press = await RawDevice.connect(broker.port, 5, login('press'));
  expect(await publishes(press, 'plant/a', 'plant/b')).toEqual([0, 0]);
  dying.close();
  await expect.poll(() => broker.broker.counters().refused).toBe(1);
  await change(broker, WIDE);
  const back = await RawDevice.connect(broker.port, 5, login('board', { clean: false }));
  await back.until(() => heard(back).length > 0);
  await back.ping();
  expect(heard(back)).toEqual(['plant/a']);
  expect(broker.writer.values()).not.toContain('gone');
});

test('a file that is broken leaves the rules from before, and is told with its place', async () => {
  const broker = await start();
  const press = await RawDevice.connect(broker.port, 5, login('press'));
  await change(broker, 'acl:\n  - {publish: ["plant/#/a"], roles: [none]}\n');
  expect(await publishes(press, 'plant/b')).toEqual([0]);
  const [{ what, trouble } = {}] = broker.broker.accessFiles();
  expect(what).toBe('rules');
  expect(trouble?.split('\n')).toEqual([
    expect.stringContaining('rules.yaml:2:38: acl[0].roles[0]: there is no role none in roles'),
    expect.stringContaining('rules.yaml:2:16: acl[0].publish[0]: `#` must be a whole level'),
  ]);
  rmSync(file);
  await broker.broker.lookAtFiles();
  expect(broker.broker.accessFiles()[0]?.trouble).toContain("rules.yaml can't be read");
  await change(broker, NARROW);
  expect(broker.broker.accessFiles()[0]?.trouble).toBeNull();
  expect(await publishes(press, 'plant/b')).toEqual([0x87]);
  await expect(startTestBroker({ aclFile: path.join(folder, 'none') })).rejects.toThrow(
    "can't be read: there is no such file",
  );
});
