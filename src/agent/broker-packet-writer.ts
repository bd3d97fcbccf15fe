import mqttPacket from 'mqtt-packet';
import type { Writable } from 'node:stream';
import { assert } from '../assert.ts';
import type { AedesProperties } from './broker-aedes.ts';
import type { Qos } from './publication.ts';

/** A packet on its way to a device, as aedes makes it for mqtt-packet. */
export interface OutgoingPacket {
  readonly cmd: string;
  messageId?: number | undefined;
  /** By these two a session's queue finds a message. */
  readonly brokerId?: string | undefined;
  readonly brokerCounter?: number;
  readonly retain?: boolean;
  readonly topic?: string;
  readonly payload?: Buffer | string;
  readonly qos?: Qos;
  readonly dup?: boolean;
  readonly properties?: OutgoingProperties;
  /** Of a PUBREL. */
  readonly reasonCode?: number;
  /** Of a SUBACK. */
  readonly granted?: readonly number[];
  /** Wall clock in ms. */
  readonly messageExpiry?: number;
}

export interface OutgoingProperties extends AedesProperties {
  topicAlias?: number;
  subscriptionIdentifier?: number | readonly number[];
  /** Of a CONNACK. */
  sharedSubscriptionAvailable?: boolean;
}

export interface WriteOptions {
  readonly protocolVersion?: number;
}

/** Takes what would be written to a stream. False: wait for `drain`. */
export interface PacketOutlet {
  write(packet: OutgoingPacket, options: WriteOptions): boolean;
}

type WriteToStream = (packet: object, stream: Writable, options?: object) => boolean;

const outlets = new WeakMap<Writable, PacketOutlet>();
const module = mqttPacket as unknown as { writeToStream: WriteToStream };
const writeToStream = module.writeToStream;
/** Else it makes 65,536 buffers, one for each packet id, at the first packet that is written: 7 MB of heap for 2 bytes a packet. */
mqttPacket.writeToStream.cacheNumbers = false;
const generate = mqttPacket.generate as unknown as (packet: object, options: object) => Buffer;

/**
 * Everything that aedes says to a device it says through `writeToStream` of mqtt-packet, which it looks up
 * each time. Here packets for a stream that has an outlet go there; those of others, such as of mirrors,
 * as before.
 */
module.writeToStream = Object.assign((packet: object, stream: Writable, options?: object) => {
  const outlet = outlets.get(stream);
  if (outlet === undefined) return writeToStream(packet, stream, options);
  return outlet.write(packet as OutgoingPacket, options ?? {});
}, writeToStream);

export function interceptWrites(stream: Writable, outlet: PacketOutlet): void {
  assert(module.writeToStream !== writeToStream, 'mqtt-packet can be written through');
  outlets.set(stream, outlet);
}

/** Past the outlet. False: wait for `drain`. */
export function writePacket(
  packet: OutgoingPacket,
  stream: Writable,
  options: WriteOptions,
): boolean {
  return writeToStream(packet, stream, options);
}

export function packetBytes(packet: OutgoingPacket, options: WriteOptions): number {
  return generate(packet, options).length;
}
