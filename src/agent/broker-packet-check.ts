import { isUtf8 } from 'node:buffer';
import { CLIENT_BOUNDS, type ClientLimits } from '../client-limits.ts';
import { ProtocolViolation, REASON } from './broker-reasons.ts';
import { isText, PacketReader } from './broker-packet-reader.ts';
import { ASKED_LEVELS, isShareAsked } from './broker-share-filter.ts';

/**
 * What aedes's parser does not look at in CONNECT, SUBSCRIBE and UNSUBSCRIBE: that text is UTF-8 without
 * U+0000 (MQTT 5, section 1.5.4), how long it is, and how many filters there are. Where a packet is
 * cut short or its fields make no sense it says nothing: the parser ends such a connection.
 */
const FLAG = { will: 0x04, password: 0x40, name: 0x80 } as const;

/** Return codes of 3.1.1 beside the reason codes of MQTT 5. */
export class ConnectRefused extends ProtocolViolation {
  /** As the bytes of a CONNACK. */
  readonly answer: Buffer;

  constructor(version: number, reasonCode: number, returnCode: number, message: string) {
    super(reasonCode, message);
    this.answer = Buffer.from(
      version === 5 ? [0x20, 3, 0, reasonCode, 0] : [0x20, 2, 0, returnCode],
    );
  }
}

const RETURN = {
  protocolLevel: 1,
  identifierRejected: 2,
  unavailable: 3,
  badCredentials: 4,
} as const;

/** By the protocol's name. With another one it is none of MQTT, and gets no answer. */
const LEVELS: ReadonlyMap<string, readonly number[]> = new Map([
  ['MQTT', [4, 5]],
  ['MQIsdp', [3]],
]);

/** Throws ConnectRefused. Returns the bytes of its will. `bodyStart`: behind the packet's length. */
export function checkConnect(packet: Buffer, bodyStart: number, limits: ClientLimits): number {
  const reader = new PacketReader(packet, bodyStart);
  const protocol = reader.binary().toString('latin1');
  const version = reader.byte() & 0x7f;
  if (!reader.short && LEVELS.get(protocol)?.includes(version) === false) {
    // [MQTT-3.1.2-2]
    const why = `there is no version ${version} of ${protocol} here`;
    throw new ConnectRefused(version, REASON.protocolVersion, RETURN.protocolLevel, why);
  }
  const flags = reader.byte();
  reader.skip(2); // keep alive
  if (version === 5) readProperties(reader, 'connect');
  const id = reader.binary();
  if (reader.short) return 0;
  const refuse = (reason: number, code: number, message: string): never => {
    throw new ConnectRefused(version, reason, code, message);
  };
  if (id.length > limits.clientIdBytes) {
    const why = `a client id has ${id.length} bytes; at most ${limits.clientIdBytes} are allowed`;
    refuse(REASON.clientIdInvalid, RETURN.identifierRejected, why);
  }
  if (!isText(id)) {
    const why = 'a client id is not UTF-8 text, or holds U+0000';
    refuse(REASON.clientIdInvalid, RETURN.identifierRejected, why);
  }
  if (((flags >> 3) & 0x03) === 3) {
    // [MQTT-3.1.2-14], of MQTT 5 [MQTT-3.1.2-12]
    refuse(REASON.malformed, RETURN.unavailable, 'a will has the QoS 3, which there is not');
  }
  let will = 0;
  if ((flags & FLAG.will) !== 0) {
    const willStart = reader.at;
    if (version === 5) readProperties(reader, 'will');
    const topic = reader.binary();
    reader.skip(reader.uint16());
    if (reader.short) return 0;
    will = reader.at - willStart;
    if (will > limits.willBytes) {
      const why = `a will has ${will} bytes; at most ${limits.willBytes} are allowed`;
      refuse(REASON.quotaExceeded, RETURN.unavailable, why);
    }
    if (!isUtf8(topic)) {
      refuse(REASON.malformed, RETURN.unavailable, 'the topic of a will is not UTF-8 text');
    }
  }
  if ((flags & FLAG.name) !== 0 && !isText(reader.binary())) {
    refuse(REASON.malformed, RETURN.unavailable, 'a user name is not UTF-8 text');
  }
  if ((flags & FLAG.password) !== 0) {
    if (version !== 5 && (flags & FLAG.name) === 0) {
      // [MQTT-3.1.2-22]
      refuse(REASON.malformed, RETURN.badCredentials, 'a password comes without a user name');
    }
    reader.binary();
  }
  if (!reader.short && !reader.done) {
    refuse(REASON.malformed, RETURN.unavailable, 'a CONNECT goes on behind its end');
  }
  return will;
}

/** MQTT 5 has a word for what is wrong with them. */
function readProperties(reader: PacketReader, of: 'connect' | 'will'): void {
  try {
    reader.properties(of);
  } catch (error) {
    if (!(error instanceof ProtocolViolation)) throw error;
    throw new ConnectRefused(5, error.reasonCode, RETURN.unavailable, error.message);
  }
}

export interface FilterRules extends Pick<ClientLimits, 'topicBytes' | 'topicLevels'> {
  readonly isSubscribe: boolean;
}

/** Throws ProtocolViolation. */
export function checkFilters(
  packet: Buffer,
  bodyStart: number,
  version: number,
  { isSubscribe, topicBytes, topicLevels }: FilterRules,
): void {
  const reader = new PacketReader(packet, bodyStart);
  const packetId = reader.uint16();
  if (version === 5) reader.properties(isSubscribe ? 'subscribe' : 'unsubscribe');
  let count = 0;
  if (packetId === 0 && !reader.short) {
    // [MQTT-2.2.1-3], of 3.1.1 [MQTT-2.3.1-1]
    throw new ProtocolViolation(REASON.malformed, 'a packet with topic filters has the id 0');
  }
  if (reader.done && !reader.short) {
    // [MQTT-3.8.3-2], [MQTT-3.10.3-2]
    throw new ProtocolViolation(REASON.protocolError, 'a packet has no topic filter');
  }
  while (!reader.short && !reader.done) {
    const filter = reader.binary();
    if (isSubscribe) reader.skip(1);
    if (reader.short) return;
    count++;
    if (count > CLIENT_BOUNDS.filtersPerPacket) {
      const why = `a packet holds more than ${CLIENT_BOUNDS.filtersPerPacket} topic filters`;
      throw new ProtocolViolation(REASON.quotaExceeded, why);
    }
    if (filter.length > topicBytes) {
      const why = `a topic filter has ${filter.length} bytes; at most ${topicBytes} are allowed`;
      throw new ProtocolViolation(REASON.topicFilterInvalid, why);
    }
    const levels = levelsOf(filter);
    if (levels > topicLevels) {
      const why = `a topic filter has ${levels} levels; at most ${topicLevels} are allowed`;
      throw new ProtocolViolation(REASON.topicFilterInvalid, why);
    }
    if (isText(filter)) continue;
    const why = 'a topic filter is not UTF-8 text, or holds U+0000';
    throw new ProtocolViolation(REASON.malformed, why);
  }
}

/** Of the filter within a shared one, which aedes is given with others before it. */
function levelsOf(filter: Buffer): number {
  let levels = 1;
  for (let at = filter.indexOf('/'); at >= 0; at = filter.indexOf('/', at + 1)) levels++;
  return isShareAsked(filter.toString('latin1')) ? levels - ASKED_LEVELS : levels;
}
