import { LIMITS } from '../limits.ts';
import type { OutgoingPacket } from './broker-packet-writer.ts';

/**
 * Topic aliases towards one device (MQTT 5, section 3.3.2.3.4), no more than it takes: the first topics
 * have them, for as long as the connection lasts.
 */
export class TopicAliasesOut {
  readonly #maximum: number;
  readonly #aliases = new Map<string, number>();

  constructor(maximum: number) {
    this.#maximum = Math.min(maximum, LIMITS.topicAliases);
  }

  /** The topic's, or the one that it could have; undefined: there is none any more. */
  of(topic: string): number | undefined {
    const known = this.#aliases.get(topic);
    if (known !== undefined) return known;
    return this.#aliases.size < this.#maximum ? this.#aliases.size + 1 : undefined;
  }

  apply(packet: OutgoingPacket, topicAlias: number): OutgoingPacket {
    const { topic = '', properties } = packet;
    const isKnown = this.#aliases.has(topic);
    return { ...packet, topic: isKnown ? '' : topic, properties: { ...properties, topicAlias } };
  }

  /** The device has been told. */
  set(topic: string, alias: number): void {
    this.#aliases.set(topic, alias);
  }
}
