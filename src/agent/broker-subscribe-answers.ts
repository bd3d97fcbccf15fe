import { filterAsAsked } from './broker-share-filter.ts';

export interface AskedSubscription {
  topic: string;
  readonly nl?: boolean;
}

/** A SUBSCRIBE as mqtt-packet reads it. */
export interface SubscribePacket {
  readonly cmd: 'subscribe';
  readonly messageId?: number;
  subscriptions: AskedSubscription[];
}

interface Asked {
  readonly packet: SubscribePacket;
  readonly filters: readonly string[];
}

const FAILURE = 0x80;

/**
 * Makes SUBACK say one word for each filter, in the order of SUBSCRIBE [MQTT-3.9.3-1]: aedes says one for
 * filters that stand there twice, numbers before all others, and knows one reason for every refusal.
 */
export class SubscribeAnswers {
  readonly #asked = new Map<number, Asked>();
  readonly #refused = new Map<string, number>();

  /** Before aedes has it. */
  asked(packet: SubscribePacket): void {
    const filters = packet.subscriptions.map(({ topic }) => topic);
    this.#asked.set(packet.messageId ?? 0, { packet, filters });
  }

  refuse(filter: string, reasonCode: number): void {
    this.#refused.set(filterAsAsked(filter), reasonCode);
  }

  /** `granted`: what aedes would say. */
  answer(messageId: number, granted: readonly number[], isMqtt5: boolean): number[] {
    const asked = this.#asked.get(messageId);
    if (asked === undefined) return [...granted];
    this.#asked.delete(messageId);
    const codes = new Map<string, number>();
    for (const [at, { topic }] of asked.packet.subscriptions.entries()) {
      codes.set(topic, this.#codeOf(topic, granted[at] ?? FAILURE, isMqtt5));
    }
    return asked.filters.map((filter) => codes.get(filter) ?? FAILURE);
  }

  #codeOf(filter: string, granted: number, isMqtt5: boolean): number {
    const asked = filterAsAsked(filter);
    const reason = this.#refused.get(asked);
    this.#refused.delete(asked);
    if (granted < FAILURE) return granted;
    return isMqtt5 ? (reason ?? granted) : FAILURE;
  }
}
