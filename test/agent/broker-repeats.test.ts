import { afterEach, describe, expect, test } from 'vitest';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';

afterEach(stopTestBrokers);

test('a central takes identities over MQTT 5 and drops repeats', async () => {
  const { writer, port } = await startTestBroker({ ingest: { central: true } });
  const device = await RawDevice.connect(port, 5);
  const userProperties = { 'gatelog.id': 'gw/0123456789abcdef/telemetry/2/5', 'gatelog.ts': '77' };
  device.send(
    device.publish('up', 'v', 1, 1, { properties: { userProperties } }),
    device.publish('up', 'v', 1, 2, { properties: { userProperties } }),
  );
  await device.until(() => device.ids('puback').length === 2);
  expect(writer.records).toMatchObject([{ timestampMs: 77, sequence: 5 }]);
});

describe('a central says of a repeat what it has last', () => {
  const id = (offset: number): { userProperties: Record<string, string> } => ({
    userProperties: { 'gatelog.id': `gw/0123456789abcdef/telemetry/2/${offset}` },
  });

  async function answers(
    options: Record<string, unknown>,
    qos: 1 | 2 = 1,
  ): Promise<readonly (string | undefined)[]> {
    const { port } = await startTestBroker({ ingest: { central: true } });
    const device = await RawDevice.connect(port, 5, options);
    const name = qos === 1 ? 'puback' : 'pubrec';
    const offsets = [5, 1005, 7, 1006, 1006];
    device.send(
      ...offsets.map((offset, at) =>
        device.publish('up', 'v', qos, at + 1, { properties: id(offset) }),
      ),
    );
    await device.until(() => device.ids(name).length === offsets.length);
    expect(device.ids(name)).toEqual([1, 2, 3, 4, 5]);
    return lastsOf(device, name);
  }

  test.each([1, 2] as const)('in its answer, in order with the others, at QoS %i', async (qos) => {
    expect(await answers({}, qos)).toEqual([undefined, undefined, '1005', undefined, '1006']);
  });

  test('not to who wants no such properties', async () => {
    const silent = { properties: { requestProblemInformation: false } };
    expect(await answers(silent)).toEqual(Array.from({ length: 5 }));
  });

  test('once more to who sends it once more under the packet id that it has open', async () => {
    const { port } = await startTestBroker({ ingest: { central: true } });
    const device = await RawDevice.connect(port, 5);
    const send = (offset: number, packetId: number, dup = false): void =>
      device.send(device.publish('up', 'v', 2, packetId, { dup, properties: id(offset) }));
    send(9, 1);
    send(4, 2);
    await device.until(() => device.ids('pubrec').length === 2);
    send(9, 1, true);
    send(4, 2, true);
    await device.until(() => device.ids('pubrec').length === 4);
    expect(lastsOf(device, 'pubrec')).toEqual([undefined, '9', undefined, '9']);
    device.send({ cmd: 'pubrel', messageId: 2 });
    await device.until(() => device.ids('pubcomp').length === 1);
    send(10, 2);
    await device.until(() => device.ids('pubrec').length === 5);
    expect(lastsOf(device, 'pubrec').at(-1)).toBeUndefined();
  });
});

function lastsOf(device: RawDevice, name: 'puback' | 'pubrec'): (string | undefined)[] {
  const found = device.packets.filter(({ cmd }) => cmd === name);
  return found.map((one) => {
    const { properties } = one as { properties?: { userProperties?: Record<string, string> } };
    return properties?.userProperties?.['gatelog.last'];
  });
}
