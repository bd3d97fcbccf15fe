import { metadataV9 } from '@platformatic/kafka';
import { GatelogError, messageOf } from '../../errors.ts';
import { MIRROR_LIMITS } from '../../mirror-limits.ts';
import type { KeyValue } from '../../store/log.ts';
import type { Logger } from '../../telemetry.ts';
import type { Clock } from '../../time.ts';
import type { Way } from './plan.ts';
import type { Links } from './links.ts';

const KEY = 'partitions';

export interface PartitionWatchOptions {
  /** This mirror's own space. */
  readonly values: KeyValue;
  readonly clock: Clock;
  readonly isCostly?: (() => boolean) | undefined;
  readonly logger: Logger;
}

/**
 * Follows the number of partitions of central topics. A key goes to a partition by that number, so
 * when it grows the records of a key stand in two partitions: in order in each, the older ones in the
 * one, all later ones in the other. A session keeps to the number that it began with; when another is
 * seen the session ends, and the next one goes by it, which is said.
 */
export class PartitionWatch {
  readonly #options: PartitionWatchOptions;
  #known: Map<string, number> | undefined;

  constructor(options: PartitionWatchOptions) {
    this.#options = options;
  }

  /** What a session begins with; says what has changed since the last one, of this process or before. */
  async begin(ways: Iterable<Way>): Promise<ReadonlyMap<string, number>> {
    const now = new Map<string, number>();
    for (const { centralTopic, centralPartitions } of ways)
      now.set(centralTopic, centralPartitions);
    const known = (this.#known ??= await this.#load());
    let changed = false;
    for (const [topic, partitions] of now) {
      const before = known.get(topic);
      if (before === partitions) continue;
      changed = true;
      known.set(topic, partitions);
      if (before !== undefined) this.#tell(topic, before, partitions);
    }
    if (changed) await this.#options.values.put(KEY, Buffer.from(JSON.stringify([...known])));
    return now;
  }

  /** Looks again from time to time, until `signal` aborts; breaks the session when there are more. */
  async watch(
    links: Links,
    begun: ReadonlyMap<string, number>,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock, logger, isCostly } = this.#options;
    for (;;) {
      const { kafkaPartitionsMs, kafkaCostlyPartitionsMs } = MIRROR_LIMITS;
      const everyMs = isCostly?.() === true ? kafkaCostlyPartitionsMs : kafkaPartitionsMs;
      await clock.sleep(everyMs, signal);
      if (signal.aborted) return;
      try {
        const changed = await this.#changed(links, begun);
        if (changed === undefined) continue;
        links.breakOff(new GatelogError('UPSTREAM_UNREACHABLE', changed));
        return;
      } catch (error) {
        // Whoever sends is told, too.
        logger.debug({ error: messageOf(error) }, 'the central partitions could not be looked at');
      }
    }
  }

  async #changed(links: Links, begun: ReadonlyMap<string, number>): Promise<string | undefined> {
    const [broker] = links.addresses;
    if (broker === undefined || begun.size === 0) return undefined;
    const { api } = metadataV9;
    const { topics } = await links.call(broker, api, [...begun.keys()], false, false, false);
    const grown = topics.find(
      ({ name, errorCode, partitions }) =>
        errorCode === 0 && partitions.length > (begun.get(name) ?? Infinity),
    );
    if (grown === undefined) return undefined;
    return `Topic '${grown.name}' has ${grown.partitions.length} partitions at Kafka now: connecting anew to go by them`;
  }

  #tell(topic: string, before: number, partitions: number): void {
    this.#options.logger.warn(
      { event: 'kafka.partitions', topic, before, partitions },
      `topic '${topic}' has ${partitions} partitions at Kafka, and had ${before}: from here on keys are spread over ${partitions}; of most keys the older records stay in another partition than all later ones, each in order`,
    );
  }

  async #load(): Promise<Map<string, number>> {
    const bytes = await this.#options.values.get(KEY);
    if (bytes === undefined) return new Map();
    return new Map(JSON.parse(Buffer.from(bytes).toString('utf8')) as [string, number][]);
  }
}
