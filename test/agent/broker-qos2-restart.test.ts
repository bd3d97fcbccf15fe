import { afterEach, describe, expect, test } from 'vitest';
import { MemoryWriter } from '../support/memory-writer.ts';
import { MortalSpace } from '../support/mortal-space.ts';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';

/** The crash cases of DECISIONS.md, "QoS 2 is taken in the commit of its record". */
afterEach(stopTestBrokers);

const LASTING = {
  4: { clientId: 'source', clean: false },
  5: { clientId: 'source', clean: false, properties: { sessionExpiryInterval: 600 } },
} as const;

describe.each([4, 5] as const)('QoS 2 through power cuts, protocol version %i', (version) => {
  let writer = new MemoryWriter();
  let space = new MortalSpace();

  async function begin(): Promise<RawDevice> {
    space.kill();
    space = new MortalSpace(space.disk);
    const { port } = await startTestBroker({ keep: { space }, writer });
    return RawDevice.connect(port, version, LASTING[version]);
  }

  async function fresh(): Promise<RawDevice> {
    writer = new MemoryWriter();
    space = new MortalSpace();
    return begin();
  }

  async function taken(device: RawDevice, text: string, id: number, dup = false): Promise<void> {
    const before = device.ids('pubrec').length;
    device.send(device.publish('a', text, 2, id, { dup }));
    await device.until(() => device.ids('pubrec').length === before + 1);
  }

  async function released(device: RawDevice, id: number): Promise<void> {
    const before = device.ids('pubcomp').length;
    device.send({ cmd: 'pubrel', messageId: id });
    await device.until(() => device.ids('pubcomp').length === before + 1);
  }

  test('a resend is known, over and over', async () => {
    let device = await fresh();
    await taken(device, 'x', 5);
    for (let round = 0; round < 3; round++) {
      device = await begin();
      expect(device.last('connack')?.['sessionPresent']).toBe(true);
      await taken(device, 'x', 5, true);
    }
    await released(device, 5);
    expect(writer.values()).toEqual(['x']);
  });

  test('what never reached the log is new', async () => {
    const device = await fresh();
    writer.hold();
    device.send(device.publish('a', 'x', 2, 5));
    await device.ping();
    writer = new MemoryWriter(); // what waited is gone with the memory
    const next = await begin();
    await taken(next, 'x', 5, true);
    expect(writer.values()).toEqual(['x']);
  });

  test.each([
    ['in the same life', false],
    ['after a start', true],
  ])(
    'a write that failed and arrived nevertheless is no second record, %s',
    async (_, restarts) => {
      const device = await fresh();
      const port = device.socket.remotePort ?? 0;
      writer.fail();
      device.send(device.publish('a', 'x', 2, 5));
      await device.untilClosed();
      writer.mend();
      const [name] = [...new Set(writer.refused.map((one) => one.producer))];
      writer.arrived();
      expect(name).toMatch(/^~qos2\/[0-9a-f]{16}\/0$/u);
      const next = restarts
        ? await begin()
        : await RawDevice.connect(port, version, LASTING[version]);
      await taken(next, 'x', 5, true);
      expect(writer.values()).toEqual(['x']);
    },
  );

  test('a released id is a new message, also with another’s mark in its slot', async () => {
    let device = await fresh();
    await taken(device, 'one', 5);
    await taken(device, 'other', 6);
    await released(device, 5);
    device = await begin();
    await taken(device, 'two', 5);
    device = await begin();
    await taken(device, 'two', 5, true);
    await taken(device, 'other', 6, true);
    await released(device, 5);
    await released(device, 6);
    expect([...writer.producers.startingWith('~')]).toEqual([]);
    await taken(device, 'three', 5);
    expect(writer.values()).toEqual(['one', 'other', 'two', 'three']);
    expect([...writer.producers.startingWith('~')]).toHaveLength(1);
  });

  test('PUBCOMP waits until the release is on the disk', async () => {
    let device = await fresh();
    await taken(device, 'one', 5);
    space.hold();
    device.send({ cmd: 'pubrel', messageId: 5 });
    await device.ping();
    expect(device.ids('pubcomp')).toEqual([]);
    device = await begin(); // and it was not
    await released(device, 5);
    expect(device.last('pubcomp')?.['reasonCode']).not.toBe(0x92);
    device = await begin();
    await taken(device, 'two', 5);
    expect(writer.values()).toEqual(['one', 'two']);
  });

  test('a log that lost its end knows no more, and no later message is taken for an older', async () => {
    let device = await fresh();
    await taken(device, 'one', 5);
    await released(device, 5);
    writer = new MemoryWriter();
    device = await begin();
    await taken(device, 'two', 5);
    device = await begin();
    await taken(device, 'two', 5, true);
    expect(writer.values()).toEqual(['two']);
  });

  test('a state database that is lost takes nothing for a repeat', async () => {
    let device = await fresh();
    await taken(device, 'one', 5);
    space.disk.clear();
    device = await begin();
    expect(device.last('connack')?.['sessionPresent']).toBe(false);
    await taken(device, 'two', 5);
    expect(writer.values()).toEqual(['one', 'two']);
    expect([...writer.producers.startingWith('~')]).toHaveLength(1);
  });

  test('sessions get it once, also where only the log had it', async () => {
    let device = await fresh();
    const earsOf = async (): Promise<RawDevice> => {
      const port = device.socket.remotePort ?? 0;
      return RawDevice.connect(port, 4, { clientId: 'ears', clean: false });
    };
    const heard = (ears: RawDevice): string[] =>
      ears.packets.flatMap((one) => (one.cmd === 'publish' ? [one.payload.toString()] : []));
    const ears = await earsOf();
    ears.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'a', qos: 2 }] });
    await ears.until(() => ears.ids('suback').length === 1);
    ears.close();
    await taken(device, 'queued', 5);
    space.hold();
    device.send(device.publish('a', 'logged', 2, 6));
    await expect.poll(() => writer.values()).toEqual(['queued', 'logged']);
    device = await begin();
    await taken(device, 'queued', 5, true);
    await taken(device, 'logged', 6, true);
    await taken(device, 'logged', 6, true);
    device = await begin();
    await taken(device, 'logged', 6, true);
    const back = await earsOf();
    await back.until(() => heard(back).length === 2);
    await back.ping();
    expect(heard(back)).toEqual(['queued', 'logged']);
    expect(writer.values()).toEqual(['queued', 'logged']);
  });
});

describe('MQTT 5: Clean Start and expiry are two things', () => {
  const writer = new MemoryWriter();
  const expiring = (sessionExpiryInterval: number): Record<string, unknown> => ({
    clientId: 'source',
    properties: { sessionExpiryInterval },
  });

  async function sent(fields: Record<string, unknown>, space: MortalSpace): Promise<RawDevice> {
    const { port } = await startTestBroker({ keep: { space }, writer });
    const device = await RawDevice.connect(port, 5, fields);
    device.send(device.publish('a', 'x', 2, 5));
    await device.until(() => device.ids('pubrec').length === 1);
    return device;
  }

  test('a session that begins anew and lasts is there after a power cut, one that lasts no longer goes on', async () => {
    const space = new MortalSpace();
    await sent({ ...expiring(600), clean: true }, space);
    space.kill();
    const next = new MortalSpace(space.disk);
    const device = await sent({ ...expiring(0), clean: false }, next);
    expect(device.last('connack')?.['sessionPresent']).toBe(true);
    expect(writer.values()).toEqual(['x']);
    device.close();
    await expect.poll(() => [...next.disk.keys()], { timeout: 3000 }).toEqual([]);
  });
});

test('a session that ends with its connection takes no slots', async () => {
  const { writer, port } = await startTestBroker();
  const device = await RawDevice.connect(port, 5);
  device.send(device.publish('a', 'x', 2, 5));
  await device.until(() => device.ids('pubrec').length === 1);
  expect(writer.records[0]).not.toHaveProperty('producer');
});
