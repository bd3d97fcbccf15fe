import { afterEach, describe, expect, test, vi } from 'vitest';
import { SharedSubscriptions } from '../../src/agent/broker-shared.ts';
import { MortalSpace } from '../support/mortal-space.ts';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { ruleOf } from '../support/acl-rule.ts';
import { RawDevice } from '../support/mqtt-raw.ts';
import {
  connectLasting,
  granted,
  heard,
  payloads,
  publishFrom,
  subscribe,
} from '../support/mqtt-session.ts';

/** Shared subscriptions (MQTT 5, section 4.8.2), which are also for devices of MQTT 3.1.1. */
afterEach(stopTestBrokers);

const SHARE = '$share/workers/a/#';

function publishAll(port: number, qos: 0 | 1 | 2, texts: readonly string[]): Promise<void> {
  return publishFrom(port, 'a/b', texts, qos);
}

const TEXTS = Array.from({ length: 30 }, (_, at) => `m${at}`);

describe.each([4, 5] as const)('shared subscriptions, protocol version %i', (version) => {
  test.each([0, 1, 2] as const)(
    'each message of QoS %i goes to one member, in turn',
    async (qos) => {
      const { port } = await startTestBroker();
      const members = await Promise.all(
        ['one', 'two', 'three'].map((clientId) => RawDevice.connect(port, version, { clientId })),
      );
      for (const member of members) {
        expect(await subscribe(member, { topic: SHARE, qos: 2 })).toEqual([2]);
      }
      await publishAll(port, qos, TEXTS);
      await expect.poll(() => members.flatMap(payloads)).toHaveLength(TEXTS.length);
      expect(members.flatMap(payloads).toSorted()).toEqual(TEXTS.toSorted());
      for (const member of members) expect(payloads(member)).toHaveLength(10);
      expect(members.flatMap(heard).every((one) => one.qos === qos)).toBe(true);
    },
  );
});

test('groups and own subscriptions each get their copy', async () => {
  const { port } = await startTestBroker();
  const device = await RawDevice.connect(port, 5, { clientId: 'both' });
  await subscribe(device, { topic: SHARE, qos: 1 });
  await subscribe(device, { topic: '$share/others/a/+', qos: 0 });
  await subscribe(device, { topic: 'a/b', qos: 1 });
  await publishAll(port, 1, ['x']);
  await expect
    .poll(() =>
      heard(device)
        .map(({ qos }) => qos)
        .toSorted((one, other) => one - other),
    )
    .toEqual([0, 1, 1]);
});

test('who has left or unsubscribed gets nothing, the others all', async () => {
  const { port } = await startTestBroker();
  const [one, two, three] = await Promise.all(
    ['one', 'two', 'three'].map((clientId) => RawDevice.connect(port, 5, { clientId })),
  );
  if (one === undefined || two === undefined || three === undefined) throw new Error('no devices');
  for (const member of [one, two, three]) await subscribe(member, { topic: SHARE, qos: 1 });
  two.send({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: [SHARE] });
  await two.until(() => two.last('unsuback') !== undefined);
  expect(granted(two.last('unsuback'))).toEqual([0]);
  three.send({ cmd: 'disconnect' });
  await three.untilClosed();
  await publishAll(port, 1, TEXTS);
  await expect.poll(() => payloads(one)).toHaveLength(TEXTS.length);
  expect(payloads(two)).toEqual([]);
});

test('the rules look at the filter inside, and at what is denied in it', async () => {
  const acl = [
    ruleOf({
      publish: ['#'],
      subscribe: ['a/#'],
      deny: { publish: [], subscribe: ['a/secret'] },
    }),
  ];
  const { port } = await startTestBroker({ acl });
  const device = await RawDevice.connect(port, 5);
  expect(await subscribe(device, { topic: '$share/g/#', qos: 1 })).toEqual([0x87]);
  expect(await subscribe(device, { topic: '$share/g/a/secret', qos: 1 })).toEqual([0x87]);
  expect(await subscribe(device, { topic: '$share/g/a/#', qos: 1 })).toEqual([1]);
  device.send(device.publish('a/secret', 'no'), device.publish('a/open', 'yes'));
  await expect.poll(() => payloads(device)).toEqual(['yes']);
});

test('no retained messages, and the identifier of the share', async () => {
  const { port } = await startTestBroker();
  const device = await RawDevice.connect(port, 5);
  device.send(device.publish('a/b', 'kept', 1, 9, { retain: true }));
  await device.until(() => device.ids('puback').length === 1);
  await subscribe(device, { topic: SHARE, qos: 1 }, 77);
  await device.ping();
  expect(payloads(device)).toEqual([]);
  device.send(device.publish('a/b', 'live', 1, 10));
  await expect.poll(() => payloads(device)).toEqual(['live']);
  expect(heard(device)[0]?.properties).toMatchObject({ subscriptionIdentifier: 77 });
});

test.each(['$share/g', '$share//a', '$share/g/'])('%j is refused', async (topic) => {
  const { port } = await startTestBroker();
  const five = await RawDevice.connect(port, 5, { clientId: 'five' });
  expect(await subscribe(five, { topic, qos: 0 })).toEqual([0x8f]);
  const four = await RawDevice.connect(port, 4, { clientId: 'four' });
  expect(await subscribe(four, { topic, qos: 0 })).toEqual([0x80]);
});

test('No Local with a shared subscription ends the connection', async () => {
  const { port } = await startTestBroker();
  const device = await RawDevice.connect(port, 5);
  const subscriptions = [{ topic: SHARE, qos: 0 as const, nl: true, rap: false, rh: 0 }];
  device.send({ cmd: 'subscribe', messageId: 1, subscriptions });
  await device.untilClosed();
  expect(device.last('disconnect')?.['reasonCode']).toBe(0x82);
});

test('a wildcard in front shares no topics that begin with $', async () => {
  const { port } = await startTestBroker();
  const device = await RawDevice.connect(port, 5);
  await subscribe(device, { topic: '$share/g/#', qos: 1 });
  device.send(device.publish('$a/b', 'no', 0), device.publish('a/b', 'yes', 0));
  await expect.poll(() => payloads(device)).toEqual(['yes']);
});

test('while nobody is there, lasting members keep each message once, also over a power cut', async () => {
  const space = new MortalSpace();
  const { port } = await startTestBroker({ keep: { space } });
  for (const clientId of ['one', 'two']) {
    const member = await connectLasting(port, clientId);
    await subscribe(member, { topic: SHARE, qos: 1 });
    member.send({ cmd: 'disconnect' });
    await member.untilClosed();
  }
  await publishAll(port, 1, TEXTS);
  space.kill();
  const next = await startTestBroker({ keep: { space: new MortalSpace(space.disk) } });
  const one = await connectLasting(next.port, 'one');
  const two = await connectLasting(next.port, 'two');
  const both = (): string[] => [...payloads(one), ...payloads(two)];
  await expect.poll(both).toHaveLength(TEXTS.length);
  expect(both().toSorted()).toEqual(TEXTS.toSorted());
  expect(payloads(one)).toHaveLength(TEXTS.length / 2);
  // Restored subscriptions are shared as those before.
  await publishAll(next.port, 0, ['live']);
  await expect.poll(() => both().filter((text) => text === 'live')).toEqual(['live']);
});

test('what a lasting member has not acknowledged waits for it', async () => {
  const { port } = await startTestBroker({ keep: { space: new MortalSpace() } });
  const member = await connectLasting(port, 'one');
  await subscribe(member, { topic: SHARE, qos: 1 });
  await publishAll(port, 1, ['x']);
  await expect.poll(() => payloads(member)).toEqual(['x']);
  member.close();
  const back = await connectLasting(port, 'one');
  await expect.poll(() => payloads(back)).toEqual(['x']);
  expect(heard(back)[0]?.dup).toBe(true);
});

test('who subscribes to one share after the other leaves nothing behind', async () => {
  const join = vi.spyOn(SharedSubscriptions.prototype, 'join');
  const { port } = await startTestBroker();
  const device = await RawDevice.connect(port, 5, { clientId: 'restless' });
  for (let at = 0; at < 20; at++) {
    const filter = `$share/workers/${at}`;
    await subscribe(device, { topic: filter, qos: 0 });
    device.send({ cmd: 'unsubscribe', messageId: 1, unsubscriptions: [filter] });
  }
  await device.ping();
  const [shared] = join.mock.contexts as [SharedSubscriptions];
  expect(shared.groups).toBe(0);
  join.mockRestore();
});
