import fc from 'fast-check';
import { generate, type Packet } from 'mqtt-packet';
import { describe, expect, test } from 'vitest';
import { FrameReader } from '../../src/agent/broker-frames.ts';
import { checkTopic, PublishDecoder } from '../../src/agent/broker-publish.ts';
import { REASON } from '../../src/agent/broker-reasons.ts';

function decode(bytes: Buffer, version: 4 | 5): PublishDecoder {
  const frames = new FrameReader(1_000_000);
  frames.push(bytes);
  expect(frames.next()).toBe(true);
  const decoder = new PublishDecoder();
  decoder.decode(frames.buffer, frames.first, frames.bodyStart, frames.end, version);
  return decoder;
}

/** A PUBLISH of MQTT 5 with these property bytes, QoS 0, topic `t`, payload `p`. */
function withProperties(...bytes: number[]): Buffer {
  const body = [0, 1, 0x74, bytes.length, ...bytes, 0x70];
  return Buffer.from([0x30, body.length, ...body]);
}

function pair(name: string, value: string): number[] {
  const text = (one: string): number[] => [0, one.length, ...Buffer.from(one)];
  return [0x26, ...text(name), ...text(value)];
}

test('reads what mqtt-packet writes', () => {
  const text = fc.string({ maxLength: 20 }).filter((one) => !one.includes('\0'));
  const topic = fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme' });
  const properties = fc.record(
    {
      payloadFormatIndicator: fc.boolean(),
      messageExpiryInterval: fc.nat(0xffff_ffff),
      contentType: text,
      responseTopic: fc.stringMatching(/^[a-z/]{1,9}$/u),
      correlationData: fc.uint8Array({ maxLength: 9 }).map((bytes) => Buffer.from(bytes)),
      topicAlias: fc.integer({ min: 1, max: 65_535 }),
    },
    { requiredKeys: [] },
  );
  const message = fc.record({
    topic: topic.filter((one) => !/[+#\0]/u.test(one)),
    payload: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    qos: fc.constantFrom(0, 1, 2),
    retain: fc.boolean(),
    dup: fc.boolean(),
    messageId: fc.integer({ min: 1, max: 65_535 }),
    version: fc.constantFrom(4, 5),
    properties,
  });
  fc.assert(
    fc.property(message, ({ version, properties: sent, ...fields }) => {
      const dup = fields.dup && fields.qos > 0;
      const packet = { cmd: 'publish', ...fields, dup, properties: sent } as Packet;
      const protocolVersion = version;
      const decoder = decode(generate(packet, { protocolVersion }), protocolVersion);
      expect(decoder).toMatchObject({
        topic: fields.topic,
        qos: fields.qos,
        retain: fields.retain,
        dup,
        id: fields.qos === 0 ? 0 : fields.messageId,
        alias: version === 5 ? (sent.topicAlias ?? 0) : 0,
      });
      expect(Buffer.from(decoder.payload)).toEqual(fields.payload);
      const some = version === 5 && Object.keys(sent).length > 0;
      expect(decoder.properties).toEqual(
        some
          ? {
              payloadFormat: sent.payloadFormatIndicator ?? false,
              messageExpirySeconds: sent.messageExpiryInterval,
              contentType: sent.contentType,
              responseTopic: sent.responseTopic,
              correlationData: sent.correlationData,
              user: [],
            }
          : undefined,
      );
    }),
  );
});

test('user properties keep order, repeats, empty values and names that look like numbers', () => {
  const bytes = withProperties(
    ...pair('b', ''),
    ...pair('1', 'x'),
    ...pair('b', '2'),
    ...pair('', 'y'),
  );
  expect(decode(bytes, 5).properties?.user).toEqual(['b', '', '1', 'x', 'b', '2', '', 'y']);
});

describe('malformed', () => {
  test.each([
    ['QoS 3', Buffer.from([0x36, 5, 0, 1, 0x74, 0, 1]), 4],
    ['no topic', Buffer.from([0x30, 1, 0]), 4],
    ['topic beyond the end', Buffer.from([0x30, 3, 0, 9, 0x74]), 4],
    ['no packet id', Buffer.from([0x32, 4, 0, 1, 0x74, 0]), 4],
    ['packet id 0', Buffer.from([0x32, 5, 0, 1, 0x74, 0, 0]), 4],
    ['topic not UTF-8', Buffer.from([0x30, 4, 0, 2, 0xc3, 0x28]), 4],
    ['no property length', Buffer.from([0x30, 3, 0, 1, 0x74]), 5],
    ['properties beyond the end', Buffer.from([0x30, 4, 0, 1, 0x74, 9]), 5],
    ['property cut short', withProperties(0x02, 0, 0), 5],
    ['user property with NUL', withProperties(...pair('a', '\0')), 5],
    ['user property not UTF-8', withProperties(0x26, 0, 1, 0xff, 0, 0), 5],
  ] as const)('%s', (_, bytes, version) => {
    expect(() => decode(bytes, version)).toThrow(
      expect.objectContaining({ reasonCode: REASON.malformed }),
    );
  });

  test.each([
    ['the same property twice', withProperties(0x01, 0, 0x01, 0)],
    ['payload format 2', withProperties(0x01, 2)],
    ['subscription identifier from a client', withProperties(0x0b, 1)],
    ['unknown property', withProperties(0x7f)],
    ['wildcard in the response topic', withProperties(0x08, 0, 1, 0x23)],
  ])('%s', (_, bytes) => {
    expect(() => decode(bytes, 5)).toThrow(
      expect.objectContaining({ reasonCode: REASON.protocolError }),
    );
  });

  test('a property that may stand beside another one does', () => {
    // 0x03 and 0x23 are equal in their lower five bits.
    expect(decode(withProperties(0x03, 0, 1, 0x78, 0x23, 0, 7), 5).alias).toBe(7);
  });
});

test.each([
  ['', 'empty topic'],
  ['a/#', 'wildcard'],
  ['a/+/b', 'wildcard'],
  ['a\0b', 'NUL'],
  [Array.from({ length: 65 }, () => 'x').join('/'), '65 levels; at most 64'],
])('topic %j is refused', (topic, message) => {
  expect(() => {
    checkTopic(topic);
  }).toThrow(message);
});

test.each(['a', '/', 'a//b', ' ', '$SYS/x', Array.from({ length: 64 }, () => 'x').join('/')])(
  'topic %j is fine',
  (topic) => {
    expect(() => {
      checkTopic(topic);
    }).not.toThrow();
  },
);
