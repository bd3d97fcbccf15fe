import { EventEmitter } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Duplex, Writable } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import { afterEach, expect, test, vi } from 'vitest';
import { AckSender } from '../../src/agent/broker-ack-sender.ts';
import { ACK, ackCode, AckRound, REFUSED } from '../../src/agent/broker-acks.ts';
import type { AedesClient, Deliver } from '../../src/agent/broker-aedes.ts';
import { ProtocolEdge } from '../../src/agent/broker-edge.ts';
import { HOLD, Holds } from '../../src/agent/broker-holds.ts';
import { makeEntry } from '../../src/agent/password-entry.ts';
import { Rates } from '../../src/agent/broker-rates.ts';
import { HeldForDevices } from '../../src/agent/broker-send-window.ts';
import { SlowReaders } from '../../src/agent/broker-slow-readers.ts';
import { DEFAULT_CLIENT_LIMITS } from '../../src/client-limits.ts';
import { systemRandom } from '../../src/random.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { MortalSpace } from '../support/mortal-space.ts';
import { startTestBroker, stopTestBrokers, TELEMETRY } from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';
import {
  connectLasting,
  heard,
  payloads,
  publishFrom,
  subscribe,
} from '../support/mqtt-session.ts';
import { Traffic } from '../../src/agent/broker-traffic.ts';
import { SimClock } from '../support/sim-clock.ts';

/** Where the bounds and the rules of one part meet another part. */
afterEach(stopTestBrokers);

const LASTING = { clean: false, clientId: 'lasting' };

test('a lasting session keeps no filter that was refused beside one that was granted', async () => {
  const { port, broker } = await startTestBroker({ limits: { subscriptions: 2 } });
  const device = await RawDevice.connect(port, 4, LASTING);
  const topics = ['a', 'b', 'c', 'd'];
  const subscriptions = topics.map((topic) => ({ topic, qos: 1 as const }));
  device.send({ cmd: 'subscribe', messageId: 1, subscriptions });
  await device.until(() => device.ids('suback').length === 1);
  expect(device.last('suback')?.['granted']).toEqual([1, 1, 0x80, 0x80]);
  device.send({ cmd: 'disconnect' });
  await device.untilClosed();
  const publisher = await RawDevice.connect(port, 4, { clientId: 'publisher' });
  for (const [at, topic] of topics.entries())
    publisher.send(publisher.publish(topic, 'x', 1, at + 1));
  await publisher.until(() => publisher.ids('puback').length === topics.length);
  const one = broker.counters().queuedBytes / 2;
  const back = await RawDevice.connect(port, 4, LASTING);
  await back.ping();
  const got = back.packets
    .filter(({ cmd }) => cmd === 'publish')
    .map((packet) => packet as { topic?: string });
  expect(got.map(({ topic }) => topic)).toEqual(['a', 'b']);
  expect(one).toBeGreaterThan(0);
});

test('a shared subscription may have as many levels as any other', async () => {
  const { port } = await startTestBroker({ limits: { topicLevels: 3 } });
  const device = await RawDevice.connect(port, 5, { clientId: 's' });
  const subscriptions = [{ topic: '$share/g/a/+/c', qos: 1 as const }];
  device.send({ cmd: 'subscribe', messageId: 1, subscriptions });
  await device.until(() => device.ids('suback').length === 1);
  expect(device.last('suback')?.['granted']).toEqual([1]);
  device.send({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: ['$share/g/a/+/c'] });
  await device.until(() => device.last('unsuback') !== undefined);
  device.send({
    cmd: 'subscribe',
    messageId: 3,
    subscriptions: [{ topic: '$share/g/a/b/c/d', qos: 1 }],
  });
  await device.untilClosed();
});

test('a device with a session and rules is refused nothing that it did not ask for', async () => {
  const acl = [
    { publish: ['mine/#'], subscribe: ['mine/#'], deny: { publish: [], subscribe: [] } },
  ];
  const { port, broker } = await startTestBroker({ acl: acl as never });
  for (let times = 0; times < 2; times++) {
    const device = await RawDevice.connect(port, 4, LASTING);
    expect(device.last('connack')?.['sessionPresent']).toBe(times > 0);
    device.send({ cmd: 'disconnect' });
    await device.untilClosed();
  }
  expect(broker.counters().refused).toBe(0);
});

test('what all together owe sends nobody away who had owed something itself', async () => {
  const clock = new SimClock();
  const limits = {
    ...DEFAULT_CLIENT_LIMITS,
    messagesPerSecond: 10,
    totalBytesPerSecond: 1000,
    slowedMs: 5000,
  };
  const rates = new Rates(limits, clock);
  const told: string[] = [];
  const slowed = (name: string) => ({
    slow: () => {},
    goOn: () => void told.push(`${name} goes on`),
    touch: () => {},
    tooFast: () => void told.push(`${name} goes`),
  });
  const one = rates.of(slowed('one'));
  const other = rates.of(slowed('other'));
  for (let sent = 0; sent < 11; sent++) one?.took(1, 1);
  other?.took(1, 20_000);
  await clock.advance(60_000);
  expect(told.filter((what) => what.startsWith('one'))).toEqual(['one goes on']);
});

test('who does not read that it is refused is not read', () => {
  const socket = new Writable({ highWaterMark: 1024, write: () => {} });
  const client = { _paused: false, version: 5, resume: () => {} } as unknown as AedesClient;
  const holds = new Holds(client, { isOpen: true });
  const sender = new AckSender(new AckRound(), client, socket as never, holds);
  for (let id = 1; id < 1000; id++) sender.acknowledge(ackCode(ACK.puback, id) + REFUSED);
  expect(holds.has(HOLD.acks)).toBe(true);
});

test('who closes while its password is looked at holds neither a place nor a client id', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'gatelog-users-'));
  try {
    const usersFile = path.join(folder, 'users');
    const entry = await makeEntry(Buffer.from('x'), systemRandom);
    writeFileSync(usersFile, `press:${entry}\npump:${entry}\n`);
    const { port, broker } = await startTestBroker({ usersFile, maxConnectionsPerUser: 1 });
    const as = (username: string, clientId: string): Record<string, unknown> => ({
      username,
      password: Buffer.from('x'),
      clientId,
    });
    const hasty = await RawDevice.dial(port);
    hasty.send(hasty.connectPacket(as('press', 'one')));
    await setTimeout(5);
    hasty.socket.resetAndDestroy();
    await hasty.untilClosed();
    const pump = await RawDevice.connect(port, 4, as('pump', 'other'));
    pump.close();
    await expect.poll(() => broker.counters().connections).toBe(0);
    const press = await RawDevice.connect(port, 4, as('press', 'two'));
    expect(press.last('connack')?.['returnCode']).toBe(0);
    press.close();
    await expect.poll(() => broker.counters().connections).toBe(0);
    const other = await RawDevice.connect(port, 4, as('pump', 'one'));
    expect(other.last('connack')?.['returnCode']).toBe(0);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('what waits behind Receive Maximum leaves no faster than it is read, whatever is acknowledged', () => {
  const stream = new Duplex({ write: () => {}, read: () => {} });
  const parser = new EventEmitter();
  const fields = { receiveMaximum: 1, clean: true, version: 5, _parser: parser };
  const client = fields as unknown as AedesClient;
  const edge = new ProtocolEdge(
    {
      clock: new SimClock(),
      held: new HeldForDevices(1e9, 1e9, () => {}),
      keepAliveSeconds: undefined,
      giveUp: () => {},
      queueOf: () => undefined,
      forward: () => null,
      durable: async () => {},
      unsubscribed: () => {},
      traffic: new Traffic(),
      overlaps: { meantFor: () => undefined },
    },
    client,
    stream,
  );
  const payload = Buffer.alloc(10_000);
  const publish = { cmd: 'publish', topic: 'a', payload, qos: 1 as const };
  for (let id = 1; id <= 500; id++) {
    edge.write({ ...publish, messageId: id }, { protocolVersion: 5 });
  }
  for (let id = 1; id <= 500; id++) edge.handled({ cmd: 'puback', messageId: id });
  expect(stream.writableLength).toBeLessThan(10 * payload.length);
});

test('who reads its queue slowly is not taken for dead meanwhile', async () => {
  const caps = {
    queueBytes: 67_108_864,
    totalBytes: 67_108_864,
    retainedBytes: 1_048_576,
    onFull: 'refuse' as const,
  };
  const { port, broker } = await startTestBroker({
    sessionCaps: caps,
    // Queued whole: there is no log here to refer to.
    ingest: { topics: { telemetry: { ...TELEMETRY, durability: 'os' } } },
  });
  const lasting = { ...LASTING, keepalive: 1 };
  const first = await RawDevice.connect(port, 4, lasting);
  first.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'a', qos: 1 }] });
  await first.until(() => first.ids('suback').length === 1);
  first.send({ cmd: 'disconnect' });
  await first.untilClosed();
  const publisher = await RawDevice.connect(port, 4, { clientId: 'publisher' });
  const count = 200;
  const payload = Buffer.alloc(240_000);
  for (let id = 1; id <= count; id++) {
    publisher.send(publisher.publish('a', payload, 1, id));
    await publisher.until(() => publisher.ids('puback').length === id);
  }
  publisher.close();
  expect(broker.counters().notKept).toBe(0);
  const back = await RawDevice.connect(port, 4, lasting);
  const got = (): number => back.packets.filter(({ cmd }) => cmd === 'publish').length;
  // A second's worth of reading in four; pings as the device should send them.
  for (let round = 0; round < 8 && !back.closed; round++) {
    back.socket.pause();
    await setTimeout(300);
    back.send({ cmd: 'pingreq' });
    const before = got();
    back.socket.resume();
    await back.until(() => got() >= Math.min(before + 16, count));
  }
  back.socket.resume();
  await back.until(() => got() === count);
});

test('a retained message has no packet id of one that the session has under way', async () => {
  // aedes begins to count anywhere: here at each connection in the same place.
  const anywhere = vi.spyOn(Math, 'random').mockReturnValue(0.5);
  try {
    const { port } = await startTestBroker({ keep: { space: new MortalSpace() } });
    const ears = await connectLasting(port, 'ears');
    await subscribe(ears, { topic: 'a', qos: 1 });
    await publishFrom(port, 'a', ['1', '2']);
    await expect.poll(() => payloads(ears)).toEqual(['1', '2']);
    ears.close();
    const voice = await RawDevice.connect(port, 4, { clientId: 'voice' });
    for (const topic of ['r/1', 'r/2', 'r/3']) {
      voice.send(voice.publish(topic, topic, 1, 1, { retain: true }));
      await voice.ping();
    }
    const back = await connectLasting(port, 'ears');
    await subscribe(back, { topic: 'r/#', qos: 1 });
    await publishFrom(port, 'a', ['3', '4']);
    await expect.poll(() => payloads(back)).toHaveLength(7);
    expect(new Set(heard(back).map(({ messageId }) => messageId)).size).toBe(7);
  } finally {
    anywhere.mockRestore();
  }
});

test('nobody looks for slow readers when all of them have caught up', async () => {
  const clock = new SimClock();
  const after = vi.spyOn(clock, 'after');
  const readers = new SlowReaders({ clock, logger: silentLogger }, () => {});
  const conn = Object.assign(new EventEmitter(), { writableLength: 0 });
  const client = { id: 'one', conn, deliver0: () => {}, deliverQoS: () => {} };
  readers.watch(client as unknown as AedesClient);
  (client.deliver0 as Deliver)({ qos: 0, brokerId: 'b' }, () => {});
  await clock.advance(1000);
  after.mockClear();
  await clock.advance(60_000);
  expect(after).not.toHaveBeenCalled();
});
