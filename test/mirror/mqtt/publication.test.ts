import { generate } from 'mqtt-packet';
import { describe, expect, test } from 'vitest';
import { encodeHeaders, type Header } from '../../../src/headers.ts';
import {
  packetBytes,
  type Publication,
  publicationOf,
  type PublicationRules,
} from '../../../src/mirror/mqtt/publication.ts';
import type { LogRecord } from '../../../src/record.ts';

const rules: PublicationRules = {
  topicTemplate: '{mqttTopic}',
  gateway: 'gw',
  qos: 1,
  keepRetain: true,
  withProperties: true,
  maxPacketBytes: undefined,
};

const IDENTITY = 'gw/abc/telemetry/0/7';

function header(key: string, value: string | Uint8Array): Header {
  return { key, value: typeof value === 'string' ? Buffer.from(value) : value };
}

function record(headers: readonly Header[], changes: Partial<LogRecord> = {}): LogRecord {
  return {
    offset: 7,
    timestampMs: 1234,
    key: Buffer.from('plant/1'),
    value: Buffer.from('21.5'),
    headers: encodeHeaders(headers),
    ...changes,
  };
}

const BASE = [header('mqtt.topic', 'plant/1'), header('mqtt.qos', '1'), header('mqtt.retain', '0')];

function publication(one: LogRecord, changes: Partial<PublicationRules> = {}): Publication {
  const made = publicationOf(one, 'telemetry', IDENTITY, { ...rules, ...changes });
  if ('refused' in made) throw new Error(made.refused);
  return made;
}

describe('the PUBLISH of a record', () => {
  test('what is to be said of its time goes along, before the time itself', () => {
    const time = { trust: 'estimated', clockMs: 20_000 } as const;
    expect(publication(record(BASE, { time })).properties?.userProperties).toEqual([
      { 'gatelog.time': 'estimated' },
      { 'gatelog.time.clock': '20000' },
      { 'gatelog.ts': '1234' },
      { 'gatelog.id': IDENTITY },
    ]);
  });

  test('what is left of the time that the device gave it, and the whole for a central gatelog', () => {
    const headers = [...BASE, header('mqtt.message-expiry', '60')];
    const at = (nowMs: number | undefined) =>
      publication(record(headers), { nowMs: () => nowMs }).properties;
    const whole = { 'mqtt.message-expiry': '60' };
    expect(at(1234)).toMatchObject({ messageExpiryInterval: 60 });
    expect(at(1234)?.userProperties).not.toContainEqual(whole);
    expect(at(1235)).toMatchObject({ messageExpiryInterval: 60 });
    expect(at(21_234)).toMatchObject({ messageExpiryInterval: 40 });
    expect(at(21_234)?.userProperties).toContainEqual(whole);
    expect(at(99_999_999)).toMatchObject({ messageExpiryInterval: 1 });
    expect(at(undefined)).toMatchObject({ messageExpiryInterval: 60 });
    expect(publication(record(BASE)).properties).not.toHaveProperty('messageExpiryInterval');
  });

  test('says what the device said, and who the record is', () => {
    expect(publication(record(BASE))).toEqual({
      topic: 'plant/1',
      payload: Buffer.from('21.5'),
      retain: false,
      properties: { userProperties: [{ 'gatelog.ts': '1234' }, { 'gatelog.id': IDENTITY }] },
    });
  });

  test('turns headers back into properties, user ones in order with repeats', () => {
    const { properties } = publication(
      record([
        ...BASE,
        header('mqtt.content-type', 'application/json'),
        header('mqtt.response-topic', 'answers/1'),
        header('mqtt.correlation-data', Uint8Array.of(0, 255)),
        header('mqtt.payload-format', '1'),
        header('b', '1'),
        header('a', '2'),
        header('b', ''),
        header('__proto__', 'x'),
      ]),
    );
    expect(properties?.contentType).toBe('application/json');
    expect(properties?.responseTopic).toBe('answers/1');
    expect(properties?.correlationData).toEqual(Buffer.from([0, 255]));
    expect(properties?.payloadFormatIndicator).toBe(true);
    expect(properties?.userProperties.flatMap((pair) => Object.entries(pair))).toEqual([
      ['b', '1'],
      ['a', '2'],
      ['b', ''],
      ['__proto__', 'x'],
      ['gatelog.ts', '1234'],
      ['gatelog.id', IDENTITY],
    ]);
  });

  test('tells topic, QoS and retain where the packet itself says something else', () => {
    const told = [{ 'mqtt.topic': 'plant/1' }, { 'mqtt.qos': '2' }, { 'mqtt.retain': '1' }];
    const other = [BASE[0], header('mqtt.qos', '2'), header('mqtt.retain', '1')].flatMap((one) =>
      one === undefined ? [] : [one],
    );
    const kept = publication(record(other));
    expect(kept.retain).toBe(true);
    expect(kept.properties?.userProperties.slice(0, 3)).toEqual(told);
    expect(publication(record(other), { keepRetain: false }).retain).toBe(false);

    const prefixed = publication(record(BASE), { topicTemplate: 'site/{gateway}/{mqttTopic}' });
    expect(prefixed.topic).toBe('site/gw/plant/1');
    expect(prefixed.properties?.userProperties).toEqual([
      { 'mqtt.topic': 'plant/1' },
      { 'mqtt.qos': '1' },
      { 'mqtt.retain': '0' },
      { 'gatelog.key': 'plant/1' },
      { 'gatelog.ts': '1234' },
      { 'gatelog.id': IDENTITY },
    ]);
  });

  test.for([
    [Buffer.from('other'), [{ 'gatelog.key': 'other' }]],
    [Buffer.from([0xff, 1]), [{ 'gatelog.key64': '/wE=' }]],
    [Buffer.from('plant/1'), []],
    [null, []],
  ] as const)('key %j travels as %j', ([key, expected]) => {
    const { properties } = publication(record(BASE, { key }));
    expect(properties?.userProperties.slice(0, -2)).toEqual(expected);
  });

  test('a topic is taken as it is, whatever it looks like', () => {
    const odd = record([header('mqtt.topic', 'a/$&/{topic}/{gateway}')]);
    const made = publication(odd, { topicTemplate: '{topic}/{mqttTopic}' });
    expect(made.topic).toBe('telemetry/a/$&/{topic}/{gateway}');
  });

  test('a record that came from no MQTT topic goes to its log topic; a tombstone is empty', () => {
    const made = publication(record([], { value: null }));
    expect(made.topic).toBe('telemetry');
    expect(made.payload.length).toBe(0);
  });

  test("the identity of an earlier hop gives way to this hop's", () => {
    const made = publication(record([...BASE, header('gatelog.id', 'edge/x/t/0/1')]));
    expect(made.properties?.userProperties).toEqual([
      { 'gatelog.ts': '1234' },
      { 'gatelog.id': IDENTITY },
    ]);
  });

  test('MQTT 3.1.1 has no properties', () => {
    expect(publication(record(BASE), { withProperties: false }).properties).toBeUndefined();
  });

  test.for([
    ['a/+/b', 'a/+/b is no MQTT topic to publish to'],
    ['#', '# is no MQTT topic to publish to'],
    ['a\0', 'is no MQTT topic to publish to'],
    ['x'.repeat(65_536), 'its MQTT topic is too long'],
    ['', 'its MQTT topic would be empty'],
  ])('topic %j is refused', ([topic = '', reason = '']) => {
    const made = publicationOf(record([header('mqtt.topic', topic)]), 't', IDENTITY, rules);
    expect(made).toMatchObject({ refused: expect.stringContaining(reason) as string });
  });

  test('what is too long for a property, or for the far side, is refused', () => {
    const long = record([...BASE, header('note', 'x'.repeat(65_536))]);
    expect(publicationOf(long, 't', IDENTITY, rules)).toEqual({
      refused: 'header note is longer than a user property may be',
    });
    const large = record(BASE, { value: Buffer.alloc(2000) });
    const tight = { ...rules, maxPacketBytes: 2000 };
    expect(publicationOf(large, 't', IDENTITY, tight)).toMatchObject({
      refused: expect.stringMatching(
        /^a packet of 2\d\d\d bytes; the far side takes at most 2000$/u,
      ) as string,
    });
    expect(publicationOf(record(BASE), 't', IDENTITY, tight)).not.toHaveProperty('refused');
  });

  test('the size computed is never less than the packet, and at most a few bytes more', () => {
    const made = publication(
      record([...BASE, header('mqtt.content-type', 'é'), header('a', 'ü'), header('a', 'x')]),
    );
    const { topic, payload, retain, properties } = made;
    const packet = generate(
      {
        cmd: 'publish',
        topic,
        payload,
        qos: 1,
        dup: false,
        retain,
        messageId: 1,
        properties: properties as object,
      },
      { protocolVersion: 5 },
    );
    const bound = packetBytes(topic, payload, properties ?? { userProperties: [] });
    expect(bound).toBeGreaterThanOrEqual(packet.length);
    expect(bound - packet.length).toBeLessThanOrEqual(6);
  });
});
