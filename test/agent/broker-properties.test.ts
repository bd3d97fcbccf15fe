import { afterEach, describe, expect, test } from 'vitest';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';

/**
 * aedes's parser goes by the length of each property, and not by that of their block. So one that goes on behind
 * the block's end hides what we have looked at: a packet is to be the same to both.
 */
afterEach(stopTestBrokers);

function text(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}

function packet(first: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  expect(body.length).toBeLessThan(16_384);
  const length =
    body.length < 128 ? [body.length] : [(body.length & 0x7f) | 0x80, body.length >> 7];
  return Buffer.concat([Buffer.from([first, ...length]), body]);
}

const HEAD = Buffer.concat([text('MQTT'), Buffer.from([5, 2, 0, 60])]);
const LONG = 'x'.repeat(5000);
/** A user property of which only three bytes lie within the block. */
const OVER = Buffer.concat([Buffer.from([3, 0x26, 0, 3]), text('a'), text('')]);
/** One whose name is longer than the packet, which the parser passes over. */
const BEYOND = Buffer.from([5, 0x26, 0xff, 0xff, 0, 0]);

describe.each([
  ['behind its block', OVER],
  ['behind the packet', BEYOND],
])('a property that ends %s', (_, block) => {
  test('in CONNECT: no client id is longer than it may be', async () => {
    const { port, broker } = await startTestBroker();
    const device = await RawDevice.dial(port, 5);
    device.sendBytes(packet(0x10, HEAD, block, text(LONG)));
    await device.untilClosed();
    expect(device.last('connack')).toMatchObject({ reasonCode: 0x81 });
    expect(broker.counters().violations).toBe(1);
  });
});

test('nor is a filter', async () => {
  const { port } = await startTestBroker();
  const device = await RawDevice.connect(port, 5);
  // What is looked at behind the block: the filter `a`, one of 1025 bytes, and a part of one.
  const block = Buffer.concat([Buffer.from([3, 0x26, 0, 3]), text('a'), text('\u0001aaa')]);
  const filter = text('x'.repeat(0x14_14));
  device.sendBytes(packet(0x82, Buffer.from([0, 1]), block, filter, Buffer.from([0])));
  await device.untilClosed();
  expect(device.last('suback')).toBeUndefined();
});

test('nor is a will larger than it may be', async () => {
  const { port } = await startTestBroker({ limits: { willBytes: 1000 } });
  const device = await RawDevice.dial(port, 5);
  const head = Buffer.concat([text('MQTT'), Buffer.from([5, 6, 0, 60, 0])]);
  const block = Buffer.concat([Buffer.from([3, 0x26, 0, 6]), text('w'), text('p')]);
  device.sendBytes(packet(0x10, head, text('c'), block, text(''), text('w'), text(LONG)));
  await device.untilClosed();
  expect(device.last('connack')).toMatchObject({ reasonCode: 0x81 });
});

test('text in properties is text', async () => {
  const { port } = await startTestBroker();
  for (const bad of ['a\0', Buffer.from([0xc0, 0x80])]) {
    const device = await RawDevice.dial(port, 5);
    const pair = Buffer.concat([Buffer.from([0x26]), text('name'), text(bad)]);
    device.sendBytes(packet(0x10, HEAD, Buffer.from([pair.length]), pair, text('c')));
    await device.untilClosed();
    expect(device.last('connack')).toMatchObject({ reasonCode: 0x81 });
  }
});

test('all properties that a client may send are taken', async () => {
  const { port } = await startTestBroker();
  const device = await RawDevice.connect(port, 5, {
    properties: {
      sessionExpiryInterval: 5,
      receiveMaximum: 9,
      maximumPacketSize: 70_000,
      topicAliasMaximum: 3,
      requestResponseInformation: true,
      requestProblemInformation: false,
      userProperties: { one: ['1', '2'], two: '' },
    },
    will: {
      topic: 'w',
      payload: Buffer.from('x'),
      qos: 0,
      retain: false,
      properties: {
        willDelayInterval: 5,
        payloadFormatIndicator: true,
        messageExpiryInterval: 4,
        contentType: 'text/plain',
        responseTopic: 'r',
        correlationData: Buffer.from([0, 0xff]),
        userProperties: { three: 'ü' },
      },
    },
  });
  const subscriptions = [{ topic: 'a', qos: 0 as const }];
  const properties = { subscriptionIdentifier: 200_000, userProperties: { four: '4' } };
  device.send({ cmd: 'subscribe', messageId: 1, subscriptions, properties } as never);
  await device.until(() => device.ids('suback').length === 1);
  expect(device.last('suback')?.['granted']).toEqual([0]);
});
