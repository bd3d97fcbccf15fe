import { kafkaConnection } from '../agent/mirrors.ts';
import type { KafkaUpstreamConfig } from '../agent/config-types.ts';
import { GatelogError } from '../errors.ts';
import { METRICS } from '../health.ts';
import { parseIdentity } from '../identity.ts';
import { GAPS } from '../loss.ts';
import { type CentralRecord } from '../mirror/kafka/fetch.ts';
import { CommittedReader } from '../mirror/kafka/consume.ts';
import { centralTopicName } from '../mirror/kafka/layout.ts';
import type { Clock } from '../time.ts';
import type { Told } from './fleet-book.ts';

export interface FleetKafkaOptions {
  readonly kafka: KafkaUpstreamConfig;
  /** Of the configuration that is read with; stands in the names of central topics where they say so. */
  readonly gateway: string;
  /** Instead of the one that the mirror would send `_metrics` to. */
  readonly topics: readonly string[] | undefined;
  readonly sinceMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** What gateways told of themselves, as the central Kafka has it. In passes, each from where the last one ended. */
export class FleetKafka {
  readonly #reader: CommittedReader;

  constructor({ kafka, gateway, topics, sinceMs, clock, signal }: FleetKafkaOptions) {
    const central = (topic: string): string => centralTopicName(kafka.topic, topic, gateway);
    const wanted = topics ?? [central(METRICS)];
    this.#reader = new CommittedReader({
      ...kafkaConnection(kafka),
      topics: wanted,
      ifThere: wanted.includes(central(GAPS)) ? undefined : central(GAPS),
      since: new Map(wanted.map((topic) => [topic, sinceMs])),
      clock,
      signal,
    });
  }

  async pass(take: (told: Told) => void): Promise<void> {
    try {
      for await (const records of this.#reader.pass()) {
        for (const record of records) {
          const told = toldBy(record);
          if (told !== undefined) take(told);
        }
      }
    } catch (error) {
      if (!(error instanceof GatelogError) || error.code !== 'UPSTREAM_TOPIC_MISSING') throw error;
      const message = `${error.message}: no gateway that mirrors there tells of itself yet (metrics.interval in its configuration); --topic names another topic`;
      throw new GatelogError('UPSTREAM_TOPIC_MISSING', message, { cause: error });
    }
  }

  close(): void {
    this.#reader.close();
  }
}

/** undefined: nobody can say whose it is. */
function toldBy({ identity: text, own = null }: CentralRecord): Told | undefined {
  const identity = text === undefined ? undefined : parseIdentity(text);
  if (identity === undefined) return undefined;
  return { ...identity, own };
}
