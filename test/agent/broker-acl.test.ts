import { afterEach, describe, expect, test } from 'vitest';
import { MortalSpace } from '../support/mortal-space.ts';
import { ruleOf } from '../support/acl-rule.ts';
import { startTestBroker, stopTestBrokers, type TestBroker } from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';
import { rememberingLogger } from '../support/store-kit.ts';

afterEach(stopTestBrokers);

type Version = 4 | 5;

const users = ['press', 'pump', 'board'].map((username) => ({ username, password: 'x' }));
const acl = [
  ruleOf({ publish: ['plant/%u/#'], subscribe: ['plant/%u/#', 'id/%c'] }),
  ruleOf({
    users: ['board'],
    subscribe: ['plant/#'],
    deny: { publish: [], subscribe: ['plant/+/secret'] },
  }),
];

function start(more: Parameters<typeof startTestBroker>[0] = {}): Promise<TestBroker> {
  return startTestBroker({ users, acl, ...more });
}

function login(username: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return { clientId: `${username}-1`, username, password: Buffer.from('x'), ...more };
}

function lasting(version: Version, username: string): Record<string, unknown> {
  const properties = version === 5 ? { properties: { sessionExpiryInterval: 600 } } : {};
  return login(username, { clean: false, ...properties });
}

function heard(device: RawDevice): string[] {
  return device.packets.flatMap((one) => (one.cmd === 'publish' ? [one.topic] : []));
}

async function granted(device: RawDevice, ...topics: string[]): Promise<unknown> {
  const subscriptions = topics.map((topic) => ({ topic, qos: 1 as const }));
  const before = device.ids('suback').length;
  device.send({ cmd: 'subscribe', messageId: 7, subscriptions });
  await device.until(() => device.ids('suback').length > before);
  return device.last('suback')?.['granted'];
}

/** By the press, acknowledged. */
async function publishes(port: number, version: Version, ...topics: string[]): Promise<void> {
  const device = await RawDevice.connect(port, version, login('press'));
  device.send(...topics.map((topic, at) => device.publish(topic, topic, 1, at + 1)));
  await device.until(() => device.ids('puback').length === topics.length);
  device.close();
}

describe.each([4, 5] as const)('protocol version %i', (version) => {
  const refusal = version === 5 ? 0x87 : 0x80;

  test('a publish that no rule allows is in no log, and is told or dropped', async () => {
    const logger = rememberingLogger();
    const { port, broker, writer } = await start({ logger });
    const device = await RawDevice.connect(port, version, login('press'));
    const topics = ['plant/press/a', 'plant/pump/a', 'plant/press/b'];
    device.send(...topics.map((topic, at) => device.publish(topic, topic, 1, at + 1)));
    device.send(device.publish('plant/pump/a', 'q0'));
    device.send(device.publish('plant/pump/a', 'q2', 2, 9));
    await device.until(() => device.ids('pubrec').length === 1);
    device.send({ cmd: 'pubrel', messageId: 9 });
    await device.until(() => device.ids('pubcomp').length === 1);
    expect(device.ids('puback')).toEqual([1, 2, 3]);
    const codes = device.packets.flatMap((one) => (one.cmd === 'puback' ? [one.reasonCode] : []));
    const told5 = [0, 0x87, 0, 0x87];
    const told4 = told5.map(() => undefined);
    expect([...codes, device.last('pubrec')?.['reasonCode']]).toEqual(
      version === 5 ? told5 : told4,
    );
    expect(writer.values()).toEqual(['plant/press/a', 'plant/press/b']);
    expect(broker.counters().refused).toBe(3);
    const told = logger.lines.filter(({ level }) => level === 'warn');
    expect(told.map(({ message }) => message)).toEqual(['a client may not publish this topic']);
    expect(told[0]?.fields).toMatchObject({ client: 'press-1', user: 'press' });
  });

  test('a topic that one may and another may not, by turns', async () => {
    const { port, writer } = await start();
    const [press, pump] = await Promise.all(
      ['press', 'pump'].map((name) => RawDevice.connect(port, version, login(name))),
    );
    for (const id of [1, 2, 3]) {
      for (const device of [press, pump]) {
        device?.send(device.publish('plant/press/a', `${device === press}`, 1, id));
        await device?.until(() => device.ids('puback').length === id);
      }
    }
    expect(writer.values()).toEqual(['true', 'true', 'true']);
  });

  test('each filter of a SUBSCRIBE has its own answer', async () => {
    const { port } = await start();
    const device = await RawDevice.connect(port, version, login('press'));
    const filters = ['plant/press/#', 'plant/#', 'id/press-1', 'id/pump-1', '#', 'plant/press/+'];
    expect(await granted(device, ...filters)).toEqual([1, refusal, 1, refusal, refusal, 1]);
  });

  test('what is denied within a filter is not delivered: live, retained, queued', async () => {
    const { port, broker } = await start({ keep: { space: new MortalSpace() } });
    const press = await RawDevice.connect(port, version, login('press'));
    press.send(
      press.publish('plant/press/secret', 'r', 1, 1, { retain: true }),
      press.publish('plant/press/kept', 'r', 1, 2, { retain: true }),
    );
    await press.until(() => press.ids('puback').length === 2);
    const board = await RawDevice.connect(port, version, lasting(version, 'board'));
    expect(await granted(board, 'plant/#')).toEqual([1]);
    await board.until(() => heard(board).length === 1);
    press.close();
    await publishes(port, version, 'plant/press/secret', 'plant/press/live');
    await board.until(() => heard(board).length === 2);
    expect(heard(board)).toEqual(['plant/press/kept', 'plant/press/live']);
    board.close();
    await expect.poll(() => broker.counters().connections).toBe(0);
    await publishes(port, version, 'plant/press/secret', 'plant/press/queued');
    const back = await RawDevice.connect(port, version, lasting(version, 'board'));
    await back.until(() => heard(back).includes('plant/press/queued'));
    expect(heard(back)).not.toContain('plant/press/secret');
    await back.ping();
  });

  test('what was queued for a session is under the rules of who takes it up', async () => {
    const space = new MortalSpace();
    const open = await startTestBroker({ users, keep: { space } });
    const board = await RawDevice.connect(open.port, version, lasting(version, 'board'));
    expect(await granted(board, 'plant/#')).toEqual([1]);
    board.close();
    await expect.poll(() => open.broker.counters().connections).toBe(0);
    await publishes(open.port, version, 'plant/press/secret', 'plant/press/a');
    space.kill();
    const { port, broker } = await start({ keep: { space: new MortalSpace(space.disk) } });
    const back = await RawDevice.connect(port, version, lasting(version, 'board'));
    await back.until(() => heard(back).length === 1);
    await back.ping();
    expect(heard(back)).toEqual(['plant/press/a']);
    const message = back.packets.find(({ cmd }) => cmd === 'publish');
    back.send({ cmd: 'puback', messageId: message?.messageId ?? 0 });
    await expect.poll(() => broker.counters().queuedBytes).toBe(0);
  });

  test('a refused filter is kept for no session, though others of its SUBSCRIBE are', async () => {
    const { port, broker } = await start({ keep: { space: new MortalSpace() } });
    const device = await RawDevice.connect(port, version, lasting(version, 'pump'));
    expect(await granted(device, 'plant/pump/#', 'plant/press/#')).toEqual([1, refusal]);
    device.close();
    await expect.poll(() => broker.counters().connections).toBe(0);
    await publishes(port, version, 'plant/press/a');
    expect(broker.counters().queuedBytes).toBe(0);
  });

  test('a will that may not be published keeps its device out, and is told', async () => {
    const { port, broker } = await start();
    const will = (topic: string): Record<string, unknown> => ({
      will: { topic, payload: Buffer.from('gone'), qos: 1, retain: false },
    });
    const good = await RawDevice.connect(port, version, login('press', will('plant/press/will')));
    const name = version === 5 ? 'reasonCode' : 'returnCode';
    expect(good.last('connack')?.[name]).toBe(0);
    const bad = await RawDevice.connect(port, version, login('pump', will('plant/press/will')));
    expect(bad.last('connack')?.[name]).toBe(version === 5 ? 0x87 : 5);
    await bad.untilClosed();
    expect(broker.counters().connectionsRefused).toBe(1);
  });
});

test('a name that nobody checked opens nothing', async () => {
  const { port, broker } = await startTestBroker({ acl });
  const device = await RawDevice.connect(port, 5, login('press'));
  device.send(device.publish('plant/press/a', 'x', 1, 1));
  await device.until(() => device.ids('puback').length === 1);
  expect(device.last('puback')?.['reasonCode']).toBe(0x87);
  expect(broker.counters().refused).toBe(1);
});
