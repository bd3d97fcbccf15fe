import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';

afterEach(stopTestBrokers);

describe.each([4, 5] as const)('graceful stop, protocol version %i', (version) => {
  test('what was accepted is settled and acknowledged, then the connection ends', async () => {
    const { broker, writer, port } = await startTestBroker();
    writer.hold();
    const device = await RawDevice.connect(port, version);
    device.send(...[1, 2, 3].map((id) => device.publish('a', `m${id}`, 1, id)));
    await device.ping();
    const stopped = broker.stop();
    writer.release();
    await stopped;
    await device.untilClosed();
    expect(device.ids('puback')).toEqual([1, 2, 3]);
    expect(device.packets.at(-1)).toMatchObject(
      version === 5 ? { cmd: 'disconnect', reasonCode: 0x8b } : { cmd: 'puback', messageId: 3 },
    );
    expect(broker.counters().connections).toBe(0);
  });

  test('nothing new is taken once stopping began', async () => {
    const { broker, writer, port } = await startTestBroker();
    writer.hold();
    const device = await RawDevice.connect(port, version);
    device.send(device.publish('a', 'before', 1, 1));
    await device.ping();
    const stopped = broker.stop();
    device.send(device.publish('a', 'after', 1, 2));
    const late = connect({ port, host: '127.0.0.1' });
    const refused = new Promise((resolve) => {
      late.once('error', resolve);
      late.once('close', resolve);
    });
    await refused;
    writer.release();
    await stopped;
    await device.untilClosed();
    expect(device.ids('puback')).toEqual([1]);
    expect(writer.values()).toEqual(['before']);
  });

  test('a stop is not the device’s death: its will is not sent', async () => {
    const { broker, writer, port } = await startTestBroker();
    const will = { topic: 'wills/1', payload: Buffer.from('gone'), qos: 1, retain: false };
    const device = await RawDevice.connect(port, version, { will });
    await broker.stop();
    await device.untilClosed();
    expect(writer.records).toEqual([]);
  });
});

test('acknowledgements reach a device that has more to say', async () => {
  const { broker, writer, port } = await startTestBroker();
  writer.hold();
  const device = await RawDevice.connect(port);
  device.send(device.publish('a', 'x', 1, 1));
  await device.ping();
  const stopped = broker.stop();
  for (let id = 2; id < 200; id++) device.send(device.publish('a', Buffer.alloc(1000), 1, id));
  writer.release();
  await stopped;
  await device.untilClosed();
  expect(device.ids('puback')).toEqual([1]);
});

test('stopping ends within its bound when the log never answers and a peer never closes', async () => {
  const { broker, writer, port } = await startTestBroker();
  writer.hold();
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  await once(socket, 'connect');
  const device = await RawDevice.connect(port);
  device.send(device.publish('a', 'x', 1, 1));
  await device.ping();
  await broker.stop();
  await broker.stop(); // a second time does nothing
  await expect.poll(() => broker.counters().connections).toBe(0);
  expect(device.ids('puback')).toEqual([]);
  socket.destroy();
});

test('a broker without a connection stops, also before anything came', async () => {
  const { broker, port } = await startTestBroker();
  await broker.stop();
  await expect(RawDevice.dial(port)).rejects.toThrow('ECONNREFUSED');
});
