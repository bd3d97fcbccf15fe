import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { Aedes, type AedesOptions } from 'aedes';
import { afterEach, describe, expect, test } from 'vitest';
import { RawDevice } from '../support/mqtt-raw.ts';

/**
 * The facts about aedes 2.0.0-beta.1 at the top of src/agent/broker.ts. When one of these fails
 * after an upgrade, aedes has changed and our own way for PUBLISH may shrink.
 */
type Hook = NonNullable<AedesOptions['authorizePublish']>;

const open: { broker: Aedes; server: Server }[] = [];

async function bare(options: AedesOptions = {}): Promise<{ broker: Aedes; port: number }> {
  const broker = await Aedes.createBroker(options);
  const server = createServer(broker.handle);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  open.push({ broker, server });
  const address = server.address();
  return { broker, port: typeof address === 'object' ? (address?.port ?? 0) : 0 };
}

afterEach(async () => {
  for (const { broker, server } of open.splice(0)) {
    await new Promise<void>((resolve) => {
      broker.close(() => resolve());
    });
    server.close();
  }
});

test('1: QoS 1 is acknowledged before it is published; only authorizePublish holds the ack', async () => {
  const held: (() => void)[] = [];
  const { port } = await bare({ published: (_packet, _client, done) => held.push(done) });
  const device = await RawDevice.connect(port);
  device.send(device.publish('a', 'x', 1, 1));
  await device.until(() => device.ids('puback').length === 1);
  const gate: (() => void)[] = [];
  const gated = await bare({ authorizePublish: (_client, _packet, done) => gate.push(done) });
  const other = await RawDevice.connect(gated.port);
  other.send(other.publish('a', 'x', 1, 1));
  await expect.poll(() => gate).toHaveLength(1);
  expect(other.ids('puback')).toEqual([]);
  gate[0]?.();
  await other.until(() => other.ids('puback').length === 1);
});

test('2: hooks of one read run concurrently; acks leave in the order in which they finish', async () => {
  const gate: (() => void)[] = [];
  const { port } = await bare({ authorizePublish: (_client, _packet, done) => gate.push(done) });
  const device = await RawDevice.connect(port);
  device.send(...[1, 2, 3].map((id) => device.publish('a', 'x', 1, id)));
  await expect.poll(() => gate).toHaveLength(3);
  for (const index of [1, 2, 0]) gate[index]?.();
  await device.until(() => device.ids('puback').length === 3);
  expect(device.ids('puback')).toEqual([2, 3, 1]);
});

test('3: a QoS 2 resend calls the hook again', async () => {
  let calls = 0;
  const hook: Hook = (_client, _packet, done) => {
    calls++;
    done();
  };
  const { port } = await bare({ authorizePublish: hook });
  const device = await RawDevice.connect(port);
  device.send(device.publish('a', 'x', 2, 1));
  await device.until(() => device.ids('pubrec').length === 1);
  device.send(device.publish('a', 'x', 2, 1, { dup: true }));
  await device.until(() => device.ids('pubrec').length === 2);
  expect(calls).toBe(2);
});

test('4: an error from the hook is an ack with 0x87 for MQTT 5, an end before', async () => {
  const { port } = await bare({
    authorizePublish: (_client, _packet, done) => done(new Error('the disk is full')),
  });
  const five = await RawDevice.connect(port, 5);
  five.send(five.publish('a', 'x', 1, 1));
  await five.until(() => five.ids('puback').length === 1);
  expect(five.last('puback')?.['reasonCode']).toBe(0x87);
  const four = await RawDevice.connect(port, 4, { clientId: 'four' });
  four.send(four.publish('a', 'x', 1, 1));
  await four.untilClosed();
  expect(four.ids('puback')).toEqual([]);
});

test('5: the parser loses the order of user properties', async () => {
  const seen: unknown[] = [];
  const { port } = await bare({
    authorizePublish: (_client, packet, done) => {
      seen.push(packet.properties?.userProperties);
      done();
    },
  });
  const device = await RawDevice.connect(port, 5);
  const text = (value: string): number[] => [0, value.length, ...Buffer.from(value)];
  const pair = (name: string, value: string): number[] => [0x26, ...text(name), ...text(value)];
  const properties = [...pair('b', ''), ...pair('1', 'x'), ...pair('b', '2')];
  const body = [0, 1, 0x61, 0, 9, properties.length, ...properties];
  device.sendBytes(Buffer.from([0x32, body.length, ...body]));
  await device.until(() => device.ids('puback').length === 1);
  expect(seen.map((one) => Object.entries(one as object))).toEqual([
    [
      ['1', 'x'],
      ['b', '2'],
    ],
  ]);
});

test('6: clients and subscriptions are kept in plain objects', async () => {
  const { broker } = await bare();
  const { clients } = broker as unknown as { clients: Record<string, unknown> };
  expect(clients['constructor']).toBe(Object);
});

test('7: QoS is lowered to the subscription’s only without a wildcard', async () => {
  const { port } = await bare();
  const device = await RawDevice.connect(port);
  const subscriptions = [
    { topic: 'a', qos: 1 as const },
    { topic: 'b/+', qos: 1 as const },
  ];
  device.send({ cmd: 'subscribe', messageId: 1, subscriptions });
  await device.until(() => device.ids('suback').length === 1);
  device.send(device.publish('a', 'x', 2, 2), device.publish('b/c', 'x', 2, 3));
  const heard = (): { topic: string; qos: number }[] =>
    device.packets.flatMap((one) =>
      one.cmd === 'publish' ? [{ topic: one.topic, qos: one.qos }] : [],
    );
  await device.until(() => heard().length === 2);
  expect(heard()).toEqual([
    { topic: 'a', qos: 1 },
    { topic: 'b/c', qos: 2 },
  ]);
});

test('8: messages that overtake each other are taken for repeats and lost', async () => {
  const { port } = await bare();
  const ears = await RawDevice.connect(port, 4, { clientId: 'ears' });
  ears.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 0 }] });
  await ears.until(() => ears.ids('suback').length === 1);
  const device = await RawDevice.connect(port);
  const retained = device.publish('a', 'retained', 0, 0, { retain: true });
  device.send(retained, device.publish('a', 'plain'));
  await device.ping();
  await ears.ping();
  expect(ears.packets.filter((one) => one.cmd === 'publish')).toHaveLength(1);
});

test('9: two PUBRELs of a lasting session become one', async () => {
  const { port } = await bare();
  const ears = await RawDevice.connect(port, 4, { clientId: 'ears', clean: false });
  ears.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'a', qos: 2 }] });
  await ears.until(() => ears.ids('suback').length === 1);
  const device = await RawDevice.connect(port);
  device.send(device.publish('a', 'one', 2, 1), device.publish('a', 'two', 2, 2));
  const got = (cmd: string): number[] =>
    ears.packets.filter((one) => one.cmd === cmd).map((one) => one.messageId ?? 0);
  await ears.until(() => got('publish').length === 2);
  const [first = 0, second = 0] = got('publish');
  ears.send({ cmd: 'pubrec', messageId: first }, { cmd: 'pubrec', messageId: second });
  await ears.until(() => got('pubrel').length === 2);
  expect(got('pubrel')).toEqual([second, second]);
});

describe('10: wills', () => {
  test('go through authorizePublish; the broker’s own $SYS messages do not', async () => {
    const topics: string[] = [];
    const { port } = await bare({
      authorizePublish: (_client, packet, done) => {
        topics.push(packet.topic);
        done();
      },
    });
    const will = { topic: 'w', payload: Buffer.from('gone'), qos: 1, retain: false };
    const device = await RawDevice.connect(port, 4, { will });
    device.close();
    await expect.poll(() => topics).toEqual(['w']);
  });
});
