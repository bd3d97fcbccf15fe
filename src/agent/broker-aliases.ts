import type { ClientLimits } from '../client-limits.ts';
import { LIMITS } from '../limits.ts';
import { checkTopic } from './broker-publish.ts';
import { ProtocolViolation, REASON } from './broker-reasons.ts';

/** Topic aliases of one connection [MQTT-3.3.2-7] to [MQTT-3.3.2-12]; they end with it. */
export class TopicAliases {
  readonly #topics = new Map<number, string>();
  readonly #limits: ClientLimits;

  constructor(limits: ClientLimits) {
    this.#limits = limits;
  }

  /** `topic` is empty when the alias stands for one set before. Throws ProtocolViolation. */
  resolve(alias: number, topic: string): string {
    if (alias > LIMITS.topicAliases) {
      throw new ProtocolViolation(REASON.topicAliasInvalid, `topic alias ${alias} is too large`);
    }
    if (topic !== '') {
      checkTopic(topic, this.#limits);
      this.#topics.set(alias, topic);
      return topic;
    }
    const known = this.#topics.get(alias);
    if (known !== undefined) return known;
    throw new ProtocolViolation(REASON.protocolError, `topic alias ${alias} was never set`);
  }
}
