import { generate } from 'mqtt-packet';
import { afterEach, describe, expect, test } from 'vitest';
import { ConnectionChecks } from '../../src/agent/broker-connection-checks.ts';
import { FrameReader } from '../../src/agent/broker-frames.ts';
import type { KeptPacket } from '../../src/agent/broker-session-codec.ts';
import { CLIENT_BOUNDS, DEFAULT_CLIENT_LIMITS } from '../../src/client-limits.ts';
import { byte, encode, text as textField } from '../support/attack/mqtt-fields.ts';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { memorySessions } from '../support/session-rig.ts';
import { RawDevice } from '../support/mqtt-raw.ts';

/** What a device may say, and how much of it. */
afterEach(stopTestBrokers);

/** Text of the same number of bytes in its place. */
function replaced(packet: Buffer, from: string, to: Buffer): Buffer {
  const at = packet.indexOf(from);
  expect(to.length).toBe(Buffer.byteLength(from));
  const bytes = Buffer.from(packet);
  to.copy(bytes, at);
  return bytes;
}

const TRAPS: readonly [string, Buffer][] = [
  ['U+0000', Buffer.from('a\0bb')],
  ['a surrogate', Buffer.from([0xed, 0xa0, 0x80, 0x62])],
  ['half a character', Buffer.from([0x61, 0x62, 0x63, 0xc3])],
  ['a character in more bytes than it needs', Buffer.from([0xc0, 0x80, 0x62, 0x62])],
  ['a character beyond the last', Buffer.from([0xf5, 0x80, 0x80, 0x80])],
];

describe.each([4, 5] as const)('text, protocol version %i', (version) => {
  test.each(TRAPS)('a client id with %s is refused', async (_, text) => {
    const { port, broker } = await startTestBroker();
    const device = await RawDevice.dial(port, version);
    device.sendBytes(
      replaced(device.bytes(device.connectPacket({ clientId: 'TTTT' })), 'TTTT', text),
    );
    await device.untilClosed();
    expect(device.last('connack')?.[version === 5 ? 'reasonCode' : 'returnCode']).toBe(
      version === 5 ? 0x85 : 2,
    );
    expect(broker.counters().violations).toBe(1);
  });

  test.each(TRAPS)(
    'a topic with %s ends the connection, and nothing is logged',
    async (_, text) => {
      const { port, writer } = await startTestBroker();
      const device = await RawDevice.connect(port, version);
      device.sendBytes(replaced(device.bytes(device.publish('TTTT', 'x', 1, 1)), 'TTTT', text));
      await device.untilClosed();
      const reason = text.includes(0) ? 0x90 : 0x81;
      expect(device.last('disconnect')?.['reasonCode']).toBe(version === 5 ? reason : undefined);
      expect(writer.records).toEqual([]);
    },
  );

  test.each(TRAPS)('a filter with %s ends the connection', async (_, text) => {
    const { port } = await startTestBroker();
    for (const cmd of ['subscribe', 'unsubscribe'] as const) {
      const device = await RawDevice.connect(port, version, { clientId: cmd });
      const filters =
        cmd === 'subscribe'
          ? { cmd, messageId: 1, subscriptions: [{ topic: 'TTTT', qos: 0 as const }] }
          : { cmd, messageId: 1, unsubscriptions: ['TTTT'] };
      device.sendBytes(replaced(device.bytes(filters), 'TTTT', text));
      await device.untilClosed();
      expect(device.last('disconnect')?.['reasonCode']).toBe(version === 5 ? 0x81 : undefined);
    }
  });

  test.each(TRAPS)('a user name and the topic of a will with %s are refused', async (_, text) => {
    const { port } = await startTestBroker();
    const payload = Buffer.from('gone');
    for (const fields of [
      { username: 'TTTT' },
      { will: { topic: 'TTTT', payload, qos: 0, retain: false } },
    ]) {
      const device = await RawDevice.dial(port, version);
      device.sendBytes(replaced(device.bytes(device.connectPacket(fields)), 'TTTT', text));
      await device.untilClosed();
      expect(device.last('connack')?.['returnCode'] ?? 1).not.toBe(0);
    }
  });

  test('a byte order mark and control characters are text like any other', async () => {
    const { port, writer } = await startTestBroker();
    const name = '\uFEFFa\u0001\u{1F4A7}';
    const device = await RawDevice.connect(port, version, { clientId: name });
    device.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: name, qos: 0 }] });
    device.send(device.publish(name, 'x', 1, 1));
    await device.until(() => device.last('publish') !== undefined);
    expect(device.last('publish')?.['topic']).toBe(name);
    expect(Buffer.from(writer.records[0]?.key ?? []).toString()).toBe(name);
  });
});

describe.each([4, 5] as const)('lengths, protocol version %i', (version) => {
  const code = version === 5 ? 'reasonCode' : 'returnCode';

  test.each([
    [DEFAULT_CLIENT_LIMITS.clientIdBytes, 0],
    [DEFAULT_CLIENT_LIMITS.clientIdBytes + 1, version === 5 ? 0x85 : 2],
    [65_535, version === 5 ? 0x85 : 2],
  ])('a client id of %i bytes: %i', async (bytes, expected) => {
    const { port } = await startTestBroker();
    const device = await RawDevice.connect(port, version, { clientId: 'x'.repeat(bytes) });
    expect(device.last('connack')?.[code]).toBe(expected);
  });

  test.each([
    [DEFAULT_CLIENT_LIMITS.topicBytes, true],
    [DEFAULT_CLIENT_LIMITS.topicBytes + 1, false],
    [65_535, false],
  ])('a topic and a filter of %i bytes: %s', async (bytes, good) => {
    const { port } = await startTestBroker();
    const topic = 'é'.repeat(bytes >> 1) + 'x'.repeat(bytes & 1);
    const publisher = await RawDevice.connect(port, version, { clientId: 'p' });
    publisher.send(publisher.publish(topic, 'x', 1, 1));
    const subscriber = await RawDevice.connect(port, version, { clientId: 's' });
    subscriber.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 0 }] });
    if (good) {
      await publisher.until(() => publisher.ids('puback').length === 1);
      await subscriber.until(() => subscriber.ids('suback').length === 1);
      return;
    }
    await publisher.untilClosed();
    await subscriber.untilClosed();
    const reasons = [publisher, subscriber].map((one) => one.last('disconnect')?.['reasonCode']);
    expect(reasons).toEqual(version === 5 ? [0x90, 0x8f] : [undefined, undefined]);
  });

  test('levels of a topic and of a filter', async () => {
    const { port } = await startTestBroker({ limits: { topicLevels: 3 } });
    const device = await RawDevice.connect(port, version, { clientId: 'p' });
    device.send(device.publish('a/b/c', 'x', 1, 1));
    await device.until(() => device.ids('puback').length === 1);
    device.send(device.publish('a/b/c/d', 'x', 1, 2));
    await device.untilClosed();
    const other = await RawDevice.connect(port, version, { clientId: 's' });
    other.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'a/b/+/#', qos: 0 }] });
    await other.untilClosed();
    expect([device, other].map(({ closed }) => closed)).toEqual([true, true]);
  });

  test('a will over its bound is refused with a word', async () => {
    const { port } = await startTestBroker({ limits: { willBytes: 100 } });
    const will = { topic: 'w', payload: Buffer.alloc(100), qos: 0, retain: false };
    const device = await RawDevice.connect(port, version, { will });
    expect(device.last('connack')?.[code]).toBe(version === 5 ? 0x97 : 3);
  });
});

test('the wills of all connections together', async () => {
  const { port, broker } = await startTestBroker({ limits: { willBytes: 131_072 } });
  const will = (bytes: number): Record<string, unknown> => ({
    will: { topic: 'w', payload: Buffer.alloc(bytes), qos: 0, retain: false },
  });
  const fit = Math.floor(CLIENT_BOUNDS.willsBytes / 65_006);
  const devices: RawDevice[] = [];
  for (let index = 0; index < fit; index++) {
    const fields = { clientId: `w${index}`, ...will(65_000) };
    devices.push(await RawDevice.connect(port, 5, fields));
  }
  const over = await RawDevice.dial(port, 5);
  over.send(over.connectPacket({ clientId: 'over', ...will(65_000) }));
  await over.untilClosed();
  expect(broker.counters()).toMatchObject({ connections: fit, violations: 1 });
  devices[0]?.send({ cmd: 'disconnect' });
  await devices[0]?.untilClosed();
  await expect.poll(() => broker.counters().connections).toBe(fit - 1);
  await RawDevice.connect(port, 5, { clientId: 'again', ...will(65_000) });
});

test('wills of those who are away count too, and no more when they are gone', async () => {
  const store = await memorySessions();
  const fields = { cmd: 'connect', protocolVersion: 5, clientId: 'c', keepalive: 0 } as const;
  const asked = {
    topic: 'w',
    payload: Buffer.from('will of a device'),
    qos: 0,
    retain: false,
  } as const;
  const packet = generate({ ...fields, will: asked }, { protocolVersion: 5 });
  const frames = new FrameReader(1_000_000);
  const asking = { asked: () => {} };
  const counters = { willBytes: 0 };
  const keptWillBytes = (): number => store.willBytes;
  const connects = (): void => {
    frames.push(packet);
    frames.next();
    const context = { limits: DEFAULT_CLIENT_LIMITS, counters, keptWillBytes };
    const checks = new ConnectionChecks(context, frames, asking);
    checks.connect();
    checks.left();
  };
  connects();
  const payload = Buffer.alloc(CLIENT_BOUNDS.willsBytes - 10);
  const will = { cmd: 'publish', topic: 'w', payload, properties: {} } as unknown as KeptPacket;
  store.setWill('away', will, Buffer.alloc(0));
  store.setWill('away', will, Buffer.alloc(0));
  expect(store.willBytes).toBe(payload.length + 1);
  expect(connects).toThrow('too many bytes of wills');
  store.dropWill('away', {});
  expect(connects).toThrow('too many bytes of wills');
  store.dropWill('away');
  expect(store.willBytes).toBe(0);
  connects();
});

describe.each([4, 5] as const)('numbers, protocol version %i', (version) => {
  test('filters of one SUBSCRIBE', async () => {
    const { port } = await startTestBroker();
    const filters = Array.from({ length: CLIENT_BOUNDS.filtersPerPacket + 1 }, (_, index) => ({
      topic: `f/${index}`,
      qos: 0 as const,
    }));
    const device = await RawDevice.connect(port, version);
    device.send({ cmd: 'subscribe', messageId: 1, subscriptions: filters.slice(1) });
    await device.until(() => device.ids('suback').length === 1);
    device.send({ cmd: 'subscribe', messageId: 2, subscriptions: filters });
    await device.untilClosed();
    expect(device.last('disconnect')?.['reasonCode']).toBe(version === 5 ? 0x97 : undefined);
  });

  test('subscriptions of one client; what it gives up makes room', async () => {
    const { port } = await startTestBroker({ limits: { subscriptions: 3 } });
    const device = await RawDevice.connect(port, version);
    const subscribe = async (messageId: number, ...topics: string[]): Promise<unknown> => {
      const subscriptions = topics.map((topic) => ({ topic, qos: 0 as const }));
      device.send({ cmd: 'subscribe', messageId, subscriptions });
      await device.until(() => device.ids('suback').includes(messageId));
      return device.last('suback')?.['granted'];
    };
    const refused = version === 5 ? 0x97 : 0x80;
    expect(await subscribe(1, 'a', 'b', 'c', 'd')).toEqual([0, 0, 0, refused]);
    expect(await subscribe(2, 'a')).toEqual([0]); // known already
    const refusedOnes = Array.from({ length: 300 }, (_, index) => `refused/${index}`);
    expect(await subscribe(3, ...refusedOnes)).toEqual(refusedOnes.map(() => refused));
    device.send({ cmd: 'unsubscribe', messageId: 4, unsubscriptions: ['a', 'a', 'd'] });
    expect(await subscribe(5, 'e', 'f')).toEqual([0, refused]);
    const other = await RawDevice.connect(port, version, { clientId: 'other' });
    other.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'a', qos: 0 }] });
    await other.until(() => other.ids('suback').length === 1);
    expect(other.last('suback')?.['granted']).toEqual([0]);
  });
});

test.each([1, 2] as const)('more than the receive maximum at QoS %i: 0x93', async (qos) => {
  const { port, writer } = await startTestBroker({ limits: { inFlight: 5 } });
  writer.hold();
  const device = await RawDevice.connect(port, 5);
  expect(device.last('connack')?.['properties']).toMatchObject({ receiveMaximum: 5 });
  for (let id = 1; id <= 5; id++) device.send(device.publish('a', 'x', qos, id));
  await device.ping();
  expect(device.closed).toBe(false);
  device.send(device.publish('a', 'x', qos, 6));
  await device.untilClosed();
  expect(device.last('disconnect')?.['reasonCode']).toBe(0x93);
  writer.resume();
  await expect.poll(() => writer.records.length).toBe(5);
});

test('QoS 1 of 3.1.1 has no such word, and waits', async () => {
  const { port, writer } = await startTestBroker({ limits: { inFlight: 5 } });
  writer.hold();
  const device = await RawDevice.connect(port, 4);
  for (let id = 1; id <= 20; id++) device.send(device.publish('a', 'x', 1, id));
  await expect.poll(() => writer.waiting).toBe(20);
  writer.resume();
  await device.until(() => device.ids('puback').length === 20);
});

test.each([3, 4, 5] as const)(
  'names of Object.prototype are names like any other, version %i',
  async (version) => {
    const { port } = await startTestBroker();
    const watcher = await RawDevice.connect(port, version, { clientId: 'watcher' });
    watcher.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 0 }] });
    await watcher.until(() => watcher.ids('suback').length === 1);
    for (const name of ['__proto__', 'constructor', 'prototype', 'toString']) {
      const payload = Buffer.from(`will of ${name}`);
      const fields = { clientId: name, will: { topic: name, payload, qos: 1, retain: true } };
      const device = await RawDevice.connect(port, version, fields);
      device.send(device.publish(name, name, 1, 1, { retain: true }));
      device.send({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: [name] });
      await device.until(() => device.packets.some(({ cmd }) => cmd === 'unsuback'));
      device.close();
      await watcher.until(() =>
        watcher.packets.some(
          (packet) => packet.cmd === 'publish' && packet.payload.toString() === `will of ${name}`,
        ),
      );
    }
    expect(({} as Record<string, unknown>)['qos']).toBeUndefined();
  },
);

/** mqtt-packet makes a list of a property that comes twice, and aedes a time of the list that is no number. */
test.each(['CONNECT', 'DISCONNECT', 'a will'])(
  'a time that comes twice in %s ends the connection, and nothing else',
  async (where) => {
    const { port, broker } = await startTestBroker();
    const twice = { kind: 'properties' as const, list: [EXPIRY, EXPIRY] };
    const delays = { kind: 'properties' as const, list: [DELAY, DELAY] };
    const will = where === 'a will';
    const device = await RawDevice.dial(port, 5);
    device.sendBytes(
      encode({
        first: 0x10,
        fields: [
          textField('MQTT'),
          byte(5, will ? 4 : 0, 0, 60),
          where === 'CONNECT' ? twice : { kind: 'properties', list: [EXPIRY] },
          textField('twice'),
          ...(will ? [delays, textField('gone'), textField('x')] : []),
        ],
      }),
    );
    if (where === 'DISCONNECT') {
      await device.until(() => device.last('connack') !== undefined);
      device.sendBytes(encode({ first: 0xe0, fields: [byte(0), twice] }));
    }
    await device.untilClosed();
    await expect.poll(() => broker.counters().connections).toBe(0);
  },
);

const EXPIRY = { id: 0x11, value: Buffer.from([0, 0, 0, 60]) };
const DELAY = { id: 0x18, value: Buffer.from([0, 0, 0, 1]) };
