import { afterEach, describe, expect, test } from 'vitest';
import { LIMITS } from '../../src/limits.ts';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';
import { rememberingLogger } from '../support/store-kit.ts';

afterEach(stopTestBrokers);

/** After whatever came before, the broker still serves. */
async function serves(port: number): Promise<boolean> {
  const device = await RawDevice.connect(port, 5, { clientId: 'witness' });
  device.send(device.publish('witness', 'ok', 1, 1));
  await device.until(() => device.ids('puback').length === 1);
  device.close();
  return true;
}

describe.each([4, 5] as const)('bad input, protocol version %i', (version) => {
  test.each([
    ['an empty topic', Buffer.from([0x32, 4, 0, 0, 0, 1]), 0x90, 0x81],
    ['# in a topic', Buffer.from([0x32, 7, 0, 3, 0x61, 0x2f, 0x23, 0, 1]), 0x90, 0x81],
    ['+ in a topic', Buffer.from([0x32, 5, 0, 1, 0x2b, 0, 1]), 0x90, 0x81],
    ['QoS 3', Buffer.from([0x36, 5, 0, 1, 0x61, 0, 1]), 0x81, 0x81],
    ['packet id 0', Buffer.from([0x32, 5, 0, 1, 0x61, 0, 0]), 0x81, 0x81],
    ['a topic cut short', Buffer.from([0x32, 3, 0, 9, 0x61]), 0x81, 0x81],
    ['a topic that is not UTF-8', Buffer.from([0x32, 6, 0, 2, 0xc3, 0x28, 0, 1]), 0x81, 0x81],
    ['a length of five bytes', Buffer.from([0x32, 0xff, 0xff, 0xff, 0xff, 1]), 0x81, 0x81],
    ['PUBREL with wrong flags', Buffer.from([0x60, 2, 0, 1]), 0x81, 0x81],
    ['PUBREL without packet id', Buffer.from([0x62, 0]), 0x81, 0x81],
  ])('%s ends the connection', async (_, bytes, reason) => {
    const { port, broker, writer } = await startTestBroker();
    const device = await RawDevice.connect(port, version);
    // In MQTT 5 a PUBLISH that is whole so far has a property length next.
    const whole = reason === 0x90 && version === 5;
    device.sendBytes(whole ? withNoProperties(bytes) : bytes);
    await device.untilClosed();
    expect(device.ids('puback')).toEqual([]);
    expect(device.last('disconnect')?.['reasonCode']).toBe(version === 5 ? reason : undefined);
    expect(broker.counters().violations).toBe(1);
    expect(writer.records).toEqual([]);
    expect(await serves(port)).toBe(true);
  });

  test.each([
    ['reserved packet type 0', Buffer.from([0x00, 0])],
    ['SUBSCRIBE with wrong flags', Buffer.from([0x80, 6, 0, 1, 0, 1, 0x61, 0])],
    ['SUBSCRIBE without a filter', Buffer.from([0x82, 2, 0, 1])],
    ['SUBSCRIBE with an empty filter', Buffer.from([0x82, 5, 0, 1, 0, 0, 0])],
    ['SUBSCRIBE cut short', Buffer.from([0x82, 6, 0, 1, 0, 9, 0x61, 0])],
    [
      'a second CONNECT',
      Buffer.from([0x10, 13, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 60, 0, 1, 0x61]),
    ],
    ['CONNACK from a client', Buffer.from([0x20, 2, 0, 0])],
  ])('%s ends the connection', async (_, bytes) => {
    const { port } = await startTestBroker();
    const device = await RawDevice.connect(port, version);
    device.sendBytes(bytes);
    await device.untilClosed();
    expect(await serves(port)).toBe(true);
  });

  test('a packet over the limit ends the connection before its body is sent', async () => {
    const { port } = await startTestBroker({ maxPacketBytes: 2000 });
    const device = await RawDevice.connect(port, version);
    const fits = device.publish('a', Buffer.alloc(1900), 1, 1);
    device.send(fits);
    await device.until(() => device.ids('puback').length === 1);
    const over = device.bytes(device.publish('a', Buffer.alloc(3000), 1, 2));
    device.sendBytes(over.subarray(0, 10));
    await device.untilClosed();
    expect(device.last('disconnect')?.['reasonCode']).toBe(version === 5 ? 0x95 : undefined);
    expect(device.ids('puback')).toEqual([1]);
  });

  test('too many topic levels', async () => {
    const { port } = await startTestBroker();
    const device = await RawDevice.connect(port, version);
    device.send(device.publish('/'.repeat(64), 'x', 1, 1));
    await device.untilClosed();
    expect(device.last('disconnect')?.['reasonCode']).toBe(version === 5 ? 0x90 : undefined);
  });

  test.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty'])(
    'the client id and filter %s are names like any other',
    async (name) => {
      const { port, writer } = await startTestBroker();
      const first = await RawDevice.connect(port, version, { clientId: name });
      first.send(first.publish(name, 'one', 1, 1));
      await first.until(() => first.ids('puback').length === 1);
      const second = await RawDevice.connect(port, version, { clientId: name });
      await first.untilClosed(); // taken over [MQTT-3.1.4-3]
      const filter = name === '__proto__' ? 'proto' : name; // see the next test
      const subscriptions = [
        { topic: filter, qos: 0 as const },
        { topic: 'x', qos: 0 as const },
      ];
      second.send({ cmd: 'subscribe', messageId: 3, subscriptions });
      await second.until(() => second.ids('suback').length === 1);
      second.send(second.publish(filter, 'two', 2, 1));
      await second.until(() => second.last('publish') !== undefined);
      expect(String(second.last('publish')?.['payload'])).toBe('two');
      expect(writer.values()[0]).toBe('one');
      expect(await serves(port)).toBe(true);
    },
  );

  test('the filter __proto__ is refused', async () => {
    const { port } = await startTestBroker();
    const device = await RawDevice.connect(port, version);
    const subscriptions = [
      { topic: '__proto__', qos: 0 as const },
      { topic: 'x', qos: 0 as const },
    ];
    device.send({ cmd: 'subscribe', messageId: 3, subscriptions });
    await device.untilClosed();
    expect(device.last('disconnect')?.['reasonCode']).toBe(version === 5 ? 0x8f : undefined);
    expect(await serves(port)).toBe(true);
  });

  test.each(['', 'a/#', '$SYS/x', 'a\0b'])('a will to %j is refused at CONNECT', async (topic) => {
    const { port } = await startTestBroker();
    const device = await RawDevice.dial(port, version);
    const payload = Buffer.from('gone');
    const connect = device.bytes(
      device.connectPacket({ will: { topic: 'TTTT', payload, qos: 1, retain: false } }),
    );
    device.sendBytes(replaceText(connect, 'TTTT', topic));
    await device.untilClosed();
    expect(
      device.packets.some((packet) => packet.cmd === 'connack' && packet.returnCode === 0),
    ).toBe(false);
    expect(device.last('connack')?.['reasonCode']).toBe(version === 5 ? 0x90 : undefined);
    expect(await serves(port)).toBe(true);
  });
});

/** Puts a property length of 0 between packet id and payload, which is empty in these. */
function withNoProperties(publish: Buffer): Buffer {
  return Buffer.concat([
    Buffer.from([0x32, publish.length - 1]),
    publish.subarray(2),
    Buffer.from([0]),
  ]);
}

/** Puts another text of any length in place of one in a CONNECT with a one-byte length. */
function replaceText(packet: Buffer, from: string, to: string): Buffer {
  const at = packet.indexOf(from);
  const text = Buffer.from(to);
  const head = Buffer.from(packet.subarray(0, at));
  head.writeUInt16BE(text.length, at - 2);
  head[1] = packet.length - 2 - from.length + text.length;
  return Buffer.concat([head, text, packet.subarray(at + from.length)]);
}

test('what is no MQTT at all', async () => {
  const { port } = await startTestBroker();
  for (const text of [
    'GET / HTTP/1.1\r\nHost: x\r\n\r\n',
    '\x16\x03\x01\x02\x00\x01',
    '\0\0\0\0',
  ]) {
    const device = await RawDevice.dial(port);
    device.sendBytes(Buffer.from(text, 'latin1'));
    device.socket.end();
    await device.untilClosed();
  }
  expect(await serves(port)).toBe(true);
});

test('PUBLISH before CONNECT ends the connection', async () => {
  const { port, writer } = await startTestBroker();
  const device = await RawDevice.dial(port);
  device.send(device.publish('a', 'x', 1, 1));
  await device.untilClosed();
  expect(writer.records).toEqual([]);
  expect(await serves(port)).toBe(true);
});

test.each([6, 2])('protocol version %i is refused', async (protocolVersion) => {
  const { port } = await startTestBroker();
  const device = await RawDevice.dial(port);
  const bytes = device.bytes(device.connectPacket());
  bytes[8] = protocolVersion;
  device.sendBytes(bytes);
  await device.untilClosed();
  expect(
    device.packets.filter((packet) => packet.cmd === 'connack' && packet.returnCode === 0),
  ).toEqual([]);
});

test('bytes at random never end the broker', async () => {
  const { port } = await startTestBroker();
  let state = 12_345;
  for (let round = 0; round < 60; round++) {
    const device =
      round % 2 === 0
        ? await RawDevice.connect(port, round % 4 === 0 ? 4 : 5, { clientId: `fuzz-${round}` })
        : await RawDevice.dial(port);
    const bytes = Buffer.alloc(200);
    for (let index = 0; index < bytes.length; index++) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      bytes[index] = state >>> 16;
    }
    bytes[0] = (((round % 15) + 1) << 4) | (round % 3 === 0 ? 2 : 0);
    bytes[1] = 100;
    device.sendBytes(bytes);
    device.socket.end();
    await device.untilClosed();
  }
  expect(await serves(port)).toBe(true);
});

describe('users', () => {
  const users = [{ username: 'pump', password: 'secret' }];

  test.each([
    [4, {}, 'returnCode', 5],
    [4, { username: 'pump', password: Buffer.from('wrong') }, 'returnCode', 4],
    [4, { username: 'nobody', password: Buffer.from('secret') }, 'returnCode', 4],
    [4, { username: 'pump' }, 'returnCode', 4],
    [4, { username: '__proto__', password: Buffer.from('') }, 'returnCode', 4],
    [5, {}, 'reasonCode', 0x87],
    [5, { username: 'pump', password: Buffer.from('wrong') }, 'reasonCode', 0x86],
  ] as const)('version %i, %j: CONNACK %s %i', async (version, fields, name, code) => {
    const { port, broker, writer } = await startTestBroker({ users });
    const device = await RawDevice.dial(port, version);
    device.send(device.connectPacket(fields), device.publish('a', 'x', 1, 1));
    await device.untilClosed();
    expect(device.last('connack')?.[name]).toBe(code);
    expect(writer.records).toEqual([]);
    expect(broker.counters().connectionsRefused).toBe(1);
  });

  test.each([4, 5] as const)('version %i: the right password is let in', async (version) => {
    const { port } = await startTestBroker({ users });
    const fields = { username: 'pump', password: Buffer.from('secret') };
    const device = await RawDevice.connect(port, version, fields);
    device.send(device.publish('a', 'x', 1, 1));
    await device.until(() => device.ids('puback').length === 1);
    expect(device.last('connack')?.[version === 5 ? 'reasonCode' : 'returnCode']).toBe(0);
  });
});

test('unfinished packets of all connections together are bounded', async () => {
  const { port, broker } = await startTestBroker();
  const part = Buffer.alloc(900_000);
  const begun = (device: RawDevice): Buffer =>
    device.bytes(device.publish('a', part, 1, 1)).subarray(0, 890_000);
  const devices: RawDevice[] = [];
  const fit = Math.floor(LIMITS.heldBytes / 890_000);
  for (let index = 0; index < fit; index++) {
    const device = await RawDevice.connect(port, 5, { clientId: `slow-${index}` });
    device.sendBytes(begun(device));
    devices.push(device);
  }
  await expect.poll(() => broker.counters().heldBytes).toBe(fit * 890_000);
  // A small part of an innocent's packet does not cost it its connection; who holds most goes.
  const innocent = await RawDevice.connect(port, 5, { clientId: 'innocent' });
  const small = innocent.bytes(innocent.publish('a', Buffer.alloc(900_000), 1, 1));
  const room = LIMITS.heldBytes - fit * 890_000;
  innocent.sendBytes(small.subarray(0, room + 1));
  await expect.poll(() => broker.counters().violations).toBe(1);
  await expect.poll(() => devices.filter(({ closed }) => closed).length).toBe(1);
  const ended = devices.find(({ closed }) => closed);
  expect(ended?.last('disconnect')?.['reasonCode']).toBe(0x97);
  innocent.sendBytes(small.subarray(room + 1));
  await innocent.until(() => innocent.ids('puback').length === 1);
  for (const device of devices) device.close();
  await expect.poll(() => broker.counters().heldBytes).toBe(0);
});

test('connections over the limit are turned away', async () => {
  const { port, broker } = await startTestBroker({ maxConnections: 2 });
  const one = await RawDevice.connect(port, 4, { clientId: 'one' });
  await RawDevice.connect(port, 4, { clientId: 'two' });
  const third = await RawDevice.dial(port);
  await third.untilClosed();
  expect(broker.counters()).toMatchObject({ connections: 2, connectionsRefused: 1 });
  one.close();
  await expect.poll(() => broker.counters().connections).toBe(1);
  await RawDevice.connect(port, 4, { clientId: 'four' });
});

test('what follows a packet over which aedes hung up is not looked at', async () => {
  const logger = rememberingLogger();
  const { port } = await startTestBroker({ logger });
  const device = await RawDevice.connect(port, 4);
  // 32,768 packets of the reserved type 0, each of which aedes would complain about.
  device.sendBytes(Buffer.alloc(65_536));
  await device.untilClosed();
  expect(await serves(port)).toBe(true);
  const told = logger.lines.filter(({ message }) => message.startsWith('connection: '));
  expect(told).toHaveLength(1);
});
