import { afterEach, describe, expect, test } from 'vitest';
import { MortalSpace } from '../support/mortal-space.ts';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';
import { connectLasting, heard, payloads, subscribe } from '../support/mqtt-session.ts';

/** What CONNECT, CONNACK and DISCONNECT of MQTT 5 say, wills, and how long sessions last. */
afterEach(stopTestBrokers);

function connackOf(device: RawDevice): Record<string, unknown> {
  return (device.last('connack')?.['properties'] ?? {}) as Record<string, unknown>;
}

describe('CONNACK', () => {
  test('says what the agent takes, and not that anything is missing', async () => {
    const { port } = await startTestBroker({ maxPacketBytes: 100_000 });
    const device = await RawDevice.connect(port, 5);
    expect(connackOf(device)).toEqual({
      receiveMaximum: 1024,
      maximumPacketSize: 100_000,
      topicAliasMaximum: 32,
    });
  });

  test('a device without a client id is told the one it has', async () => {
    const { port } = await startTestBroker();
    const one = await RawDevice.connect(port, 5, { clientId: '' });
    const two = await RawDevice.connect(port, 5, { clientId: '' });
    const assigned = [one, two].map((device) => connackOf(device)['assignedClientIdentifier']);
    expect(assigned).toEqual([expect.any(String), expect.any(String)]);
    expect(assigned[0]).not.toBe(assigned[1]);
    expect(connackOf(one)['assignedClientIdentifier']).not.toBe('');
  });

  test('Server Keep Alive for who asks for a longer one, or none', async () => {
    const { port } = await startTestBroker({ maxKeepAliveSeconds: 60 });
    const told = async (version: 4 | 5, keepalive: number): Promise<unknown> => {
      const device = await RawDevice.connect(port, version, { keepalive });
      return connackOf(device)['serverKeepAlive'];
    };
    expect(await told(5, 120)).toBe(60);
    expect(await told(5, 0)).toBe(60);
    expect(await told(5, 60)).toBeUndefined();
    expect(await told(4, 120)).toBeUndefined();
  });

  test('who goes by Server Keep Alive no more is disconnected, and its will is published', async () => {
    const { port } = await startTestBroker({ maxKeepAliveSeconds: 1 });
    const ears = await RawDevice.connect(port, 4, { clientId: 'ears', keepalive: 0 });
    await subscribe(ears, { topic: 'wills', qos: 1 });
    const will = { topic: 'wills', payload: Buffer.from('gone'), qos: 1, retain: false };
    await RawDevice.connect(port, 5, { clientId: 'mute', keepalive: 0, will });
    await expect.poll(() => payloads(ears)).toEqual(['gone']);
  });

  test.each([
    ['Receive Maximum 0', { receiveMaximum: 0 }, 0x82],
    ['an Authentication Method', { authenticationMethod: 'SCRAM-SHA-1' }, 0x8c],
  ])('%s is refused', async (_, properties, reason) => {
    const { port } = await startTestBroker();
    const device = await RawDevice.connect(port, 5, { properties });
    expect(device.last('connack')?.['reasonCode']).toBe(reason);
    await device.untilClosed();
  });

  test('Request Response Information is answered without one', async () => {
    const { port } = await startTestBroker();
    const properties = { requestResponseInformation: true };
    const device = await RawDevice.connect(port, 5, { properties });
    expect(connackOf(device)['responseInformation']).toBeUndefined();
  });
});

describe('a version that there is not', () => {
  test.each([
    ['MQTT', 6, [0x20, 2, 0, 1]],
    ['MQTT', 3, [0x20, 2, 0, 1]],
    ['MQTT', 0x86, [0x20, 2, 0, 1]],
    ['MQIsdp', 4, [0x20, 2, 0, 1]],
    ['MQIsdp', 5, [0x20, 3, 0, 0x84, 0]],
    ['constructor', 4, []],
  ])('%s %i is told so', async (name, level, expected) => {
    const { port, broker } = await startTestBroker();
    const device = await RawDevice.dial(port);
    const answer: Buffer[] = [];
    device.socket.on('data', (chunk: Buffer) => answer.push(chunk));
    const head = Buffer.from([0, name.length, ...Buffer.from(name), level, 2, 0, 60]);
    const rest = Buffer.from(level === 5 ? [0, 0, 1, 97] : [0, 1, 97]);
    device.sendBytes(Buffer.from([0x10, head.length + rest.length, ...head, ...rest]));
    await device.untilClosed();
    expect(Buffer.concat(answer)).toEqual(Buffer.from(expected));
    await expect.poll(() => broker.counters().connections).toBe(0);
  });
});

describe('Session Expiry Interval', () => {
  async function isPresent(port: number, fields: Record<string, unknown>): Promise<unknown> {
    const device = await RawDevice.connect(port, 5, { clientId: 'pump', ...fields });
    const found = device.last('connack')?.['sessionPresent'];
    device.send({ cmd: 'disconnect' });
    await device.untilClosed();
    return found;
  }

  test('a session lasts as CONNECT says, or DISCONNECT after it', async () => {
    const { port } = await startTestBroker({ keep: { space: new MortalSpace() } });
    const lasting = { clean: false, properties: { sessionExpiryInterval: 600 } };
    expect(await isPresent(port, lasting)).toBe(false);
    expect(await isPresent(port, lasting)).toBe(true);
    expect(await isPresent(port, { ...lasting, clean: true })).toBe(false);
    expect(await isPresent(port, { clean: false })).toBe(true);
    expect(await isPresent(port, lasting)).toBe(false);
    const device = await RawDevice.connect(port, 5, { clientId: 'pump', ...lasting });
    device.send({ cmd: 'disconnect', properties: { sessionExpiryInterval: 0 } });
    await device.untilClosed();
    expect(await isPresent(port, lasting)).toBe(false);
  });
});

describe('wills', () => {
  const WILL = {
    topic: 'wills',
    payload: Buffer.from('gone'),
    qos: 1,
    retain: false,
  };

  async function listener(port: number): Promise<RawDevice> {
    const ears = await RawDevice.connect(port, 5, { clientId: 'ears' });
    await subscribe(ears, { topic: 'wills', qos: 1 });
    return ears;
  }

  test('arrive with their properties, but the delay', async () => {
    const { port } = await startTestBroker();
    const ears = await listener(port);
    const properties = {
      willDelayInterval: 0,
      payloadFormatIndicator: true,
      messageExpiryInterval: 60,
      contentType: 'text/plain',
      responseTopic: 'r',
      correlationData: Buffer.from([7]),
      userProperties: { a: '1' },
    };
    const device = await RawDevice.connect(port, 5, { will: { ...WILL, properties } });
    device.close();
    await expect.poll(() => payloads(ears)).toEqual(['gone']);
    const { willDelayInterval: _, ...published } = properties;
    expect(heard(ears)[0]?.properties).toEqual(published);
  });

  test('Will Delay Interval: nothing while the session may go on, and never if it does', async () => {
    const { port } = await startTestBroker({ keep: { space: new MortalSpace() } });
    const ears = await listener(port);
    const delayed = { ...WILL, properties: { willDelayInterval: 1 } };
    const fields = {
      clientId: 'pump',
      clean: false,
      will: delayed,
      properties: { sessionExpiryInterval: 600 },
    };
    const device = await RawDevice.connect(port, 5, fields);
    device.close();
    const back = await RawDevice.connect(port, 5, fields);
    await new Promise((resolve) => {
      setTimeout(resolve, 1200);
    });
    await ears.ping();
    expect(payloads(ears)).toEqual([]);
    back.close();
    await expect.poll(() => payloads(ears)).toEqual(['gone']);
  });

  test('one with a delay is published when the session ends with the connection', async () => {
    const { port } = await startTestBroker({ keep: { space: new MortalSpace() } });
    const ears = await listener(port);
    const will = { ...WILL, properties: { willDelayInterval: 600 } };
    const device = await RawDevice.connect(port, 5, { clientId: 'pump', will });
    device.close();
    await expect.poll(() => payloads(ears)).toEqual(['gone']);
  });

  test('or when Clean Start ends the session', async () => {
    const { port, broker } = await startTestBroker({ keep: { space: new MortalSpace() } });
    const ears = await listener(port);
    const will = { ...WILL, properties: { willDelayInterval: 600 } };
    const properties = { sessionExpiryInterval: 600 };
    const device = await RawDevice.connect(port, 5, { clientId: 'pump', will, properties });
    device.close();
    await expect.poll(() => broker.counters().connections).toBe(1);
    await RawDevice.connect(port, 5, { clientId: 'pump', clean: true });
    await expect.poll(() => payloads(ears)).toEqual(['gone']);
  });

  test('or when Clean Start takes the connection over', async () => {
    const { port } = await startTestBroker({ keep: { space: new MortalSpace() } });
    const ears = await listener(port);
    const will = { ...WILL, properties: { willDelayInterval: 600 } };
    const properties = { sessionExpiryInterval: 600 };
    await RawDevice.connect(port, 5, { clientId: 'pump', will, properties });
    await RawDevice.connect(port, 5, { clientId: 'pump', clean: true });
    await expect.poll(() => payloads(ears)).toEqual(['gone']);
  });

  test('DISCONNECT takes the will back, but with reason 0x04', async () => {
    const { port } = await startTestBroker();
    const ears = await listener(port);
    const leave = async (reasonCode: number): Promise<void> => {
      const device = await RawDevice.connect(port, 5, { clientId: 'pump', will: WILL });
      device.send({ cmd: 'disconnect', reasonCode });
      await device.untilClosed();
      await ears.ping();
    };
    await leave(0);
    expect(payloads(ears)).toEqual([]);
    await leave(4);
    await expect.poll(() => payloads(ears)).toEqual(['gone']);
  });
});

describe('DISCONNECT from the agent', () => {
  test('its reason arrives although the device goes on sending', async () => {
    const { port } = await startTestBroker();
    const device = await connectLasting(port, 'flood');
    const count = 1025;
    for (let id = 1; id <= count; id++) device.send(device.publish('a', 'x', 2, id));
    const more = setInterval(() => device.send({ cmd: 'pingreq' }), 1);
    await device.untilClosed();
    clearInterval(more);
    expect(device.last('disconnect')?.['reasonCode']).toBe(0x93);
  });

  test('a session that is taken over is told so', async () => {
    const { port } = await startTestBroker();
    const device = await RawDevice.connect(port, 5);
    await RawDevice.connect(port, 5);
    await device.untilClosed();
    expect(device.last('disconnect')?.['reasonCode']).toBe(0x8e);
  });

  test('a stop is told', async () => {
    const { port, broker } = await startTestBroker();
    const device = await RawDevice.connect(port, 5);
    await broker.stop();
    await device.untilClosed();
    expect(device.last('disconnect')?.['reasonCode']).toBe(0x8b);
  });
});
