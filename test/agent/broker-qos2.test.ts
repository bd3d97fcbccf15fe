import { afterEach, describe, expect, test } from 'vitest';
import { GatelogError } from '../../src/errors.ts';
import { DEFAULT_CLIENT_LIMITS } from '../../src/client-limits.ts';
import { LIMITS } from '../../src/limits.ts';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { MortalSpace } from '../support/mortal-space.ts';
import { RawDevice } from '../support/mqtt-raw.ts';
import { memorySessions } from '../support/session-rig.ts';

afterEach(stopTestBrokers);

/** A session that outlives its connection, in each version's words. */
function lasting(version: 4 | 5): Record<string, unknown> {
  return version === 5
    ? { clean: false, properties: { sessionExpiryInterval: 600 } }
    : { clean: false };
}

describe.each([4, 5] as const)('QoS 2, protocol version %i', (version) => {
  test('PUBREC after the record is durable, PUBCOMP at once; logged once', async () => {
    const { writer, port } = await startTestBroker();
    writer.hold();
    const device = await RawDevice.connect(port, version);
    device.send(device.publish('a', 'x', 2, 5));
    await device.ping();
    expect(device.ids('pubrec')).toEqual([]);
    writer.release();
    await device.until(() => device.ids('pubrec').length === 1);
    device.send({ cmd: 'pubrel', messageId: 5 });
    await device.until(() => device.ids('pubcomp').length === 1);
    expect(writer.values()).toEqual(['x']);
  });

  test('a resend before PUBREL is not logged again, even while the first waits', async () => {
    const { writer, port } = await startTestBroker();
    writer.hold();
    const device = await RawDevice.connect(port, version);
    device.send(device.publish('a', 'x', 2, 5), device.publish('a', 'x', 2, 5, { dup: true }));
    await device.ping();
    writer.resume();
    await device.until(() => device.ids('pubrec').length === 2);
    device.send(device.publish('a', 'x', 2, 5, { dup: true }));
    await device.until(() => device.ids('pubrec').length === 3);
    expect(writer.values()).toEqual(['x']);
  });

  test('after PUBREL the packet id is free for a new message', async () => {
    const { writer, port } = await startTestBroker();
    const device = await RawDevice.connect(port, version);
    for (const text of ['one', 'two']) {
      device.send(device.publish('a', text, 2, 5));
      const before = device.ids('pubcomp').length;
      await device.until(() => device.ids('pubrec').length === before + 1);
      device.send({ cmd: 'pubrel', messageId: 5 });
      await device.until(() => device.ids('pubcomp').length === before + 1);
    }
    expect(writer.values()).toEqual(['one', 'two']);
  });

  test('a resend after a reconnect of a lasting session is known', async () => {
    const { writer, port } = await startTestBroker();
    writer.hold();
    const device = await RawDevice.connect(port, version, lasting(version));
    device.send(device.publish('a', 'x', 2, 5));
    await device.ping();
    device.close();
    const again = await RawDevice.connect(port, version, lasting(version));
    again.send(again.publish('a', 'x', 2, 5, { dup: true }));
    await again.ping();
    expect(again.ids('pubrec')).toEqual([]);
    writer.resume();
    await again.until(() => again.ids('pubrec').length === 1);
    expect(writer.values()).toEqual(['x']);
  });

  test('a lasting session is said to be present, also without subscriptions', async () => {
    const { port, broker } = await startTestBroker();
    const present = async (fields: Record<string, unknown>): Promise<unknown> => {
      const device = await RawDevice.connect(port, version, fields);
      device.close();
      await expect.poll(() => broker.counters().connections).toBe(0);
      return device.last('connack')?.['sessionPresent'];
    };
    expect(await present(lasting(version))).toBe(false);
    expect(await present(lasting(version))).toBe(true);
    expect(await present({ clean: true })).toBe(false);
    expect(await present(lasting(version))).toBe(false);
    expect(await present(lasting(version))).toBe(true);
  });

  test('a session that begins anew has no memory of packet ids', async () => {
    const { writer, port, broker } = await startTestBroker();
    const device = await RawDevice.connect(port, version, lasting(version));
    device.send(device.publish('a', 'old', 2, 5));
    await device.until(() => device.ids('pubrec').length === 1);
    device.close();
    await expect.poll(() => broker.counters().connections).toBe(0);
    const fresh = await RawDevice.connect(port, version, { clean: true });
    fresh.send(fresh.publish('a', 'new', 2, 5));
    await fresh.until(() => fresh.ids('pubrec').length === 1);
    expect(writer.values()).toEqual(['old', 'new']);
  });

  test('a message whose append failed is not taken for a repeat', async () => {
    const { writer, port } = await startTestBroker();
    writer.fail();
    const device = await RawDevice.connect(port, version, lasting(version));
    device.send(device.publish('a', 'x', 2, 5));
    await device.untilClosed();
    writer.mend();
    const again = await RawDevice.connect(port, version, lasting(version));
    again.send(again.publish('a', 'x', 2, 5, { dup: true }));
    await again.until(() => again.ids('pubrec').length === 1);
    expect(writer.values()).toEqual(['x']);
  });

  test('nor is one that the log refused by throwing', async () => {
    const { writer, port } = await startTestBroker();
    const append = writer.appendOnce.bind(writer);
    writer.appendOnce = () => {
      throw new GatelogError('STORE_CLOSED', 'the log is closed');
    };
    const device = await RawDevice.connect(port, version, lasting(version));
    device.send(device.publish('a', 'x', 2, 5));
    await device.untilClosed();
    expect(device.last('disconnect')?.['reasonCode']).toBe(version === 5 ? 0x83 : undefined);
    writer.appendOnce = append;
    const again = await RawDevice.connect(port, version, lasting(version));
    again.send(again.publish('a', 'x', 2, 5, { dup: true }));
    await again.until(() => again.ids('pubrec').length === 1);
    expect(writer.values()).toEqual(['x']);
  });

  test('open handshakes are bounded', async () => {
    const { port, broker } = await startTestBroker();
    const device = await RawDevice.connect(port, version);
    for (let id = 1; id <= DEFAULT_CLIENT_LIMITS.inFlight + 1; id++) {
      device.send(device.publish('a', 'x', 2, id));
    }
    await device.untilClosed();
    expect(device.last('disconnect')?.['reasonCode']).toBe(version === 5 ? 0x93 : undefined);
    expect(broker.counters().violations).toBe(1);
  });
});

test('a PUBREL that nobody waits for: 0x92 in MQTT 5, a plain PUBCOMP before', async () => {
  const { port } = await startTestBroker();
  const five = await RawDevice.connect(port, 5, { clientId: 'five' });
  five.send({ cmd: 'pubrel', messageId: 9 });
  await five.until(() => five.ids('pubcomp').length === 1);
  expect(five.last('pubcomp')?.['reasonCode']).toBe(0x92);
  const four = await RawDevice.connect(port, 4, { clientId: 'four' });
  four.send({ cmd: 'pubrel', messageId: 9 });
  await four.until(() => four.ids('pubcomp').length === 1);
  expect(four.ids('pubcomp')).toEqual([9]);
});

test('sessions are bounded; the one that is away longest is ended', async () => {
  const store = await memorySessions();
  for (let index = 0; index < LIMITS.mqttSessions; index++) {
    const session = store.ensure(`client-${index}`);
    if (index === 5 || index === 6) session.left = index;
  }
  store.ensure('new');
  expect(store.session('client-5')).toBeUndefined();
  expect(store.session('client-6')).toBeDefined();
  expect(store.size).toBe(LIMITS.mqttSessions);
});

test('a connection that outlives its session leaves nothing behind', async () => {
  const space = new MortalSpace();
  const { writer, port } = await startTestBroker({ keep: { space } });
  const old = await RawDevice.connect(port, 4, lasting(4));
  old.send(old.publish('a', 'x', 2, 1));
  await old.until(() => old.ids('pubrec').length === 1);
  await RawDevice.connect(port, 4, { clean: true });
  await expect.poll(() => old.closed).toBe(true);
  expect([...writer.producers.startingWith('~')]).toEqual([]);
  await stopTestBrokers();
  expect([...space.disk.keys()]).toEqual([]);
});
