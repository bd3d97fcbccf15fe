import { isUtf8 } from 'node:buffer';
import { type ClientLimits, DEFAULT_CLIENT_LIMITS } from '../client-limits.ts';
import { ProtocolViolation, REASON } from './broker-reasons.ts';
import type { PublishProperties, Qos } from './publication.ts';

/**
 * Decodes PUBLISH (MQTT 5, section 3.3; 3.1.1 is the same without properties). Our own, because
 * mqtt-packet's object of user properties loses their order across names and empty repeats, checks
 * neither UTF-8 nor NUL, and costs three times as much. Fields are reused from packet to packet:
 * no object per message.
 */
export class PublishDecoder {
  topic = '';
  qos: Qos = 0;
  retain = false;
  dup = false;
  /** 0 for QoS 0. */
  id = 0;
  /** 0: none. */
  alias = 0;
  properties: PublishProperties | undefined = undefined;
  payload: Buffer = Buffer.alloc(0);

  /** Throws ProtocolViolation. The topic's own rules are checked by `checkTopic`. */
  decode(buffer: Buffer, first: number, start: number, end: number, version: number): void {
    const qos = (first >> 1) & 3;
    if (qos === 3) throw malformed('a PUBLISH has QoS 3');
    this.qos = qos as Qos;
    this.retain = (first & 1) !== 0;
    this.dup = (first & 8) !== 0;
    // [MQTT-3.3.1-2]
    if (qos === 0 && this.dup) throw malformed('a PUBLISH of QoS 0 says that it is sent again');
    if (start + 2 > end) throw malformed('a PUBLISH ends inside its topic');
    const topicStart = start + 2;
    let at = topicStart + buffer.readUInt16BE(start);
    if (at > end) throw malformed('a PUBLISH ends inside its topic');
    this.topic = buffer.toString('utf8', topicStart, at);
    if (this.topic.includes('\uFFFD') && !isUtf8(buffer.subarray(topicStart, at))) {
      throw malformed('a PUBLISH has a topic that is not UTF-8'); // [MQTT-1.5.4-1]
    }
    this.id = 0;
    if (qos > 0) {
      if (at + 2 > end) throw malformed('a PUBLISH ends inside its packet id');
      this.id = buffer.readUInt16BE(at);
      if (this.id === 0) throw malformed('a PUBLISH has packet id 0'); // [MQTT-2.2.1-3]
      at += 2;
    }
    this.alias = 0;
    this.properties = undefined;
    if (version === 5) {
      if (buffer[at] === 0 && at < end) at++;
      else at = this.#decodeProperties(buffer, at, end);
    }
    this.payload = buffer.subarray(at, end);
  }

  #decodeProperties(buffer: Buffer, start: number, end: number): number {
    const reader = new PropertyReader(buffer, start, end);
    reader.enterBlock();
    const found: Mutable<PublishProperties> = {
      payloadFormat: false,
      messageExpirySeconds: undefined,
      contentType: undefined,
      responseTopic: undefined,
      correlationData: undefined,
      user: [],
    };
    const user: string[] = [];
    const seen: number[] = [];
    while (!reader.done()) {
      const code = reader.byte();
      if (code !== 0x26) {
        if (seen.includes(code)) throw repeated(code);
        seen.push(code);
      }
      this.#decodeProperty(code, reader, found, user);
    }
    found.user = user;
    this.properties = found;
    return reader.at;
  }

  #decodeProperty(
    code: number,
    reader: PropertyReader,
    found: Mutable<PublishProperties>,
    user: string[],
  ): void {
    switch (code) {
      case 0x01: {
        const format = reader.byte();
        if (format > 1) throw violation('a PUBLISH has an unknown payload format indicator');
        found.payloadFormat = format === 1;
        break;
      }
      case 0x02:
        found.messageExpirySeconds = reader.uint32();
        break;
      case 0x03:
        found.contentType = reader.text();
        break;
      case 0x08:
        found.responseTopic = reader.text();
        if (/[+#]/u.test(found.responseTopic)) {
          throw violation('a PUBLISH has a wildcard in its response topic'); // [MQTT-3.3.2-14]
        }
        break;
      case 0x09:
        found.correlationData = reader.binary();
        break;
      case 0x23:
        this.alias = reader.uint16();
        if (this.alias === 0) {
          throw new ProtocolViolation(REASON.topicAliasInvalid, 'a PUBLISH has topic alias 0');
        }
        break;
      case 0x26:
        user.push(reader.text(), reader.text());
        break;
      default:
        throw violation(`a PUBLISH from a client has the property 0x${code.toString(16)}`);
    }
  }
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

class PropertyReader {
  readonly #buffer: Buffer;
  #end: number;
  at: number;

  constructor(buffer: Buffer, start: number, end: number) {
    this.#buffer = buffer;
    this.at = start;
    this.#end = end;
  }

  /** Reads the block's length, which becomes the new end. */
  enterBlock(): void {
    let length = 0;
    let scale = 1;
    for (;;) {
      const byte = this.byte();
      length += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
      scale *= 128;
      if (scale > 2_097_152) throw malformed('a property length has more than four bytes');
    }
    if (this.at + length > this.#end) throw malformed('a PUBLISH ends inside its properties');
    this.#end = this.at + length;
  }

  done(): boolean {
    return this.at >= this.#end;
  }

  byte(): number {
    return this.#buffer.readUInt8(this.#advance(1));
  }

  uint16(): number {
    return this.#buffer.readUInt16BE(this.#advance(2));
  }

  uint32(): number {
    return this.#buffer.readUInt32BE(this.#advance(4));
  }

  binary(): Buffer {
    const length = this.uint16();
    const start = this.#advance(length);
    return this.#buffer.subarray(start, start + length);
  }

  text(): string {
    const bytes = this.binary();
    if (!isUtf8(bytes) || bytes.includes(0)) {
      throw malformed('a property is not UTF-8 text'); // [MQTT-1.5.4-1] and [MQTT-1.5.4-2]
    }
    return bytes.toString('utf8');
  }

  #advance(bytes: number): number {
    const from = this.at;
    if (from + bytes > this.#end) throw malformed('a PUBLISH ends inside its properties');
    this.at = from + bytes;
    return from;
  }
}

/** The bounds of a topic's name. */
type TopicLimits = Pick<ClientLimits, 'topicBytes' | 'topicLevels'>;

/** The rules for a topic name (MQTT 5, section 4.7) and our bounds on its length and levels. */
export function checkTopic(topic: string, limits: TopicLimits = DEFAULT_CLIENT_LIMITS): void {
  const trouble = topicTrouble(topic, limits);
  if (trouble !== undefined) throw new ProtocolViolation(REASON.topicNameInvalid, trouble);
}

function topicTrouble(topic: string, { topicBytes, topicLevels }: TopicLimits): string | undefined {
  if (topic === '') return 'a message has an empty topic'; // [MQTT-4.7.3-1]
  let levels = 1;
  for (let index = 0; index < topic.length; index++) {
    const code = topic.charCodeAt(index);
    if (code === 0x2f) levels++;
    else if (code === 0x23 || code === 0x2b) {
      return `a message's topic holds a wildcard: ${JSON.stringify(topic.slice(0, 100))}`; // [MQTT-3.3.2-2]
    } else if (code === 0) return 'a message’s topic holds a NUL character'; // [MQTT-4.7.3-2]
  }
  if (levels > topicLevels) {
    return `a message's topic has ${levels} levels; at most ${topicLevels} are allowed`;
  }
  const bytes = Buffer.byteLength(topic);
  if (bytes <= topicBytes) return undefined;
  return `a message's topic has ${bytes} bytes; at most ${topicBytes} are allowed`;
}

function malformed(message: string): ProtocolViolation {
  return new ProtocolViolation(REASON.malformed, message);
}

function violation(message: string): ProtocolViolation {
  return new ProtocolViolation(REASON.protocolError, message);
}

function repeated(code: number): ProtocolViolation {
  return violation(`a PUBLISH has the property 0x${code.toString(16)} twice`);
}
