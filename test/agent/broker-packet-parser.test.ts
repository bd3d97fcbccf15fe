import mqttPacket from 'mqtt-packet';
import { expect, test, vi } from 'vitest';
import { PacketParser } from '../../src/agent/broker-packet-parser.ts';

const CONNECT = {
  cmd: 'connect',
  protocolId: 'MQTT',
  protocolVersion: 5,
  clientId: 'press-1',
  clean: true,
  keepalive: 0,
  username: 'press',
  password: Buffer.from('planted'),
} as const;

const SUBSCRIBE = {
  cmd: 'subscribe',
  messageId: 7,
  subscriptions: [{ topic: 'a/#', qos: 1, nl: true }],
} as const;

const five = { protocolVersion: 5 } as const;
const bytesOf = (packet: object, version: 4 | 5): Buffer =>
  mqttPacket.generate(packet as never, { protocolVersion: version });

test('packets of connections with different versions are read one after the other', () => {
  const parser = new PacketParser();
  expect(parser.read(bytesOf(CONNECT, 5), undefined)).toMatchObject({ cmd: 'connect' });
  const old = { ...SUBSCRIBE, subscriptions: [{ topic: 'b', qos: 2 }] };
  for (let round = 0; round < 2; round++) {
    expect(parser.read(bytesOf(SUBSCRIBE, 5), five)).toMatchObject(SUBSCRIBE);
    expect(parser.read(bytesOf(old, 4), { protocolVersion: 4 })).toMatchObject(old);
  }
});

test('what is left of a bad packet is nothing to the next', () => {
  const parser = new PacketParser();
  const packet = bytesOf(SUBSCRIBE, 5);
  const cut = packet.subarray(0, packet.length - 3);
  const lying = Buffer.concat([packet.subarray(0, -3), Buffer.from([0, 1, 0x40])]);
  const bad = Buffer.from([0x80, 0]); // flags that SUBSCRIBE does not have
  for (const bytes of [cut, lying, bad]) {
    const read = parser.read(bytes, five);
    expect(read === undefined || read instanceof Error).toBe(true);
    expect(parser.read(packet, five)).toMatchObject(SUBSCRIBE);
  }
});

test('CONNECT with its password is not kept', () => {
  const made = vi.spyOn(mqttPacket, 'parser');
  const parser = new PacketParser();
  const inner = made.mock.results[0]?.value as object;
  made.mockRestore();
  expect(parser.read(bytesOf(CONNECT, 5), undefined)).toMatchObject({ clientId: 'press-1' });
  expect(JSON.stringify(inner)).not.toContain(JSON.stringify(CONNECT.password));
  expect(JSON.stringify(inner)).not.toContain('press');
});
