import { isUtf8 } from 'node:buffer';
import { decodeHeaders, type Header } from '../../headers.ts';
import { IDENTITY_HEADER } from '../../identity.ts';
import { EXPIRY_HEADER, expiresAtMs } from '../../message-expiry.ts';
import type { LogRecord } from '../../record.ts';
import { timeHeaders } from '../../time-headers.ts';

/** How records become PUBLISH packets; see the functions for what each does. */
export interface PublicationRules {
  /** `{mqttTopic}` (the record's own, else the log topic's name), `{topic}` and `{gateway}`. */
  readonly topicTemplate: string;
  readonly gateway: string;
  /** Of the packets. */
  readonly qos: 1 | 2;
  /** Keep the recorded retain flag; else nothing is retained. */
  readonly keepRetain: boolean;
  /** MQTT 5: identity and headers travel as properties. 3.1.1 has none. */
  readonly withProperties: boolean;
  /** Wall clock in ms, for the time that is left of a record; undefined while it is not to be believed. */
  readonly nowMs?: (() => number | undefined) | undefined;
  /** Largest packet the far side takes (MQTT 5, section 3.2.2.3.6); undefined: no limit known. */
  readonly maxPacketBytes: number | undefined;
}

/** MQTT 5, section 3.3.2.3. Absent properties are absent keys: the client library wants it so. */
export interface PublicationProperties {
  payloadFormatIndicator?: boolean;
  contentType?: string;
  responseTopic?: string;
  correlationData?: Buffer;
  /** Seconds. */
  messageExpiryInterval?: number;
  /** One object a pair: the only form in which the library keeps order and repeats. */
  userProperties: Record<string, string>[];
}

export interface Publication {
  readonly topic: string;
  readonly payload: Buffer;
  readonly retain: boolean;
  readonly properties: PublicationProperties | undefined;
}

/** Longest UTF-8 string of the protocol (MQTT 5, section 1.5.4). */
const STRING_BYTES = 65_535;
const EMPTY = Buffer.alloc(0);

/**
 * The PUBLISH of a record, or why it can't be one. `identity` is the record's identity text.
 *
 * Headers that ingest wrote turn back into what they were: `mqtt.content-type` and its like into
 * real properties, all others into user properties in their order. `mqtt.topic`, `mqtt.qos` and
 * `mqtt.retain` travel as user properties only where the packet itself would say something else.
 * `gatelog.id` stands last.
 */
export function publicationOf(
  record: LogRecord,
  logTopic: string,
  identity: string,
  rules: PublicationRules,
): Publication | { readonly refused: string; readonly oversize?: boolean } {
  const headers = decodeHeaders(record.headers);
  const original = textOf(headers, 'mqtt.topic');
  const topic = fillIn(rules, original ?? logTopic, logTopic);
  const refused = refusedTopic(topic);
  if (refused !== undefined) return { refused };
  const recorded = textOf(headers, 'mqtt.retain') === '1';
  const retain = recorded && rules.keepRetain;
  const payload = bytesOf(record.value);
  if (!rules.withProperties) return { topic, payload, retain, properties: undefined };
  const sameAsPacket =
    original === undefined ||
    (original === topic &&
      recorded === retain &&
      textOf(headers, 'mqtt.qos') === String(rules.qos));
  const properties = propertiesOf(headers, sameAsPacket);
  addExpiry(properties, record, rules.nowMs?.());
  const user = properties.userProperties;
  addKey(user, record.key, topic);
  for (const { key, value } of timeHeaders(record.time)) user.push({ [key]: text(value) });
  user.push({ 'gatelog.ts': String(record.timestampMs) }, { [IDENTITY_HEADER]: identity });
  const tooLong = longString(properties);
  if (tooLong !== undefined) return { refused: tooLong };
  const { maxPacketBytes } = rules;
  if (maxPacketBytes !== undefined) {
    const size = packetBytes(topic, payload, properties);
    if (size > maxPacketBytes) {
      const why = `a packet of ${size} bytes; the far side takes at most ${maxPacketBytes}`;
      return { refused: why, oversize: true };
    }
  }
  return { topic, payload, retain, properties };
}

/** One pass: nothing that a name holds is taken for a placeholder. */
function fillIn(rules: PublicationRules, mqttTopic: string, topic: string): string {
  if (rules.topicTemplate === '{mqttTopic}') return mqttTopic;
  const values: Readonly<Record<string, string>> = { mqttTopic, topic, gateway: rules.gateway };
  return rules.topicTemplate.replaceAll(
    /\{(mqttTopic|topic|gateway)\}/gu,
    (_all, name: string) => values[name] ?? '',
  );
}

function refusedTopic(topic: string): string | undefined {
  if (topic === '') return 'its MQTT topic would be empty';
  if (/[+#\0]/u.test(topic)) return `${topic} is no MQTT topic to publish to`;
  if (Buffer.byteLength(topic) > STRING_BYTES) return 'its MQTT topic is too long';
  return undefined;
}

function propertiesOf(headers: readonly Header[], sameAsPacket: boolean): PublicationProperties {
  const properties: PublicationProperties = { userProperties: [] };
  for (const { key, value } of headers) {
    switch (key) {
      case 'mqtt.topic':
      case 'mqtt.qos':
      case 'mqtt.retain':
        if (!sameAsPacket) properties.userProperties.push({ [key]: text(value) });
        break;
      case 'mqtt.content-type':
        properties.contentType = text(value);
        break;
      case 'mqtt.response-topic':
        properties.responseTopic = text(value);
        break;
      case 'mqtt.correlation-data':
        properties.correlationData = bytesOf(value);
        break;
      case 'mqtt.payload-format':
        properties.payloadFormatIndicator = text(value) === '1';
        break;
      case EXPIRY_HEADER:
        properties.messageExpiryInterval = Number(text(value));
        break;
      case IDENTITY_HEADER:
        break; // Of the hop before this one; this hop's stands last.
      default:
        properties.userProperties.push({ [key]: text(value) });
    }
  }
  return properties;
}

/**
 * What is left of the time that the device gave (MQTT 5, section 3.3.2.3.3). A central gatelog counts it
 * from the record's own time, so it is told the whole, too.
 */
function addExpiry(
  properties: PublicationProperties,
  record: LogRecord,
  nowMs: number | undefined,
): void {
  const { messageExpiryInterval: given } = properties;
  const endsMs = given === undefined ? undefined : expiresAtMs(record);
  if (given === undefined || endsMs === undefined || nowMs === undefined) return;
  const left = Math.max(1, Math.min(given, Math.ceil((endsMs - nowMs) / 1000)));
  if (left === given) return;
  properties.messageExpiryInterval = left;
  properties.userProperties.push({ [EXPIRY_HEADER]: String(given) });
}

function addKey(user: Record<string, string>[], key: Uint8Array | null, topic: string): void {
  if (key === null) return;
  if (!isUtf8(key)) user.push({ 'gatelog.key64': bytesOf(key).toString('base64') });
  else if (text(key) !== topic) user.push({ 'gatelog.key': text(key) });
}

function longString(properties: PublicationProperties): string | undefined {
  for (const pair of properties.userProperties) {
    for (const name in pair) {
      const value = pair[name] ?? '';
      // A quarter of the limit in characters can't exceed it in bytes: counting is rare.
      if (name.length + value.length < STRING_BYTES / 4) continue;
      if (Buffer.byteLength(value) > STRING_BYTES || Buffer.byteLength(name) > STRING_BYTES) {
        return `header ${name.slice(0, 40)} is longer than a user property may be`;
      }
    }
  }
  return undefined;
}

/** Upper bound: both length fields counted at their longest (MQTT 5, sections 2.1.4 and 3.3). */
export function packetBytes(
  topic: string,
  payload: Uint8Array,
  properties: PublicationProperties,
): number {
  let size = 1 + 4 + 2 + Buffer.byteLength(topic) + 2 + 4 + payload.length;
  if (properties.payloadFormatIndicator !== undefined) size += 2;
  if (properties.messageExpiryInterval !== undefined) size += 5;
  if (properties.contentType !== undefined) size += 3 + Buffer.byteLength(properties.contentType);
  if (properties.responseTopic !== undefined) {
    size += 3 + Buffer.byteLength(properties.responseTopic);
  }
  if (properties.correlationData !== undefined) size += 3 + properties.correlationData.length;
  for (const pair of properties.userProperties) {
    for (const name in pair) {
      size += 5 + Buffer.byteLength(name) + Buffer.byteLength(pair[name] ?? '');
    }
  }
  return size;
}

function textOf(headers: readonly Header[], key: string): string | undefined {
  const found = headers.find((header) => header.key === key);
  return found === undefined ? undefined : text(found.value);
}

function text(value: Uint8Array | null): string {
  return bytesOf(value).toString('utf8');
}

/** The same bytes as a Buffer, not a copy. */
function bytesOf(value: Uint8Array | null): Buffer {
  return value === null ? EMPTY : Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}
