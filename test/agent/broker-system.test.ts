import { afterEach, expect, test } from 'vitest';
import type { IPublishPacket } from 'mqtt-packet';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';
import { SimClock } from '../support/sim-clock.ts';

/** What the broker tells of itself below `$SYS/broker/`. */
afterEach(stopTestBrokers);

function told(device: RawDevice): IPublishPacket[] {
  return device.packets.filter((packet): packet is IPublishPacket => packet.cmd === 'publish');
}

function values(packets: readonly IPublishPacket[]): Record<string, string> {
  return Object.fromEntries(
    packets.map(({ topic, payload }) => [topic.replace('$SYS/broker/', ''), payload.toString()]),
  );
}

async function ask(device: RawDevice, filter: string, messageId = 1): Promise<number> {
  device.send({ cmd: 'subscribe', messageId, subscriptions: [{ topic: filter, qos: 1 }] });
  await device.until(() => device.packets.some(({ cmd }) => cmd === 'suback'));
  await device.ping();
  const answer = device.packets.find((packet) => packet.cmd === 'suback');
  return answer?.cmd === 'suback' ? Number(answer.granted[0]) : -1;
}

test('whoever subscribes has them as retained messages, fresh as of then, at QoS 0', async () => {
  const { port, writer } = await startTestBroker({ sysIntervalMs: 60_000 });
  const device = await RawDevice.connect(port, 4, { clientId: 'device' });
  device.send(
    device.publish('a', 'hello', 1, 1),
    device.publish('kept', 'x', 0, 0, { retain: true }),
  );
  await device.until(() => device.packets.some(({ cmd }) => cmd === 'puback'));
  const ear = await RawDevice.connect(port, 4, { clientId: 'ear' });
  await ask(ear, '$SYS/#');
  await ear.until(() => told(ear).length >= 50);
  const packets = told(ear);
  expect(new Set(packets.map(({ retain, qos }) => `${retain} ${qos}`))).toEqual(
    new Set(['true 0']),
  );
  expect(values(packets)).toMatchObject({
    version: 'gatelog version 1.2.3',
    uptime: '0 seconds',
    'clients/connected': '2',
    'clients/total': '2',
    'clients/maximum': '2',
    'clients/disconnected': '0',
    'publish/messages/received': '2',
    'publish/bytes/received': '6',
    'messages/received': '5',
    'retained messages/count': '1',
    'subscriptions/count': '1',
    'load/publish/received/1min': '0.00',
  });
  expect(Number(values(packets)['bytes/received'])).toBeGreaterThan(40);
  expect(writer.records).toHaveLength(2);
});

test.each([
  ['#', 0],
  ['+/broker/version', 0],
  ['$SYS/broker/version', 1],
  ['$SYS/+/version', 1],
  ['$SYS/broker/load/publish/+/5min', 3],
  ['$SYS/nothing', 0],
])('the filter %s has %i of them', async (filter, count) => {
  const { port } = await startTestBroker({ sysIntervalMs: 60_000 });
  const ear = await RawDevice.connect(port, 4, { clientId: 'ear' });
  await ask(ear, filter);
  await ear.until(() => told(ear).length >= count);
  await ear.ping();
  expect(told(ear)).toHaveLength(count);
});

test('at each interval only what changed comes, and only to who asked for it', async () => {
  const clock = new SimClock();
  const { port } = await startTestBroker({ sysIntervalMs: 10_000, clock });
  const ear = await RawDevice.connect(port, 5, { clientId: 'ear' });
  const other = await RawDevice.connect(port, 5, { clientId: 'other' });
  await ask(other, '#');
  await ask(ear, '$SYS/broker/+');
  await clock.advance(10_000);
  await ear.until(() => told(ear).length >= 4);
  await clock.advance(10_000);
  await ear.until(() => told(ear).length >= 5);
  const live = told(ear).filter(({ retain }) => !retain);
  expect(live.map(({ topic, payload }) => `${topic} ${payload.toString()}`)).toEqual([
    '$SYS/broker/version gatelog version 1.2.3',
    '$SYS/broker/uptime 10 seconds',
    '$SYS/broker/uptime 20 seconds',
  ]);
  await other.ping();
  expect(told(other)).toEqual([]);
});

test('loads follow what goes on', async () => {
  const clock = new SimClock();
  const { port } = await startTestBroker({ sysIntervalMs: 10_000, clock });
  const device = await RawDevice.connect(port, 4, { clientId: 'device' });
  for (let at = 0; at < 60; at++) device.send(device.publish('a', 'x'));
  await device.ping();
  await clock.advance(10_000);
  const ear = await RawDevice.connect(port, 4, { clientId: 'ear' });
  await ask(ear, '$SYS/broker/load/publish/received/+');
  await ear.until(() => told(ear).length === 3);
  const loads = values(told(ear));
  const of = (span: string): number => Number(loads[`load/publish/received/${span}`]);
  expect(of('1min')).toBeGreaterThan(of('5min'));
  expect(of('1min')).toBeCloseTo(360 * (1 - Math.exp(-1 / 6)), 1);
});

test('where rules hold, one must allow it; where it is off, there is none', async () => {
  const users = [{ username: 'u', password: 'p' }];
  const deny = { publish: [], subscribe: [] };
  const rule = { users: ['u'], roles: undefined, publish: [], deny };
  const granted: (readonly [number, number])[] = [];
  for (const [subscribe, sysIntervalMs] of [
    [['a/#'], 1000],
    [['#'], 1000],
    [['$SYS/#'], 1000],
    [['$SYS/#'], undefined],
  ] as const) {
    const acl = [{ ...rule, subscribe: [...subscribe] }];
    const interval = sysIntervalMs === undefined ? {} : { sysIntervalMs };
    const { port } = await startTestBroker({ users, acl, ...interval });
    const login = { clientId: 'ear', username: 'u', password: Buffer.from('p') };
    const ear = await RawDevice.connect(port, 4, login);
    granted.push([await ask(ear, '$SYS/broker/version'), told(ear).length]);
  }
  expect(granted).toEqual([
    [128, 0],
    [128, 0],
    [1, 1],
    [1, 0],
  ]);
});

test('nothing else comes by $SYS/#: no shared message, and no names of clients', async () => {
  const { port } = await startTestBroker({ sysIntervalMs: 60_000 });
  const ear = await RawDevice.connect(port, 4, { clientId: 'ear' });
  await ask(ear, '$SYS/#');
  const member = await RawDevice.connect(port, 4, { clientId: 'member' });
  await ask(member, '$share/g/a');
  member.send(member.publish('a', 'secret', 1, 1));
  await member.until(() => told(member).length === 1);
  await RawDevice.connect(port, 4, { clientId: 'third' });
  await ear.ping();
  const foreign = told(ear).filter(({ topic }) => !topic.startsWith('$SYS/broker/'));
  expect(foreign.map(({ topic }) => topic)).toEqual([]);
});
