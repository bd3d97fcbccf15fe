import { afterEach, describe, expect, test } from 'vitest';
import { MortalSpace } from '../support/mortal-space.ts';
import { startTestBroker, stopTestBrokers, type TestBroker } from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';

/** Sessions at the broker: what survives a power cut, and what waits for the disk. */
afterEach(stopTestBrokers);

type Version = 4 | 5;

function lasting(
  version: Version,
  clientId: string,
  seconds: number = 600,
): Record<string, unknown> {
  const properties = { sessionExpiryInterval: seconds };
  return version === 5 ? { clientId, clean: false, properties } : { clientId, clean: false };
}

async function subscribed(
  port: number,
  version: Version,
  clientId: string,
  qos: 0 | 1 | 2,
  topic: string = 'a/#',
): Promise<RawDevice> {
  const device = await RawDevice.connect(port, version, lasting(version, clientId));
  device.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos }] });
  await device.until(() => device.ids('suback').length === 1);
  return device;
}

function heard(device: RawDevice): string[] {
  return device.packets.flatMap((one) => (one.cmd === 'publish' ? [one.payload.toString()] : []));
}

async function publishes(port: number, version: Version, ...texts: string[]): Promise<void> {
  const device = await RawDevice.connect(port, version, { clientId: 'source' });
  device.send(...texts.map((text, at) => device.publish('a/b', text, 1, at + 1)));
  await device.until(() => device.ids('puback').length === texts.length);
  device.close();
}

/** The power fails, and comes back. */
async function again(space: MortalSpace, willGraceMs?: number): Promise<TestBroker> {
  space.kill();
  const grace = willGraceMs === undefined ? {} : { willGraceMs };
  return startTestBroker({ keep: { space: new MortalSpace(space.disk), ...grace } });
}

describe.each([4, 5] as const)('after a power cut, protocol version %i', (version) => {
  test('subscriptions and queued messages are there', async () => {
    const space = new MortalSpace();
    const { port } = await startTestBroker({ keep: { space } });
    const ears = await subscribed(port, version, 'ears', 1);
    ears.close();
    await publishes(port, version, 'one', 'two');
    const { port: next } = await again(space);
    const back = await RawDevice.connect(next, version, lasting(version, 'ears'));
    expect(back.last('connack')?.['sessionPresent']).toBe(true);
    await back.until(() => heard(back).length === 2);
    await publishes(next, version, 'three');
    await back.until(() => heard(back).length === 3);
    expect(heard(back)).toEqual(['one', 'two', 'three']);
  });

  test('what was acknowledged is not sent again', async () => {
    const space = new MortalSpace();
    const { port } = await startTestBroker({ keep: { space } });
    const ears = await subscribed(port, version, 'ears', 1);
    await publishes(port, version, 'one');
    await ears.until(() => heard(ears).length === 1);
    ears.send({ cmd: 'puback', messageId: ears.last('publish')?.['messageId'] as number });
    await ears.ping();
    await publishes(port, version, 'two'); // its write takes along what nobody waits for
    const { port: next } = await again(space);
    const back = await RawDevice.connect(next, version, lasting(version, 'ears'));
    await back.until(() => heard(back).length === 1);
    await back.ping();
    expect(heard(back)).toEqual(['two']);
  });

  test('a QoS 2 handshake goes on where it stood', async () => {
    const space = new MortalSpace();
    const { port } = await startTestBroker({ keep: { space } });
    const ears = await subscribed(port, version, 'ears', 2);
    const source = await RawDevice.connect(port, version, { clientId: 'source' });
    source.send(source.publish('a/b', 'one', 2, 1), source.publish('a/b', 'two', 2, 2));
    await source.until(() => source.ids('pubrec').length === 2);
    await ears.until(() => heard(ears).length === 2);
    const ids = ears.packets.flatMap((one) => (one.cmd === 'publish' ? [one.messageId ?? 0] : []));
    const [first = 0, second = 0] = ids;
    ears.send({ cmd: 'pubrec', messageId: first });
    await ears.until(() => ears.packets.some((one) => one.cmd === 'pubrel'));
    const { port: next } = await again(space);
    const back = await RawDevice.connect(next, version, lasting(version, 'ears'));
    await back.until(() => heard(back).length === 1);
    // In its short form: paho-mqtt 1.6 for Python takes no other, and dies of it.
    expect(back.last('pubrel')).toMatchObject({ messageId: first, length: 2 });
    expect(back.last('publish')?.['messageId']).toBe(second);
    expect(heard(back)).toEqual(['two']);
  });

  test('a session without subscriptions is present', async () => {
    const space = new MortalSpace();
    const { port } = await startTestBroker({ keep: { space } });
    const device = await RawDevice.connect(port, version, lasting(version, 'source'));
    expect(device.last('connack')?.['sessionPresent']).toBe(false);
    const { port: next } = await again(space);
    const back = await RawDevice.connect(next, version, lasting(version, 'source'));
    expect(back.last('connack')?.['sessionPresent']).toBe(true);
  });

  test('a session that was ended is not', async () => {
    const space = new MortalSpace();
    const { port } = await startTestBroker({ keep: { space } });
    (await subscribed(port, version, 'ears', 1)).close();
    await RawDevice.connect(port, version, { clientId: 'ears', clean: true });
    const { port: next } = await again(space);
    const back = await RawDevice.connect(next, version, lasting(version, 'ears'));
    expect(back.last('connack')?.['sessionPresent']).toBe(false);
  });

  test('retained messages are there', async () => {
    const space = new MortalSpace();
    const { port } = await startTestBroker({ keep: { space } });
    const source = await RawDevice.connect(port, version, { clientId: 'source' });
    source.send(source.publish('a/state', 'on', 1, 1, { retain: true }));
    await source.until(() => source.ids('puback').length === 1);
    const { port: next } = await again(space);
    const ears = await subscribed(next, version, 'ears', 1);
    await ears.until(() => heard(ears).length === 1);
    expect(ears.last('publish')).toMatchObject({ topic: 'a/state', retain: true });
  });

  test('the will of a device that does not come back is published, and only of that', async () => {
    const space = new MortalSpace();
    const { port } = await startTestBroker({ keep: { space } });
    const will = (text: string): Record<string, unknown> => ({
      clientId: text,
      will: { topic: `will/${text}`, payload: Buffer.from(text), qos: 1, retain: false },
    });
    for (const name of ['gone', 'back', 'left']) {
      const device = await RawDevice.connect(port, version, will(name));
      if (name === 'left') device.send({ cmd: 'disconnect' });
      if (name === 'left') await device.untilClosed();
    }
    await publishes(port, version, 'x');
    await RawDevice.connect(port, version, will('other'));
    const { port: next, writer } = await again(space, 500);
    await RawDevice.connect(next, version, will('back'));
    await expect.poll(() => writer.values().toSorted()).toEqual(['gone', 'other']);
  });

  test.each([
    ['left behind', async () => {}],
    ['lost just before', async (device: RawDevice) => device.close()],
    [
      'left with DISCONNECT just before',
      async (device: RawDevice) => device.send({ cmd: 'disconnect' }),
    ],
  ])('the will of who came again stays, the connection before was %s', async (_, leave) => {
    const space = new MortalSpace();
    const { port, writer } = await startTestBroker({ keep: { space } });
    const will = (text: string): Record<string, unknown> => ({
      clientId: 'twice',
      will: { topic: 'wills', payload: Buffer.from(text), qos: 1, retain: false },
    });
    const first = await RawDevice.connect(port, version, will('first'));
    writer.hold(); // so that the first will is still on its way to the log when the second is noted
    await leave(first);
    await RawDevice.connect(port, version, will('second'));
    await first.untilClosed();
    writer.resume();
    await publishes(port, version, 'x');
    await publishes(port, version, 'y');
    await RawDevice.connect(port, version, lasting(version, 'whatever is pending is written'));
    const { writer: later } = await again(space, 100);
    await expect.poll(() => later.values()).toEqual(['second']);
  });
});

describe('what is queued', () => {
  test.each([4, 5] as const)(
    'is marked when it is sent again, protocol version %i',
    async (version) => {
      const { port } = await startTestBroker();
      (await subscribed(port, version, 'ears', 1)).close();
      await publishes(port, version, 'x');
      const dups: unknown[] = [];
      for (let round = 0; round < 2; round++) {
        const back = await RawDevice.connect(port, version, lasting(version, 'ears'));
        await back.until(() => heard(back).length === 1);
        dups.push(back.last('publish')?.['dup']);
        back.close();
      }
      expect(dups).toEqual([false, true]);
    },
  );

  test('goes to a session that ends with its next connection, and then it is gone', async () => {
    const { port, broker } = await startTestBroker();
    (await subscribed(port, 5, 'ears', 1)).close();
    await publishes(port, 5, 'x');
    const back = await RawDevice.connect(port, 5, lasting(5, 'ears', 0));
    await back.until(() => heard(back).length === 1);
    back.close();
    await expect.poll(() => broker.counters()).toMatchObject({ sessions: 0, queuedBytes: 0 });
  });
});

describe('an acknowledgement waits for what it stands on', () => {
  test('PUBACK for what a session keeps, and those after it wait their turn', async () => {
    const space = new MortalSpace();
    const { port, writer } = await startTestBroker({ keep: { space } });
    await subscribed(port, 4, 'ears', 1);
    const source = await RawDevice.connect(port, 4, { clientId: 'source' });
    space.hold();
    source.send(source.publish('b', 'nobody', 1, 1), source.publish('a/b', 'kept', 1, 2));
    source.send(source.publish('b', 'nobody', 1, 3));
    await expect.poll(() => writer.records.length).toBe(3);
    await source.ping();
    expect(source.ids('puback')).toEqual([1]);
    space.release();
    await source.until(() => source.ids('puback').length === 3);
    expect(source.ids('puback')).toEqual([1, 2, 3]);
  });

  test('PUBREC for a retained message', async () => {
    const space = new MortalSpace();
    const { port, writer } = await startTestBroker({ keep: { space } });
    const source = await RawDevice.connect(port, 5, { clientId: 'source' });
    space.hold();
    source.send(source.publish('a', 'x', 2, 1, { retain: true }));
    await expect.poll(() => writer.records.length).toBe(1);
    source.send(source.publish('a', 'x', 2, 1, { retain: true, dup: true }));
    await source.ping();
    expect(source.ids('pubrec')).toEqual([]);
    space.release();
    await source.until(() => source.ids('pubrec').length === 2);
  });

  test('SUBACK and CONNACK of a lasting session', async () => {
    const space = new MortalSpace();
    const { port } = await startTestBroker({ keep: { space } });
    const ears = await RawDevice.connect(port, 4, lasting(4, 'ears'));
    space.hold();
    ears.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'a', qos: 1 }] });
    await ears.ping();
    expect(ears.ids('suback')).toEqual([]);
    const other = await RawDevice.dial(port, 4);
    other.send(other.connectPacket(lasting(4, 'other')));
    const plain = await RawDevice.connect(port, 4, { clientId: 'plain' });
    await plain.ping();
    expect(other.packets).toEqual([]);
    space.release();
    await ears.until(() => ears.ids('suback').length === 1);
    await other.until(() => other.packets.length === 1);
  });

  test('where it fails there is none, and a resend gets it when the disk is well again', async () => {
    const space = new MortalSpace();
    const { port } = await startTestBroker({ keep: { space } });
    await subscribed(port, 5, 'ears', 1);
    const connect = lasting(5, 'source');
    const source = await RawDevice.connect(port, 5, connect);
    space.fail();
    source.send(source.publish('a/b', 'x', 2, 1));
    await source.untilClosed();
    expect(source.ids('pubrec')).toEqual([]);
    const second = await RawDevice.connect(port, 5, connect);
    second.send(second.publish('a/b', 'x', 2, 1, { dup: true }));
    await second.untilClosed();
    expect(second.ids('pubrec')).toEqual([]);
    space.mend();
    const third = await RawDevice.connect(port, 5, connect);
    third.send(third.publish('a/b', 'x', 2, 1, { dup: true }));
    await third.until(() => third.ids('pubrec').length === 1);
  });
});
