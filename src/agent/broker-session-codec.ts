import type { StreamId } from '../record.ts';
import type { WhoIs } from './acl-filter.ts';
import type { AedesProperties } from './broker-aedes.ts';
import type { Qos } from './publication.ts';

/** Where in the log a payload stands. */
export interface LogReference {
  readonly stream: StreamId;
  readonly offset: number;
}

/** A message as aedes passes it around; see aedes-packet. */
export interface KeptPacket {
  cmd: 'publish';
  brokerId: string | undefined;
  brokerCounter: number;
  topic: string;
  payload: Buffer | string;
  qos: Qos;
  retain: boolean;
  dup: boolean;
  clientId?: string;
  nl?: boolean;
  properties?: AedesProperties;
  /** Wall clock in ms after which nobody wants it (MQTT 5). */
  messageExpiry?: number;
  messageId?: number | undefined;
  /** Of a will: who left it, for the rules of the day on which it is published. */
  leftBy?: WhoIs;
}

/** Names are short: they stand before every message. */
interface Head {
  readonly b?: string;
  readonly c?: number;
  readonly t: string;
  readonly q?: Qos;
  readonly r?: 1;
  readonly d?: 1;
  readonly i?: string;
  readonly n?: boolean;
  readonly p?: object;
  readonly e?: number;
  /** Who left it, and with which roles. */
  readonly w?: readonly [user: string | null, ...roles: string[]];
  /** The payload was text. */
  readonly s?: 1;
  readonly f?: readonly [stream: number, offset: number];
}

const LENGTH_BYTES = 4;

/** Length of the head, the head as JSON, the payload. With a reference there is no payload. */
export function encodeMessage(packet: KeptPacket, reference: LogReference | undefined): Buffer {
  const { brokerId, brokerCounter, qos, clientId, nl, properties, messageExpiry, leftBy } = packet;
  const head: Head = {
    ...(brokerId === undefined ? {} : { b: brokerId }),
    ...(brokerCounter === 0 ? {} : { c: brokerCounter }),
    t: packet.topic,
    ...(qos === 0 ? {} : { q: qos }),
    ...(packet.retain ? { r: 1 } : {}),
    ...(packet.dup ? { d: 1 } : {}),
    ...(clientId === undefined ? {} : { i: clientId }),
    ...(nl === undefined ? {} : { n: nl }),
    ...(properties === undefined ? {} : { p: encodable(properties) }),
    ...(messageExpiry === undefined ? {} : { e: messageExpiry }),
    ...(leftBy === undefined ? {} : { w: [leftBy.user ?? null, ...(leftBy.roles ?? [])] as const }),
    ...(typeof packet.payload === 'string' ? { s: 1 } : {}),
    ...(reference === undefined ? {} : { f: [reference.stream, reference.offset] as const }),
  };
  const text = Buffer.from(JSON.stringify(head));
  const length = Buffer.allocUnsafe(LENGTH_BYTES);
  length.writeUInt32BE(text.length);
  if (reference !== undefined) return Buffer.concat([length, text]);
  return Buffer.concat([length, text, Buffer.from(packet.payload as Buffer)]);
}

export interface DecodedMessage {
  readonly packet: KeptPacket;
  /** Its payload is there, and not in the packet. */
  readonly reference: LogReference | undefined;
}

/** Throws for bytes that `encodeMessage` did not make. */
export function decodeMessage(bytes: Uint8Array): DecodedMessage {
  const buffer = Buffer.from(bytes); // a copy: the value's memory is the database's
  const start = LENGTH_BYTES + buffer.readUInt32BE();
  const head = JSON.parse(buffer.toString('utf8', LENGTH_BYTES, start)) as Head;
  const payload = buffer.subarray(start);
  const packet: KeptPacket = {
    cmd: 'publish',
    brokerId: head.b,
    brokerCounter: head.c ?? 0,
    topic: head.t,
    payload: head.s === 1 ? payload.toString() : payload,
    // Wills of QoS 3 were taken once, and no client takes a message of that.
    qos: Math.min(head.q ?? 0, 2) as Qos,
    retain: head.r === 1,
    dup: head.d === 1,
  };
  if (packet.qos > 0) packet.messageId = undefined;
  if (head.i !== undefined) packet.clientId = head.i;
  if (head.n !== undefined) packet.nl = head.n;
  if (head.p !== undefined) packet.properties = decoded(head.p);
  if (head.e !== undefined) packet.messageExpiry = head.e;
  if (head.w !== undefined) {
    const [user, ...roles] = head.w;
    packet.leftBy = { user: user ?? undefined, roles };
  }
  const [stream, offset] = head.f ?? [];
  if (stream === undefined || offset === undefined) return { packet, reference: undefined };
  return { packet, reference: { stream: stream as StreamId, offset } };
}

/** The one property that is bytes. */
function encodable(properties: AedesProperties): object {
  const { correlationData } = properties;
  if (correlationData === undefined) return properties;
  return { ...properties, correlationData: correlationData.toString('base64') };
}

function decoded(found: object): AedesProperties {
  const { correlationData, ...rest } = found as { correlationData?: string } & AedesProperties;
  if (correlationData === undefined) return rest;
  return { ...rest, correlationData: Buffer.from(correlationData, 'base64') };
}
