import { afterEach, describe, expect, test } from 'vitest';
import {
  decodeMessage,
  encodeMessage,
  type KeptPacket,
} from '../../src/agent/broker-session-codec.ts';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import {
  byte,
  encode,
  id,
  text,
  type Field,
  type Property,
} from '../support/attack/mqtt-fields.ts';
import { RawDevice } from '../support/mqtt-raw.ts';
import { connectLasting, publishFrom, payloads, subscribe } from '../support/mqtt-session.ts';

/** What CONNECT may say. */
afterEach(stopTestBrokers);

const WILL = 0x04;
const QOS_3 = 0x18;

describe.each([4, 5] as const)('protocol version %i', (version) => {
  function withWill(device: RawDevice): Buffer {
    const will = { topic: 'w', payload: Buffer.from('gone'), qos: 0, retain: false };
    return device.bytes(device.connectPacket({ will }));
  }

  test('a will of QoS 3 is refused', async () => {
    const { port, writer } = await startTestBroker();
    const ears = await connectLasting(port, 'ears');
    await subscribe(ears, { topic: '#', qos: 1 });
    const device = await RawDevice.dial(port, version);
    const packet = withWill(device);
    packet[9] = (packet[9] ?? 0) | WILL | QOS_3;
    device.sendBytes(packet);
    await device.untilClosed();
    const answer = version === 5 ? { reasonCode: 0x81 } : { returnCode: 3 };
    expect(device.packets).toMatchObject([{ cmd: 'connack', ...answer }]);
    await publishFrom(port, 'a', ['after']);
    await expect.poll(() => payloads(ears)).toEqual(['after']);
    expect(writer.values()).toEqual(['after']);
  });
});

test('one that a session holds from before is a message of QoS 2', () => {
  const packet = {
    cmd: 'publish',
    brokerId: 'b',
    brokerCounter: 1,
    topic: 'w',
    payload: Buffer.from('gone'),
    qos: 3,
    retain: false,
    dup: false,
  } as unknown as KeptPacket;
  expect(decodeMessage(encodeMessage(packet, undefined)).packet.qos).toBe(2);
});

/** CONNECT of protocol level `version`. */
function connect(version: number, flags: number, ...fields: Field[]): Buffer {
  const head = [text('MQTT'), byte(version, flags, 0, 60)];
  return encode({ first: 0x10, fields: [...head, ...fields] });
}

function connect5(...list: Property[]): Buffer {
  return connect(5, 2, { kind: 'properties', list }, text('raw'));
}

const RAW = byte(0x2a);
const BAD_CONNECTS: readonly [string, Buffer, number][] = [
  ['a password without a user name', connect(4, 0x42, text('raw'), text('x')), 4],
  ['bytes behind its end, 3.1.1', connect(4, 2, text('raw'), RAW), 3],
  ['bytes behind its end, 5', connect(5, 2, byte(0), text('raw'), RAW), 0x81],
  ['Maximum Packet Size 0', connect5({ id: 0x27, value: Buffer.alloc(4) }), 0x82],
  ['Receive Maximum 0', connect5({ id: 0x21, value: Buffer.alloc(2) }), 0x82],
  ['Request Problem Information 2', connect5({ id: 0x17, value: Buffer.from([2]) }), 0x82],
  ['Request Response Information 2', connect5({ id: 0x19, value: Buffer.from([2]) }), 0x82],
  ['a Topic Alias', connect5({ id: 0x23, value: Buffer.from([0, 1]) }), 0x81],
  [
    'a property twice',
    connect5({ id: 0x22, value: Buffer.from([0, 1]) }, { id: 0x22, value: Buffer.from([0, 1]) }),
    0x82,
  ],
];

test.each(BAD_CONNECTS)('CONNECT with %s', async (_, packet, code) => {
  const { port } = await startTestBroker();
  const device = await RawDevice.dial(port, code > 5 ? 5 : 4);
  device.sendBytes(packet);
  await device.untilClosed();
  const answer = code > 5 ? { reasonCode: code } : { returnCode: code };
  expect(device.packets).toMatchObject([{ cmd: 'connack', ...answer }]);
});

test('a password without a user name is taken in MQTT 5', async () => {
  const { port } = await startTestBroker();
  const device = await RawDevice.dial(port, 5);
  device.sendBytes(connect(5, 0x42, byte(0), text('raw'), text('x')));
  await device.until(() => device.last('connack')?.['reasonCode'] === 0);
  expect(device.closed).toBe(false);
});

const BAD_PACKETS: readonly [string, 4 | 5, Buffer, number][] = [
  [
    'SUBSCRIBE with the packet id 0',
    4,
    encode({ first: 0x82, fields: [id(0), text('a'), byte(0)] }),
    0,
  ],
  [
    'SUBSCRIBE with the packet id 0',
    5,
    encode({ first: 0x82, fields: [id(0), byte(0), text('a'), byte(0)] }),
    0x81,
  ],
  ['UNSUBSCRIBE without filters', 4, encode({ first: 0xa2, fields: [id(1)] }), 0],
  ['UNSUBSCRIBE without filters', 5, encode({ first: 0xa2, fields: [id(1), byte(0)] }), 0x82],
  ['PUBLISH of QoS 0 with DUP', 4, encode({ first: 0x38, fields: [text('a'), RAW] }), 0],
  ['PUBLISH of QoS 0 with DUP', 5, encode({ first: 0x38, fields: [text('a'), byte(0)] }), 0x81],
  ['PINGREQ with a body', 4, encode({ first: 0xc0, fields: [RAW] }), 0],
  ['PINGREQ with a body', 5, encode({ first: 0xc0, fields: [RAW] }), 0x81],
];

test.each(BAD_PACKETS)(
  '%s ends the connection, protocol version %i',
  async (_, version, packet, code) => {
    const { port, writer } = await startTestBroker();
    const device = await RawDevice.connect(port, version);
    device.sendBytes(packet);
    await device.untilClosed();
    const said = device.packets.slice(1);
    expect(said).toMatchObject(version === 5 ? [{ cmd: 'disconnect', reasonCode: code }] : []);
    expect(writer.values()).toEqual([]);
  },
);

test('PUBREC for nothing that is under way is answered with "packet id not found"', async () => {
  const { port } = await startTestBroker();
  const device = await RawDevice.connect(port, 5);
  device.send({ cmd: 'pubrec', messageId: 77 });
  await device.until(() => device.last('pubrel') !== undefined);
  expect(device.last('pubrel')).toMatchObject({ messageId: 77, reasonCode: 0x92 });
});

test.each([
  [4, []],
  [10, [{ cmd: 'connack', reasonCode: 0x95 }]],
])('who takes packets of %i bytes is sent no longer CONNACK', async (maximumPacketSize, said) => {
  const { port } = await startTestBroker();
  const device = await RawDevice.dial(port, 5);
  device.send(device.connectPacket({ properties: { maximumPacketSize } }));
  await device.untilClosed();
  expect(device.packets).toMatchObject(said);
});

test('no answer is longer than the device takes', async () => {
  const { port } = await startTestBroker();
  const properties = { maximumPacketSize: 40 };
  const device = await RawDevice.connect(port, 5, { properties });
  const subscriptions = Array.from({ length: 50 }, (_, at) => ({
    topic: `a/${at}`,
    qos: 0 as const,
  }));
  device.send({ cmd: 'subscribe', messageId: 1, subscriptions });
  await device.ping();
  expect(device.packets.map(({ cmd }) => cmd)).toEqual(['connack', 'pingresp']);
});
