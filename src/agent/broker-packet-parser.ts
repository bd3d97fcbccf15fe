import mqttPacket from 'mqtt-packet';
import type { EventEmitter } from 'node:events';

/** What a packet's bytes mean depends on: what CONNECT said. */
export interface WireSettings {
  readonly protocolVersion?: number;
  /** The client is a bridge of Mosquitto's kind: its SUBSCRIBE says more. */
  readonly bridgeMode?: boolean;
}

interface Parser extends EventEmitter {
  settings: WireSettings;
  parse(bytes: Buffer): number;
}

const UNKNOWN: WireSettings = {};

/**
 * Whole packets, one after the other, by mqtt-packet. One for all connections: a parser of one's own is a
 * stream with all that belongs to one, 3 KiB a connection, and keeps CONNECT with its password for as long as the
 * connection stands.
 */
export class PacketParser {
  #parser: Parser = this.#begin();
  #found: object | undefined;
  #trouble: Error | undefined;

  /** The packet; or the error that mqtt-packet would emit; or nothing, where it wants more. May throw. */
  read(bytes: Buffer, settings: WireSettings | undefined): object | Error | undefined {
    this.#found = undefined;
    this.#trouble = undefined;
    this.#parser.settings = settings ?? UNKNOWN;
    try {
      this.#parser.parse(bytes);
      return this.#trouble ?? this.#found;
    } finally {
      // What it still holds is of this packet, and nothing for the next.
      if (this.#found === undefined || this.#trouble !== undefined) this.#parser = this.#begin();
      this.#parser.settings = UNKNOWN; // lets CONNECT go
      this.#found = undefined;
    }
  }

  #begin(): Parser {
    const parser = mqttPacket.parser() as unknown as Parser;
    parser.on('packet', (packet: object) => {
      this.#found = packet;
    });
    parser.on('error', (error: Error) => {
      this.#trouble = error;
    });
    return parser;
  }
}
