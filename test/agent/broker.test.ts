import { afterEach, describe, expect, test } from 'vitest';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';

afterEach(stopTestBrokers);

describe.each([4, 5] as const)('acknowledgements, MQTT version %i', (version) => {
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

  test('a failed append ends the connection without an acknowledgement', async () => {
    const { writer, port, broker } = await startTestBroker();
    writer.hold();
    const device = await RawDevice.connect(port, version);
    device.send(device.publish('a/b', 'm', 1, 7));
    await device.ping();
    writer.fail();
    await device.untilClosed();
    expect(device.ids('puback')).toEqual([]);
    expect(device.last('disconnect')?.['reasonCode']).toBe(version === 5 ? 0x97 : undefined);
    expect(broker.counters().failed).toBe(1);
  });
});
