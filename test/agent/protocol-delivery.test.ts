import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { MortalSpace } from '../support/mortal-space.ts';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';
import {
  connectLasting,
  heard,
  payloads,
  publishFrom,
  subscribe,
} from '../support/mqtt-session.ts';

/** What a device says in CONNECT that it takes, and what becomes of messages on their way to it. */
afterEach(stopTestBrokers);

function device5(port: number, properties: Record<string, unknown> = {}): Promise<RawDevice> {
  return RawDevice.connect(port, 5, { clientId: 'ears', properties });
}

function acknowledge(device: RawDevice, at: number, cmd: 'puback' | 'pubrec' | 'pubcomp'): void {
  device.send({ cmd, messageId: heard(device)[at]?.messageId ?? 0 });
}

const TEXTS = ['1', '2', '3', '4', '5'];

describe('Receive Maximum of the device', () => {
  test.each([
    ['a session that ends', false],
    ['a lasting session', true],
  ])('QoS 1, %s: no more are under way, the rest comes in order', async (_, isLasting) => {
    const { port } = await startTestBroker({ keep: { space: new MortalSpace() } });
    const properties = { receiveMaximum: 2 };
    const ears = await (isLasting
      ? connectLasting(port, 'ears', properties)
      : device5(port, properties));
    await subscribe(ears, { topic: 'a', qos: 1 });
    await publishFrom(port, 'a', TEXTS);
    await expect.poll(() => payloads(ears)).toEqual(['1', '2']);
    await ears.ping();
    expect(payloads(ears)).toEqual(['1', '2']);
    for (let at = 0; at < TEXTS.length; at++) {
      acknowledge(ears, at, 'puback');
      const there = TEXTS.slice(0, at + 3);
      await expect.poll(() => payloads(ears)).toEqual(there);
    }
    expect(new Set(heard(ears).map(({ messageId }) => messageId)).size).toBe(TEXTS.length);
  });

  test('QoS 2 is under way until PUBCOMP, or a PUBREC that refuses', async () => {
    const { port } = await startTestBroker();
    const ears = await device5(port, { receiveMaximum: 1 });
    await subscribe(ears, { topic: 'a', qos: 2 });
    await publishFrom(port, 'a', ['1', '2', '3'], 2);
    await expect.poll(() => payloads(ears)).toEqual(['1']);
    acknowledge(ears, 0, 'pubrec');
    await ears.until(() => ears.last('pubrel') !== undefined);
    await ears.ping();
    expect(payloads(ears)).toEqual(['1']);
    acknowledge(ears, 0, 'pubcomp');
    await expect.poll(() => payloads(ears)).toEqual(['1', '2']);
    const messageId = heard(ears)[1]?.messageId ?? 0;
    ears.send({ cmd: 'pubrec', messageId, reasonCode: 0x97 });
    await expect.poll(() => payloads(ears)).toEqual(['1', '2', '3']);
  });

  test('QoS 0 does not wait', async () => {
    const { port } = await startTestBroker();
    const ears = await device5(port, { receiveMaximum: 1 });
    await subscribe(ears, { topic: 'a', qos: 1 });
    await publishFrom(port, 'a', ['1', '2']);
    await publishFrom(port, 'a', ['quick'], 0);
    await expect.poll(() => payloads(ears)).toEqual(['1', 'quick']);
  });

  test('a lasting session gets what waited when it goes on', async () => {
    const { port } = await startTestBroker({ keep: { space: new MortalSpace() } });
    const ears = await connectLasting(port, 'ears', { receiveMaximum: 1 });
    await subscribe(ears, { topic: 'a', qos: 1 });
    await publishFrom(port, 'a', ['1', '2', '3']);
    await expect.poll(() => payloads(ears)).toEqual(['1']);
    ears.close();
    const back = await connectLasting(port, 'ears', { receiveMaximum: 10 });
    await expect.poll(() => payloads(back)).toEqual(['1', '2', '3']);
  });

  test('what waits for a device that acknowledges nothing is bounded', async () => {
    const sessionCaps = {
      queueBytes: 65_536,
      totalBytes: 1_000_000,
      retainedBytes: 65_536,
      onFull: 'drop-oldest',
    } as const;
    const { port, broker } = await startTestBroker({ sessionCaps });
    const ears = await device5(port, { receiveMaximum: 1 });
    await subscribe(ears, { topic: 'a', qos: 1 });
    const large = Array.from({ length: 20 }, () => 'x'.repeat(10_000));
    await publishFrom(port, 'a', large);
    await expect.poll(() => broker.counters().notKept).toBe(13);
  });
});

describe('Maximum Packet Size of the device', () => {
  test.each([0, 1, 2] as const)('QoS %i: what is larger is not sent, the next is', async (qos) => {
    const { port } = await startTestBroker({ keep: { space: new MortalSpace() } });
    const properties = { maximumPacketSize: 64, receiveMaximum: 1 };
    const ears = await connectLasting(port, 'ears', properties);
    await subscribe(ears, { topic: 'a', qos: 2 });
    await publishFrom(port, 'a', ['x'.repeat(64), 'small'], qos);
    await expect.poll(() => payloads(ears)).toEqual(['small']);
    // It counts as delivered: the session does not have it again.
    ears.close();
    const back = await connectLasting(port, 'ears', { maximumPacketSize: 1000 });
    await expect.poll(() => payloads(back)).toEqual(qos === 0 ? [] : ['small']);
  });

  test('the packet counts as a whole, to the byte', async () => {
    const { port } = await startTestBroker();
    // Header 2, topic 3, properties 1: 59 bytes of payload make 65.
    const ears = await device5(port, { maximumPacketSize: 64 });
    await subscribe(ears, { topic: 'a', qos: 0 });
    await publishFrom(port, 'a', ['y'.repeat(59), 'x'.repeat(58)], 0);
    await expect.poll(() => payloads(ears)).toEqual(['x'.repeat(58)]);
  });
});

describe('Topic Alias Maximum of the device', () => {
  test('the first topics have aliases, and their names leave once', async () => {
    const { port } = await startTestBroker();
    const ears = await device5(port, { topicAliasMaximum: 1 });
    await subscribe(ears, { topic: '#', qos: 2 });
    for (const qos of [0, 1, 2] as const) await publishFrom(port, 'a', [`a${qos}`], qos);
    await publishFrom(port, 'b', ['b']);
    await expect.poll(() => payloads(ears)).toEqual(['a0', 'a1', 'a2', 'b']);
    const found = heard(ears).map(({ topic, properties }) => [topic, properties['topicAlias']]);
    expect(found).toEqual([
      ['a', 1],
      ['', 1],
      ['', 1],
      ['b', undefined],
    ]);
  });

  test('none without it', async () => {
    const { port } = await startTestBroker();
    const ears = await device5(port);
    await subscribe(ears, { topic: 'a', qos: 1 });
    await publishFrom(port, 'a', ['x', 'y']);
    await expect.poll(() => payloads(ears)).toEqual(['x', 'y']);
    expect(heard(ears).every(({ topic }) => topic === 'a')).toBe(true);
  });

  test('a name that was too large to leave is not taken for told', async () => {
    const { port } = await startTestBroker();
    const ears = await device5(port, { topicAliasMaximum: 4, maximumPacketSize: 40 });
    await subscribe(ears, { topic: 'a', qos: 0 });
    await publishFrom(port, 'a', ['x'.repeat(64), 'y'], 0);
    await expect.poll(() => payloads(ears)).toEqual(['y']);
    expect(heard(ears)[0]?.topic).toBe('a');
  });
});

describe('Message Expiry Interval', () => {
  // aedes notes by the wall clock when a message came: that alone is moved, timers are not.
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['Date'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  function expiring(seconds: number): Record<string, unknown> {
    return { properties: { messageExpiryInterval: seconds } };
  }

  test('what waited in a queue is not sent after its time; else with what is left', async () => {
    const { port } = await startTestBroker({ keep: { space: new MortalSpace() } });
    const ears = await connectLasting(port, 'ears');
    await subscribe(ears, { topic: 'a', qos: 1 });
    ears.send({ cmd: 'disconnect' });
    await ears.untilClosed();
    await publishFrom(port, 'a', ['over'], 1, expiring(1));
    await publishFrom(port, 'a', ['later'], 1, expiring(3600));
    vi.setSystemTime(Date.now() + 1100);
    const back = await connectLasting(port, 'ears');
    await expect.poll(() => payloads(back)).toEqual(['later']);
    expect(heard(back)[0]?.properties['messageExpiryInterval']).toBeLessThan(3600);
  });

  test.each([1, 2] as const)(
    'none at all, QoS %i: for who is there, and nothing waits',
    async (qos) => {
      const { port } = await startTestBroker({ keep: { space: new MortalSpace() } });
      const [lasting, passing] = [
        await connectLasting(port, 'lasting', { receiveMaximum: 1 }),
        await device5(port, { receiveMaximum: 1 }),
      ];
      const away = await connectLasting(port, 'away');
      for (const device of [lasting, passing, away]) await subscribe(device, { topic: 'a', qos });
      away.close();
      await publishFrom(port, 'a', ['kept'], 1, { ...expiring(60), retain: true });
      await Promise.all(
        [lasting, passing].map((one) => one.until(() => payloads(one).length === 1)),
      );
      acknowledge(lasting, 0, 'puback');
      acknowledge(passing, 0, 'puback');
      await publishFrom(port, 'a', ['now', 'never'], qos, { ...expiring(0), retain: true });
      await publishFrom(port, 'a', ['later'], 1);
      for (const device of [lasting, passing]) {
        acknowledge(device, 1, qos === 1 ? 'puback' : 'pubrec');
        if (qos === 2) await device.until(() => device.last('pubrel') !== undefined);
        if (qos === 2) acknowledge(device, 1, 'pubcomp');
        await device.until(() => payloads(device).length === 3);
        expect(payloads(device)).toEqual(['kept', 'now', 'later']);
      }
      const back = await connectLasting(port, 'away');
      await expect.poll(() => payloads(back)).toEqual(['kept', 'later']);
      expect(await subscribe(back, { topic: '#', qos: 0 })).toEqual([0]);
      await back.ping();
      expect(payloads(back)).toEqual(['kept', 'later']);
    },
  );

  test('the same of what waited for acknowledgements, and of what is retained', async () => {
    const { port } = await startTestBroker();
    const ears = await device5(port, { receiveMaximum: 1 });
    await subscribe(ears, { topic: 'a', qos: 1 });
    await publishFrom(port, 'a', ['first']);
    await publishFrom(port, 'a', ['over'], 1, { ...expiring(1), retain: true });
    await publishFrom(port, 'a', ['later'], 1, expiring(3600));
    vi.setSystemTime(Date.now() + 1100);
    acknowledge(ears, 0, 'puback');
    await expect.poll(() => payloads(ears)).toEqual(['first', 'later']);
    expect(heard(ears)[1]?.properties['messageExpiryInterval']).toBeLessThan(3600);
    await subscribe(ears, { topic: 'a', qos: 1 });
    acknowledge(ears, 1, 'puback');
    await ears.ping();
    expect(payloads(ears)).toEqual(['first', 'later']);
  });
});

test('a publication’s properties arrive', async () => {
  const { port } = await startTestBroker();
  const ears = await device5(port);
  await subscribe(ears, { topic: 'a', qos: 2 });
  const properties = {
    payloadFormatIndicator: true,
    messageExpiryInterval: 3600,
    contentType: 'text/plain',
    responseTopic: 'answers/7',
    correlationData: Buffer.from([1, 2, 3]),
    userProperties: { a: ['1', '2'], b: '3' },
  };
  for (const qos of [0, 1, 2] as const) await publishFrom(port, 'a', ['x'], qos, { properties });
  await expect.poll(() => heard(ears)).toHaveLength(3);
  for (const one of heard(ears)) expect(one.properties).toEqual(properties);
});
