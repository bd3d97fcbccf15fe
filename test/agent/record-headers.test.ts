import { expect, test } from 'vitest';
import type { PublishProperties } from '../../src/agent/publication.ts';
import {
  encodeBaseHeaders,
  encodeMirroredHeaders,
  extendBaseHeaders,
} from '../../src/agent/record-headers.ts';
import { decodeHeaders } from '../../src/headers.ts';

const NONE: PublishProperties = {
  payloadFormat: false,
  messageExpirySeconds: undefined,
  contentType: undefined,
  responseTopic: undefined,
  correlationData: undefined,
  user: [],
};

function pairs(bytes: Uint8Array): [string, string][] {
  return decodeHeaders(bytes).map(({ key, value }) => [key, Buffer.from(value ?? []).toString()]);
}

const BASE = [
  ['mqtt.topic', 'a/b'],
  ['mqtt.qos', '1'],
  ['mqtt.retain', '0'],
];

test('base headers, in their order', () => {
  expect(pairs(encodeBaseHeaders('a/b', 1, false))).toEqual(BASE);
  expect(pairs(encodeBaseHeaders('ü', 2, true))).toEqual([
    ['mqtt.topic', 'ü'],
    ['mqtt.qos', '2'],
    ['mqtt.retain', '1'],
  ]);
});

test('properties follow in a fixed order, user properties in theirs, repeats kept', () => {
  const base = encodeBaseHeaders('a/b', 1, false);
  const correlationData = Buffer.from([0, 255, 1]);
  const headers = extendBaseHeaders(base, {
    payloadFormat: true,
    messageExpirySeconds: 60,
    contentType: 'application/json',
    responseTopic: 'r/t',
    correlationData,
    user: ['z', '1', 'a', '2', 'z', '', 'z', '3', '1', 'x'],
  });
  const decoded = decodeHeaders(headers);
  expect(decoded.map(({ key }) => key)).toEqual([
    'mqtt.topic',
    'mqtt.qos',
    'mqtt.retain',
    'mqtt.content-type',
    'mqtt.response-topic',
    'mqtt.correlation-data',
    'mqtt.payload-format',
    'mqtt.message-expiry',
    'z',
    'a',
    'z',
    'z',
    '1',
  ]);
  expect(Buffer.from(decoded[5]?.value ?? [])).toEqual(correlationData);
  expect(pairs(headers).slice(6)).toEqual([
    ['mqtt.payload-format', '1'],
    ['mqtt.message-expiry', '60'],
    ['z', '1'],
    ['a', '2'],
    ['z', ''],
    ['z', '3'],
    ['1', 'x'],
  ]);
});

test('more headers than one byte can count', () => {
  const base = encodeBaseHeaders('a/b', 1, false);
  const user = Array.from({ length: 200 }, (_, index) => [`n${index}`, `v${index}`]).flat();
  const decoded = pairs(extendBaseHeaders(base, { ...NONE, user }));
  expect(decoded).toHaveLength(203);
  expect(decoded.slice(0, 3)).toEqual(BASE);
  expect(decoded[202]).toEqual(['n199', 'v199']);
});

test('no properties leave the base as it is', () => {
  const base = encodeBaseHeaders('a/b', 1, false);
  expect(extendBaseHeaders(base, NONE)).toBe(base);
});

test('no device can forge our headers', () => {
  const base = encodeBaseHeaders('a/b', 1, false);
  const user = ['mqtt.topic', 'x', 'gatelog.id', 'g/i/t/0/1', 'mqtt', 'fine'];
  expect(pairs(extendBaseHeaders(base, { ...NONE, user })).slice(3)).toEqual([
    ['user.mqtt.topic', 'x'],
    ['user.gatelog.id', 'g/i/t/0/1'],
    ['mqtt', 'fine'],
  ]);
});

test('a mirrored record keeps its own headers; its identity is the last', () => {
  const user = [
    'mqtt.topic',
    'dev/1',
    'mqtt.qos',
    '2',
    'gatelog.id',
    'g/i/t/0/1',
    'gatelog.ts',
    '5',
  ];
  const time = ['gatelog.time', 'estimated', 'gatelog.time.clock', '20000'];
  const properties = { ...NONE, user: [...user, 'unit', 'C', 'gatelog.key', 'k', ...time] };
  const headers = encodeMirroredHeaders('up/dev/1', 1, false, properties, 'g/i/t/0/1');
  expect(pairs(headers)).toEqual([
    ['mqtt.topic', 'dev/1'],
    ['mqtt.qos', '2'],
    ['unit', 'C'],
    ['gatelog.time', 'estimated'],
    ['gatelog.time.clock', '20000'],
    ['gatelog.id', 'g/i/t/0/1'],
  ]);
});

test('a mirrored record without headers of its own gets those of its PUBLISH', () => {
  const properties = { ...NONE, contentType: 'text/plain', user: ['gatelog.id', 'g/i/t/0/1'] };
  const headers = encodeMirroredHeaders('a/b', 1, false, properties, 'g/i/t/0/1');
  expect(pairs(headers)).toEqual([
    ...BASE,
    ['mqtt.content-type', 'text/plain'],
    ['gatelog.id', 'g/i/t/0/1'],
  ]);
});

test('a mirrored record keeps the whole time that its device gave it, not what is left of it', () => {
  const given = ['mqtt.message-expiry', '60', 'gatelog.id', 'g/i/t/0/1'];
  const properties = { ...NONE, messageExpirySeconds: 40, user: given };
  const headers = encodeMirroredHeaders('a/b', 1, false, properties, 'g/i/t/0/1');
  expect(pairs(headers)).toEqual([
    ...BASE,
    ['mqtt.message-expiry', '60'],
    ['gatelog.id', 'g/i/t/0/1'],
  ]);
});
