import { afterEach, describe, expect, test } from 'vitest';
import { IngestGate } from '../../src/agent/ingest.ts';
import { startBroker } from '../../src/agent/broker.ts';
import { decodeHeaders } from '../../src/headers.ts';
import { DEFAULT_CLIENT_LIMITS } from '../../src/client-limits.ts';
import { LIMITS } from '../../src/limits.ts';
import type { Loss } from '../../src/loss.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { listenAt } from '../support/listen.ts';
import { MemoryWriter } from '../support/memory-writer.ts';
import { ingestOptions, startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';

afterEach(stopTestBrokers);

describe.each([3, 4, 5] as const)('acknowledgements, protocol version %i', (version) => {
  test('no PUBACK before the record is durable, then all in order of arrival', async () => {
    const { writer, port } = await startTestBroker();
    writer.hold();
    const device = await RawDevice.connect(port, version);
    device.send(...[1, 2, 3].map((id) => device.publish('a/b', `m${id}`, 1, id)));
    await device.ping();
    expect(writer.waiting).toBe(3);
    expect(device.ids('puback')).toEqual([]);
    writer.release(2);
    await device.until(() => device.ids('puback').length === 2);
    expect(device.ids('puback')).toEqual([1, 2]);
    writer.release();
    await device.until(() => device.ids('puback').length === 3);
    expect(device.ids('puback')).toEqual([1, 2, 3]);
    expect(writer.values()).toEqual(['m1', 'm2', 'm3']);
  });

  test('messages that are not logged wait their turn behind those that are', async () => {
    const { writer, port } = await startTestBroker({
      ingest: { routes: [{ match: 'log/#', topic: 'telemetry', key: '{topic}' }] },
    });
    writer.hold();
    const device = await RawDevice.connect(port, version);
    device.send(
      device.publish('live', 'x', 1, 1),
      device.publish('log/a', 'x', 1, 2),
      device.publish('live', 'x', 1, 3),
      device.publish('log/b', 'x', 2, 4),
      device.publish('live', 'x', 1, 5),
    );
    await device.ping();
    expect(device.ids('puback')).toEqual([1]);
    writer.release(2); // log/a and what waited behind it
    await device.until(() => device.ids('puback').length === 3);
    expect(
      device.packets.filter((one) => one.cmd.startsWith('pub')).map((one) => one.messageId),
    ).toEqual([1, 2, 3]);
    writer.release();
    await device.until(() => device.ids('puback').length === 4);
    const order = device.packets.filter((one) => one.cmd === 'puback' || one.cmd === 'pubrec');
    expect(order.map((one) => one.messageId)).toEqual([1, 2, 3, 4, 5]);
  });

  test('a failed append ends the connection without an acknowledgement', async () => {
    const { writer, port, broker } = await startTestBroker();
    writer.hold();
    const device = await RawDevice.connect(port, version);
    device.send(device.publish('a/b', 'kept', 1, 7), device.publish('a/b', 'kept', 2, 8));
    await device.ping();
    writer.fail();
    await device.untilClosed();
    expect(device.ids('puback')).toEqual([]);
    expect(device.ids('pubrec')).toEqual([]);
    expect(device.last('disconnect')?.['reasonCode']).toBe(version === 5 ? 0x97 : undefined);
    expect(broker.counters().failed).toBe(2);
    writer.mend();
    writer.resume();
    const again = await RawDevice.connect(port, version);
    again.send(again.publish('a/b', 'kept', 1, 7, { dup: true }));
    await again.until(() => again.ids('puback').length === 1);
    expect(writer.values()).toEqual(['kept']);
  });

  test('QoS 0 messages that fail are counted in the ledger, and the connection goes on', async () => {
    const told: Loss[] = [];
    const { writer, port, broker, gate } = await startTestBroker({
      ingest: { ledger: { record: async (losses) => void told.push(...losses) } },
    });
    writer.hold();
    const device = await RawDevice.connect(port, version);
    device.send(device.publish('a/b', 'first', 0), device.publish('a/b', 'kept', 0));
    await device.ping();
    writer.release(1);
    writer.fail();
    writer.resume();
    device.send(device.publish('a/c', 'lost too', 0));
    await expect.poll(() => broker.counters().dropped).toBe(2);
    writer.mend();
    device.send(device.publish('a/b', 'after', 1, 9));
    await device.until(() => device.ids('puback').length === 1);
    expect(writer.values()).toEqual(['first', 'after']);
    expect(broker.counters()).toMatchObject({ failed: 0, dropped: 2, connections: 1 });
    await gate.close();
    expect(told).toMatchObject([
      {
        topic: 'telemetry',
        partition: undefined,
        records: 2,
        bytes: 12,
        reason: 'pressure',
        detail: 'QoS 0 messages came while the disk was full',
      },
    ]);
  });

  test('what was durable before the failure is acknowledged before the connection ends', async () => {
    const { writer, port } = await startTestBroker();
    writer.hold();
    const device = await RawDevice.connect(port, version);
    device.send(device.publish('a', 'one', 1, 1), device.publish('a', 'two', 1, 2));
    await device.ping();
    writer.release(1);
    writer.fail();
    await device.untilClosed();
    expect(device.ids('puback')).toEqual([1]);
  });

  test('QoS 0 on a logged topic is appended; nobody waits', async () => {
    const { writer, port } = await startTestBroker();
    writer.hold();
    const device = await RawDevice.connect(port, version);
    device.send(device.publish('a', 'zero'), device.publish('a', 'zero-2'));
    await device.ping();
    expect(writer.waiting).toBe(2);
    writer.release();
    expect(writer.values()).toEqual(['zero', 'zero-2']);
  });

  test('messages sent right behind CONNECT, in the same segment, are taken', async () => {
    const { writer, port } = await startTestBroker();
    const device = await RawDevice.dial(port, version);
    device.send(
      device.connectPacket(),
      device.publish('a', 'early-1', 1, 1),
      device.publish('a', 'early-2', 1, 2),
    );
    await device.until(() => device.ids('puback').length === 2);
    expect(device.packets[0]?.cmd).toBe('connack');
    expect(writer.values()).toEqual(['early-1', 'early-2']);
  });
});

test('the append error of an MQTT 5 device is told apart: a full disk, or else', async () => {
  const { writer, port } = await startTestBroker();
  writer.fail(new Error('the disk went away'));
  const device = await RawDevice.connect(port, 5);
  device.send(device.publish('a', 'x', 1, 1));
  await device.untilClosed();
  expect(device.last('disconnect')?.['reasonCode']).toBe(0x83);
});

test('a record keeps payload bytes and MQTT 5 properties, user properties in order', async () => {
  const { writer, port } = await startTestBroker();
  const device = await RawDevice.connect(port, 5);
  const payload = Buffer.from([0, 255, 10, 13, 0x7b]);
  const property = (name: string, value: string): Buffer =>
    Buffer.concat([
      Buffer.from([0x26, 0, name.length]),
      Buffer.from(name),
      Buffer.from([0, value.length]),
      Buffer.from(value),
    ]);
  const properties = Buffer.concat([
    Buffer.from([0x01, 1, 0x03, 0, 2, 0x63, 0x74, 0x08, 0, 1, 0x72, 0x09, 0, 2, 0, 255]),
    property('b', '1'),
    property('a', '2'),
    property('b', '3'),
  ]);
  const body = Buffer.concat([
    Buffer.from([0, 3, 0x61, 0x2f, 0x62, 0, 9, properties.length]),
    properties,
    payload,
  ]);
  device.sendBytes(Buffer.concat([Buffer.from([0x33, body.length]), body]));
  await device.until(() => device.ids('puback').length === 1);
  const [record] = writer.records;
  expect(Buffer.from(record?.value ?? [])).toEqual(payload);
  const headers = decodeHeaders(record?.headers ?? new Uint8Array());
  expect(
    headers.map(({ key, value }) => [key, Buffer.from(value ?? []).toString('latin1')]),
  ).toEqual([
    ['mqtt.topic', 'a/b'],
    ['mqtt.qos', '1'],
    ['mqtt.retain', '1'],
    ['mqtt.content-type', 'ct'],
    ['mqtt.response-topic', 'r'],
    ['mqtt.correlation-data', '\0ÿ'],
    ['mqtt.payload-format', '1'],
    ['b', '1'],
    ['a', '2'],
    ['b', '3'],
  ]);
});

test('a payload that comes in many pieces, among other packets', async () => {
  const { writer, port } = await startTestBroker();
  const device = await RawDevice.connect(port);
  const large = Buffer.alloc(300_000, 'abcdefg');
  const bytes = Buffer.concat([
    device.bytes(device.publish('a', 'before', 1, 1)),
    device.bytes(device.publish('a', large, 1, 2)),
    device.bytes(device.publish('a', 'after', 1, 3)),
  ]);
  for (let at = 0; at < bytes.length; at += 50_001) {
    device.sendBytes(bytes.subarray(at, at + 50_001));
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
  await device.until(() => device.ids('puback').length === 3);
  expect(writer.records.map((record) => record.value?.length)).toEqual([6, 300_000, 5]);
  expect(Buffer.from(writer.records[1]?.value ?? []).equals(large)).toBe(true);
});

test('devices are slowed at the bound of waiting bytes, and go on when relieved', async () => {
  const { writer, port } = await startTestBroker();
  writer.hold();
  writer.boundBytes = LIMITS.pendingBytes;
  const device = await RawDevice.connect(port);
  const payload = Buffer.alloc(400_000, 'x');
  const total = 200;
  for (let id = 1; id <= total; id++) device.send(device.publish('a', payload, 1, id));
  // Stops growing by itself: everything is held, nothing is read any more.
  await expect.poll(() => writer.pendingBytes()).toBeGreaterThan(LIMITS.pendingBytes);
  const other = await RawDevice.connect(port, 4, { clientId: 'other' });
  expect(writer.pendingBytes()).toBeLessThan(LIMITS.pendingBytes + 2_000_000);
  expect(device.socket.writableLength).toBeGreaterThan(0);
  writer.resume();
  await device.until(() => device.ids('puback').length === total);
  expect(device.ids('puback')).toEqual(Array.from({ length: total }, (_, index) => index + 1));
  other.send(other.publish('a', 'x', 1, 1));
  await other.until(() => other.ids('puback').length === 1);
});

test('acknowledgements that one device waits for are bounded', async () => {
  const { writer, port } = await startTestBroker();
  writer.hold();
  const device = await RawDevice.connect(port);
  const total = 60_000;
  const all = Array.from({ length: total }, (_, index) =>
    device.bytes(device.publish('a', '', 1, index + 1)),
  );
  device.sendBytes(Buffer.concat(all));
  const other = await RawDevice.connect(port, 4, { clientId: 'other' });
  for (let turn = 0; turn < 100; turn++) await other.ping();
  const chunk = Math.ceil(65_536 / (all[0]?.length ?? 1));
  expect(writer.waiting).toBeGreaterThanOrEqual(LIMITS.pendingAcks);
  expect(writer.waiting).toBeLessThan(LIMITS.pendingAcks + 3 * chunk);
  writer.resume();
  await device.until(() => device.ids('puback').length === total);
  expect(device.ids('puback').at(-1)).toBe(total);
});

test('a $SYS topic is nobody’s to publish; other $ topics are live only', async () => {
  const { writer, port, broker } = await startTestBroker();
  const five = await RawDevice.connect(port, 5, { clientId: 'five' });
  five.send(five.publish('$SYS/x', 'x', 1, 1), five.publish('$other/x', 'x', 1, 2));
  await five.until(() => five.ids('puback').length === 2);
  expect(five.packets.slice(1)).toMatchObject([
    { cmd: 'puback', messageId: 1, reasonCode: 0x87 },
    { cmd: 'puback', messageId: 2, reasonCode: 0 },
  ]);
  const four = await RawDevice.connect(port, 4, { clientId: 'four' });
  four.send(four.publish('$SYS/x', 'x', 1, 1), four.publish('$SYS/x', 'x'));
  await four.until(() => four.ids('puback').length === 1);
  await four.ping();
  expect(writer.records).toEqual([]);
  expect(broker.counters()).toMatchObject({ refused: 3, unrouted: 1 });
});

test('a refusal waits its turn behind messages that are to be logged', async () => {
  const { writer, port } = await startTestBroker();
  writer.hold();
  const device = await RawDevice.connect(port, 5);
  device.send(
    device.publish('a', 'x', 1, 1),
    device.publish('$SYS/x', 'x', 2, 2),
    device.publish('a', 'x', 1, 3),
  );
  await device.ping();
  expect(device.ids('pubrec')).toEqual([]);
  writer.resume();
  await device.until(() => device.ids('puback').length === 2);
  const acks = device.packets.filter((one) => one.cmd === 'puback' || one.cmd === 'pubrec');
  expect(acks).toMatchObject([
    { messageId: 1, reasonCode: 0 },
    { messageId: 2, reasonCode: 0x87 },
    { messageId: 3, reasonCode: 0 },
  ]);
});

test('topic aliases (MQTT 5)', async () => {
  const { writer, port } = await startTestBroker();
  const device = await RawDevice.connect(port, 5);
  expect(device.last('connack')?.['properties']).toMatchObject({
    topicAliasMaximum: LIMITS.topicAliases,
    receiveMaximum: DEFAULT_CLIENT_LIMITS.inFlight,
    maximumPacketSize: LIMITS.mqttPacketBytes,
  });
  const alias = (topicAlias: number): Record<string, unknown> => ({ properties: { topicAlias } });
  device.send(
    device.publish('long/topic/name', 'one', 1, 1, alias(3)),
    device.publish('', 'two', 1, 2, alias(3)),
    device.publish('other', 'three', 1, 3, alias(3)),
    device.publish('', 'four', 1, 4, alias(3)),
  );
  await device.until(() => device.ids('puback').length === 4);
  expect(writer.records.map((record) => Buffer.from(record.key ?? []).toString())).toEqual([
    'long/topic/name',
    'long/topic/name',
    'other',
    'other',
  ]);
  device.send(device.publish('', 'x', 1, 5, alias(9)));
  await device.untilClosed();
  expect(device.last('disconnect')?.['reasonCode']).toBe(0x82);
});

test('counters tell connections and bytes', async () => {
  const { broker, port } = await startTestBroker();
  const device = await RawDevice.connect(port);
  device.send(device.publish('a', '12345', 1, 1));
  await device.until(() => device.ids('puback').length === 1);
  expect(broker.counters()).toMatchObject({
    connections: 1,
    connectionsTotal: 1,
    received: 1,
    receivedBytes: 5,
    appended: { fsync: 1, os: 0, none: 0 },
  });
  device.close();
  await expect.poll(() => broker.counters().connections).toBe(0);
});

test('an address that can’t be listened on: LISTEN_FAILED; nonsense: CONFIG_INVALID', async () => {
  const { url } = await startTestBroker();
  const gate = new IngestGate(ingestOptions(new MemoryWriter()));
  const options = {
    gate,
    clock: systemClock,
    logger: silentLogger,
    users: [],
    maxPacketBytes: 1000,
  };
  await expect(startBroker({ ...options, listen: [listenAt(url)] })).rejects.toMatchObject({
    code: 'LISTEN_FAILED',
    message: expect.stringContaining(`can't listen on ${url}`),
  });
  await expect(
    startBroker({ ...options, listen: [listenAt('mqtt://127.0.0.1:0'), listenAt('http://x')] }),
  ).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringMatching(
      /^"http:\/\/x" is no address to listen on; expected an address such as mqtt:/u,
    ),
  });
});
