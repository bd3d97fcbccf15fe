import { connectAsync, type MqttClient } from 'mqtt';
import { afterEach, describe, expect, test } from 'vitest';
import { decodeHeaders } from '../../src/headers.ts';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';

const clients: MqttClient[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) await client.endAsync(true);
  await stopTestBrokers();
});

interface Heard {
  readonly topic: string;
  readonly text: string;
  readonly qos: number;
  readonly retain: boolean;
  readonly properties: Record<string, unknown> | undefined;
}

async function listen(
  url: string,
  filter: string,
  options: { version?: 4 | 5; qos?: 0 | 1 | 2; clientId?: string; clean?: boolean } = {},
): Promise<{ client: MqttClient; heard: Heard[] }> {
  const heard: Heard[] = [];
  const client = await connectAsync(url, {
    protocolVersion: options.version ?? 4,
    clientId: options.clientId ?? `listener-${clients.length}`,
    clean: options.clean ?? true,
    reconnectPeriod: 0,
  });
  clients.push(client);
  client.on('message', (topic, payload, packet) => {
    heard.push({
      topic,
      text: payload.toString(),
      qos: packet.qos,
      retain: packet.retain,
      properties: packet.properties,
    });
  });
  await client.subscribeAsync(filter, { qos: options.qos ?? 1 });
  return { client, heard };
}

describe.each([4, 5] as const)('live delivery, protocol version %i', (version) => {
  test.each([0, 1, 2] as const)('subscribers get QoS %i messages', async (qos) => {
    const { url, port } = await startTestBroker();
    const { heard } = await listen(url, 'a/+', { version, qos: 2 });
    const device = await RawDevice.connect(port, version);
    device.send(device.publish('b/c', 'no', qos, 1), device.publish('a/b', 'yes', qos, 2));
    await expect.poll(() => heard).toHaveLength(1);
    expect(heard[0]).toMatchObject({ topic: 'a/b', text: 'yes', qos, retain: false });
  });

  test('QoS 1 reaches subscribers only after it is durable', async () => {
    const { url, port, writer } = await startTestBroker();
    const { heard, client } = await listen(url, '#', { version });
    writer.hold();
    const device = await RawDevice.connect(port, version);
    device.send(device.publish('a', 'x', 1, 1));
    await device.ping();
    await client.subscribeAsync('b'); // a full turn to the subscriber and back
    expect(heard).toEqual([]);
    writer.resume();
    await expect.poll(() => heard).toHaveLength(1);
  });

  test('messages that match no route are delivered live', async () => {
    const { url, port, broker } = await startTestBroker({ ingest: { routes: [] } });
    const { heard } = await listen(url, '#', { version });
    const device = await RawDevice.connect(port, version);
    device.send(device.publish('a', 'x', 1, 1), device.publish('$other/a', 'not by #', 1, 2));
    await device.until(() => device.ids('puback').length === 2);
    await expect.poll(() => heard.map(({ text }) => text)).toEqual(['x']);
    expect(broker.counters()).toMatchObject({ unrouted: 2 });
  });

  test('a retained message is logged and waits for subscribers; an empty one clears it', async () => {
    const { url, port, writer } = await startTestBroker();
    const device = await RawDevice.connect(port, version);
    device.send(device.publish('a', 'kept', 1, 1, { retain: true }));
    await device.until(() => device.ids('puback').length === 1);
    const { heard } = await listen(url, 'a', { version });
    await expect.poll(() => heard).toHaveLength(1);
    expect(heard[0]).toMatchObject({ text: 'kept', retain: true });
    device.send(device.publish('a', '', 1, 2, { retain: true }));
    await device.until(() => device.ids('puback').length === 2);
    const late = await listen(url, 'a', { version });
    await late.client.publishAsync('a', 'live');
    await expect.poll(() => late.heard).toHaveLength(1);
    expect(late.heard[0]).toMatchObject({ text: 'live', retain: false });
    const retain = writer.records.map((record) => decodeHeaders(record.headers)[2]?.value);
    expect(retain.map((value) => Buffer.from(value ?? []).toString())).toEqual(['1', '1', '0']);
  });

  test('a will is logged and delivered when the connection breaks', async () => {
    const { url, port, writer } = await startTestBroker();
    const { heard } = await listen(url, 'wills/#', { version });
    const will = { topic: 'wills/1', payload: Buffer.from('gone'), qos: 1, retain: false };
    const device = await RawDevice.connect(port, version, { will });
    device.close();
    await expect.poll(() => heard.map(({ text }) => text)).toEqual(['gone']);
    expect(writer.values()).toEqual(['gone']);
    expect(Buffer.from(writer.records[0]?.key ?? []).toString()).toBe('wills/1');
  });

  test('a DISCONNECT takes the will back', async () => {
    const { port, writer, broker } = await startTestBroker();
    const will = { topic: 'wills/1', payload: Buffer.from('gone'), qos: 1, retain: false };
    const device = await RawDevice.connect(port, version, { will });
    device.send({ cmd: 'disconnect' });
    await expect.poll(() => broker.counters().connections).toBe(0);
    expect(broker.counters().received).toBe(0);
    expect(writer.records).toEqual([]);
  });

  test('a session without a connection gets its messages later', async () => {
    const { url, port } = await startTestBroker();
    const options = { version: 4, clientId: 'sleeper', clean: false } as const;
    const { client } = await listen(url, 'a', options);
    await client.endAsync();
    const device = await RawDevice.connect(port, version);
    device.send(device.publish('a', 'while away', 1, 1));
    await device.until(() => device.ids('puback').length === 1);
    const { heard } = await listen(url, 'a', options);
    await expect.poll(() => heard.map(({ text }) => text)).toEqual(['while away']);
  });
});

test('subscribers come and go: nothing is missed, and nothing is sent to nobody', async () => {
  const { url, port } = await startTestBroker();
  const device = await RawDevice.connect(port);
  const say = async (text: string): Promise<void> => {
    const before = device.ids('puback').length;
    device.send(device.publish('a/b', text, 1, before + 1));
    await device.until(() => device.ids('puback').length > before);
  };
  await say('nobody');
  const one = await listen(url, 'a/#');
  await say('one');
  const two = await listen(url, 'a/+');
  await say('both');
  await one.client.unsubscribeAsync('a/#');
  await say('two');
  await two.client.endAsync();
  await say('nobody again');
  const three = await listen(url, '+/b');
  await say('three');
  await expect.poll(() => three.heard.map(({ text }) => text)).toEqual(['three']);
  expect(one.heard.map(({ text }) => text)).toEqual(['one', 'both']);
  expect(two.heard.map(({ text }) => text)).toEqual(['both', 'two']);
});

test.each([0, 1, 2] as const)(
  'a subscriber gets a device’s messages in order at QoS %i, retained ones among them',
  async (qos) => {
    const { url, port } = await startTestBroker();
    const { heard } = await listen(url, 'a/#', { qos: 2 });
    const lasting = await listen(url, 'a/+', { qos: 2, clientId: 'lasting', clean: false });
    const device = await RawDevice.connect(port);
    const texts = Array.from({ length: 300 }, (_, index) => `m${index}`);
    for (const [index, text] of texts.entries()) {
      device.send(device.publish('a/b', text, qos, index + 1, { retain: index % 3 === 0 }));
    }
    await expect.poll(() => heard.length).toBe(texts.length);
    expect(heard.map(({ text }) => text)).toEqual(texts);
    await expect.poll(() => lasting.heard.length).toBe(texts.length);
    expect(lasting.heard.map(({ text }) => text)).toEqual(texts);
  },
);

test('nothing is lost when QoS and retained are mixed, from several devices', async () => {
  const { url, port } = await startTestBroker();
  const { heard } = await listen(url, '#', { qos: 2 });
  const devices = await Promise.all(
    ['one', 'two', 'three'].map((clientId) => RawDevice.connect(port, 4, { clientId })),
  );
  const sent: string[] = [];
  for (let index = 0; index < 300; index++) {
    for (const [number, device] of devices.entries()) {
      const text = `${number}-${index}`;
      const qos = ((index + number) % 3) as 0 | 1 | 2;
      sent.push(text);
      device.send(device.publish(`t/${number}`, text, qos, index + 1, { retain: index % 4 === 0 }));
    }
  }
  await expect.poll(() => heard.length).toBe(sent.length);
  expect(heard.map(({ text }) => text).toSorted()).toEqual(sent.toSorted());
  for (const qos of [0, 1, 2]) {
    const own = heard.filter((one) => one.topic === 't/0' && one.qos === qos);
    const order = own.map(({ text }) => Number(text.slice(2)));
    expect(order).toEqual(order.toSorted((left, right) => left - right));
  }
});

test('MQTT 5 properties reach subscribers', async () => {
  const { url } = await startTestBroker();
  const { heard } = await listen(url, 'a', { version: 5 });
  const sender = await connectAsync(url, { protocolVersion: 5, clientId: 'sender' });
  clients.push(sender);
  const properties = {
    contentType: 'text/plain',
    responseTopic: 'r',
    correlationData: Buffer.from('c'),
    payloadFormatIndicator: true,
    userProperties: { a: ['1', '2'], b: '3' },
  };
  await sender.publishAsync('a', 'x', { qos: 1, properties });
  await expect.poll(() => heard).toHaveLength(1);
  expect(heard[0]?.properties).toMatchObject(properties);
});

test('a subscriber that does not read stops nobody; QoS 0 is dropped for it, and QoS 1 ends it', async () => {
  const { port, broker } = await startTestBroker();
  const deaf: RawDevice[] = [];
  for (const qos of [0, 1] as const) {
    const device = await RawDevice.connect(port, 4, { clientId: `deaf-${qos}` });
    device.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos }] });
    await device.until(() => device.ids('suback').length === 1);
    device.socket.pause();
    deaf.push(device);
  }
  const large = Buffer.alloc(100_000);
  const loud = await RawDevice.connect(port, 4, { clientId: 'loud' });
  for (let id = 1; id <= 200; id++) {
    loud.send(loud.publish('loud/x', large, 1, id));
    await loud.until(() => loud.ids('puback').length === id);
  }
  await expect.poll(() => broker.counters().connections).toBe(2); // without the one of QoS 1
  expect(broker.counters().notKept).toBeGreaterThan(50);
  const calm = await RawDevice.connect(port, 4, { clientId: 'calm' });
  for (let id = 1; id <= 1000; id++) {
    calm.send(calm.publish('calm', 'x', 1, id));
    await calm.until(() => calm.ids('puback').length === id);
  }
  // It reads again, and is served as everybody else.
  const [listener] = deaf;
  listener?.socket.resume();
  await listener?.ping();
  calm.send(calm.publish('last', 'x', 0));
  await listener?.until(() => listener.last('publish')?.['topic'] === 'last');
});

test('a publisher is read no faster than its subscribers read, while they do', async () => {
  const { port } = await startTestBroker();
  const listener = await RawDevice.connect(port, 4, { clientId: 'listener' });
  listener.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 0 }] });
  await listener.until(() => listener.ids('suback').length === 1);
  const loud = await RawDevice.connect(port, 4, { clientId: 'loud' });
  const large = Buffer.alloc(100_000);
  for (let index = 0; index < 200; index++) loud.send(loud.publish('x', large));
  const heard = (): number => listener.packets.filter(({ cmd }) => cmd === 'publish').length;
  await listener.until(() => heard() === 200);
  expect(heard()).toBe(200);
});
