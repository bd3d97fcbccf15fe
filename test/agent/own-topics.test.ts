import { afterEach, describe, expect, test } from 'vitest';
import { parseConfig } from '../../src/agent/config.ts';
import type { MqttConfig } from '../../src/agent/config-types.ts';
import { startTestBroker, stopTestBrokers, type TestBroker } from '../support/mqtt-broker.ts';
import { MortalSpace } from '../support/mortal-space.ts';
import { RawDevice } from '../support/mqtt-raw.ts';
import { rememberingLogger } from '../support/store-kit.ts';

afterEach(stopTestBrokers);

const USERS = 'users: [{username: press, password: x}, {username: pump, password: x}]';

function load(mqtt: string): { mqtt: MqttConfig; warnings: readonly string[] } {
  const text = `mqtt:\n  ${mqtt.replaceAll('\n', '\n  ')}\n`;
  const loaded = parseConfig(text, 'g.yaml', { env: {}, workingFolder: '/gatelog-test' });
  return { mqtt: loaded.config.mqtt, warnings: loaded.warnings };
}

describe('who has which topics where nothing is written', () => {
  test.each([
    ['nobody has a name', 'maxPacket: 64KiB', 'open'],
    ['users', USERS, 'own'],
    ['a file of users', 'usersFile: users', 'own'],
    [
      'names in certificates',
      'listen: ["mqtts://0.0.0.0:8883"]\ntls: {cert: c, key: k, ca: a, requireCertificate: true, user: cn}',
      'own',
    ],
    [
      'certificates without names',
      'listen: ["mqtts://0.0.0.0:8883"]\ntls: {cert: c, key: k, ca: a, requireCertificate: true}',
      'open',
    ],
    ['a centre, whose clients carry the topics of others', `${USERS}\ncentral: true`, 'open'],
    ['users, and all is open', `${USERS}\nacl: open`, 'open'],
    ['users, and rules', `${USERS}\nacl: [{publish: ["#"]}]`, 'rules'],
    ['no users, and one word', 'acl: own', 'own'],
  ])('%s', (_, text, kind) => {
    const { mqtt } = load(text);
    expect(mqtt.aclKind).toBe(kind);
    expect(mqtt.acl === undefined).toBe(kind === 'open');
  });

  test('what is decided for a person is said, until that person writes it', () => {
    expect(load(USERS).warnings).toEqual([
      expect.stringMatching(/mqtt\.acl: is not written: .* only publish and subscribe to %u\/#/u),
    ]);
    expect(load(`${USERS}\nacl: own`).warnings).toEqual([]);
    expect(load(`${USERS}\nacl: open`).warnings).toEqual([]);
    expect(load(`${USERS}\nacl: own\nallowAnonymous: true`).warnings).toEqual([
      expect.stringContaining('takes who gives no user name'),
    ]);
    expect(load(`${USERS}\nacl: own\nownTopics: ["%c/#"]`).warnings).toEqual([
      expect.stringContaining('a client id is its client’s to choose'),
    ]);
  });
});

function start(config: string, more: Parameters<typeof startTestBroker>[0]): Promise<TestBroker> {
  const { acl, aclKind, ownTopics, users } = load(config).mqtt;
  return startTestBroker({ acl, aclKind, ownTopics, users, ...more });
}

function login(username: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return { clientId: `${username}-1`, username, password: Buffer.from('x'), ...more };
}

async function granted(device: RawDevice, ...topics: string[]): Promise<number[]> {
  const subscriptions = topics.map((topic) => ({ topic, qos: 1 as const }));
  device.send({ cmd: 'subscribe', messageId: 7, subscriptions });
  await device.until(() => device.ids('suback').length > 0);
  return device.last('suback')?.['granted'] as number[];
}

test('a user has its own topics: published, subscribed to, shared, retained, and in its will', async () => {
  const logger = rememberingLogger();
  const { port, writer } = await start(USERS, { logger });
  const press = await RawDevice.connect(port, 5, login('press'));
  press.send(
    press.publish('press/a', 'mine', 1, 1, { retain: true }),
    press.publish('pump/a', 'not mine', 1, 2, { retain: true }),
    press.publish('press', 'mine too', 1, 3),
  );
  await press.until(() => press.ids('puback').length === 3);
  expect(writer.values()).toEqual(['mine', 'mine too']);
  const filters = ['press/#', 'pump/#', '#', '+/a'];
  expect(await granted(press, ...filters)).toEqual([1, 0x87, 0x87, 0x87]);
  const pump = await RawDevice.connect(port, 5, login('pump'));
  const shared = ['$share/group/press/#', '$share/group/#', '$share/group/pump/#'];
  expect(await granted(pump, 'press/a', ...shared)).toEqual([0x87, 0x87, 0x87, 1]);
  const will = { topic: 'press/will', payload: Buffer.from('gone'), qos: 1, retain: false };
  const bad = await RawDevice.connect(port, 5, login('pump', { clientId: 'pump-2', will }));
  expect(bad.last('connack')?.['reasonCode']).toBe(0x87);
  const told = logger.lines.find(({ fields }) => fields['event'] === 'access.refused');
  expect(told?.message).toContain('mqtt.acl is own, so a user has %u/# and nothing else');
});

test('what was queued while everything was open is not given to who has its own topics only', async () => {
  const space = new MortalSpace();
  const lasting = login('pump', { clean: false, properties: { sessionExpiryInterval: 600 } });
  const open = await start(`${USERS}\nacl: open`, { keep: { space } });
  const pump = await RawDevice.connect(open.port, 5, lasting);
  expect(await granted(pump, '#')).toEqual([1]);
  pump.close();
  await expect.poll(() => open.broker.counters().connections).toBe(0);
  const press = await RawDevice.connect(open.port, 5, login('press'));
  const retained = { retain: true };
  press.send(
    press.publish('press/a', 'of the press', 1, 1, retained),
    press.publish('pump/a', 'of the pump', 1, 2, retained),
  );
  await press.until(() => press.ids('puback').length === 2);
  space.kill();
  const own = await start(USERS, { keep: { space: new MortalSpace(space.disk) } });
  const back = await RawDevice.connect(own.port, 5, lasting);
  await back.until(() => back.packets.some(({ cmd }) => cmd === 'publish'));
  await back.ping();
  const heard = back.packets.flatMap((one) => (one.cmd === 'publish' ? [one.topic] : []));
  expect(heard).toEqual(['pump/a']);
});

test('the pattern is configurable, as for devices that put their name second', async () => {
  const { port, writer } = await start(`${USERS}\nacl: own\nownTopics: ["+/%u/#", "%u/#"]`, {});
  const press = await RawDevice.connect(port, 4, login('press'));
  press.send(
    press.publish('tele/press/STATE', 'a', 1, 1),
    press.publish('tele/pump/STATE', 'b', 1, 2),
    press.publish('press/c', 'c', 1, 3),
  );
  await press.until(() => press.ids('puback').length === 3);
  expect(writer.values()).toEqual(['a', 'c']);
});
