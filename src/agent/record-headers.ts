import { encodeHeaders, type Header, varintSize, writeVarint } from '../headers.ts';
import { IDENTITY_HEADER } from '../identity.ts';
import { EXPIRY_HEADER } from '../message-expiry.ts';
import { isTimeHeader } from '../time-headers.ts';
import type { PublishProperties, Qos } from './publication.ts';

/**
 * Headers written at ingest, always in this order: `mqtt.topic`, `mqtt.qos`, `mqtt.retain`, then
 * what MQTT 5 properties there are, then the user properties in their order. The first three are
 * the same for every message of one MQTT topic, QoS and retain flag, so they are encoded once.
 */
const BASE_COUNT = 3;
/** The count's varint in front of the base headers. */
const BASE_COUNT_BYTES = 1;

export function encodeBaseHeaders(mqttTopic: string, qos: Qos, retain: boolean): Uint8Array {
  return encodeHeaders(baseHeaders(mqttTopic, qos, retain));
}

/** The base headers and those that `properties` ask for. */
export function extendBaseHeaders(base: Uint8Array, properties: PublishProperties): Uint8Array {
  const extra = propertyHeaders(properties);
  appendUserHeaders(extra, properties.user);
  if (extra.length === 0) return base;
  const tail = encodeHeaders(extra).subarray(varintSize(extra.length));
  const count = BASE_COUNT + extra.length;
  const size = varintSize(count) + base.length - BASE_COUNT_BYTES + tail.length;
  const target = Buffer.allocUnsafe(size);
  let at = writeVarint(target, count, 0);
  target.set(base.subarray(BASE_COUNT_BYTES), at);
  at += base.length - BASE_COUNT_BYTES;
  target.set(tail, at);
  return target;
}

/**
 * Headers of a record that came from another gateway's mirror. Its user properties are the
 * record's own headers there, so those named `mqtt.` keep their names and stand for ours;
 * `gatelog.id` stays, as the last one, and so does what it says of the time (time-headers.ts); the
 * mirror's other `gatelog.` properties are used up.
 */
export function encodeMirroredHeaders(
  mqttTopic: string,
  qos: Qos,
  retain: boolean,
  properties: PublishProperties,
  identity: string,
): Uint8Array {
  const user: Header[] = [];
  let carriesOwn = false;
  for (let index = 0; index + 1 < properties.user.length; index += 2) {
    const name = properties.user[index] ?? '';
    if (name.startsWith('gatelog.') && !isTimeHeader(name)) continue;
    carriesOwn ||= name === 'mqtt.topic';
    user.push(textHeader(name, properties.user[index + 1] ?? ''));
  }
  const headers = carriesOwn ? [] : baseHeaders(mqttTopic, qos, retain);
  for (const header of propertyHeaders(properties)) {
    if (!user.some((own) => own.key === header.key)) headers.push(header);
  }
  return encodeHeaders([...headers, ...user, textHeader(IDENTITY_HEADER, identity)]);
}

function baseHeaders(mqttTopic: string, qos: Qos, retain: boolean): Header[] {
  return [
    textHeader('mqtt.topic', mqttTopic),
    textHeader('mqtt.qos', String(qos)),
    textHeader('mqtt.retain', retain ? '1' : '0'),
  ];
}

function propertyHeaders(properties: PublishProperties): Header[] {
  const headers: Header[] = [];
  const { contentType, responseTopic, correlationData, payloadFormat } = properties;
  const { messageExpirySeconds } = properties;
  if (contentType !== undefined) headers.push(textHeader('mqtt.content-type', contentType));
  if (responseTopic !== undefined) headers.push(textHeader('mqtt.response-topic', responseTopic));
  if (correlationData !== undefined) {
    headers.push({ key: 'mqtt.correlation-data', value: correlationData });
  }
  if (payloadFormat) headers.push(textHeader('mqtt.payload-format', '1'));
  if (messageExpirySeconds !== undefined) {
    headers.push(textHeader(EXPIRY_HEADER, String(messageExpirySeconds)));
  }
  return headers;
}

/** No device can forge our own headers: their names are taken, so its own get a prefix. */
function appendUserHeaders(headers: Header[], user: readonly string[]): void {
  for (let index = 0; index + 1 < user.length; index += 2) {
    const name = user[index] ?? '';
    const taken = name.startsWith('mqtt.') || name.startsWith('gatelog.');
    headers.push(textHeader(taken ? `user.${name}` : name, user[index + 1] ?? ''));
  }
}

function textHeader(key: string, text: string): Header {
  return { key, value: Buffer.from(text, 'utf8') };
}
