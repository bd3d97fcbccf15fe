import { type Coverage, type Coverages, fromFlat, union, upTo, withRange } from '../coverage.ts';
import { GatelogError } from '../errors.ts';
import type { ExportHeld } from '../mirror/file/export-had.ts';
import { exportFrames } from '../mirror/file/export-source.ts';
import { Journal } from '../mirror/kafka/journal.ts';
import { KAFKA_DEFAULTS, kafkaNames } from '../mirror/kafka/options.ts';
import { selectTopics, streamsOf, topicMatcher } from '../mirror/selection.ts';
import type { MirrorStream } from '../mirror/upstream.ts';
import type { StreamId } from '../record.ts';
import type { Store } from '../store/log.ts';
import type { Clock } from '../time.ts';
import { suggestion } from '../words.ts';
import type { Config, KafkaUpstreamConfig } from './config-types.ts';
import { journalSpace, positionsName } from './known-mirrors.ts';

/**
 * What a mirror has not sent, for files that a person carries to the centre. It is noted first that
 * these records are about to leave: when the far side has them later, under our name, no stranger
 * sent them.
 */
export class Exports {
  /** As of now. */
  readonly #present: () => Pick<Config, 'gateway' | 'mirrors'>;
  readonly #store: Store;
  readonly #clock: Clock;

  constructor(present: () => Pick<Config, 'gateway' | 'mirrors'>, store: Store, clock: Clock) {
    this.#present = present;
    this.#store = store;
    this.#clock = clock;
  }

  /**
   * The bytes of the frames up to where the log ends now, without what the far side has by our books
   * and what earlier exports hold (`held`). Throws NOT_FOUND and USAGE before the first.
   */
  async begin(
    name: string,
    held: readonly ExportHeld[],
    signal: AbortSignal,
  ): Promise<AsyncGenerator<Uint8Array>> {
    const kafka = this.#kafkaOf(name);
    const { reader } = this.#store;
    const { gateway } = this.#present();
    const { incarnation } = this.#store.identity;
    const topics = this.#present().mirrors[name]?.topics ?? [];
    const streams = streamsOf(selectTopics(reader, topicMatcher(topics)));
    const sent = await this.#sent(name, streams);
    const had = this.#had(name, streams, sent, held);
    const ends = new Map(streams.map(({ stream }) => [stream, reader.range(stream).endOffset]));
    const leaving = new Map<StreamId, Coverage>();
    for (const [stream, end] of ends) {
      leaving.set(stream, withRange(had.get(stream) ?? upTo(0), had.get(stream)?.next ?? 0, end));
    }
    const journal = new Journal(this.#store.keyValue(journalSpace(name)));
    const number = await journal.noteExported(leaving);
    const { transactionalId, group } = kafkaNames({ ...kafka, gateway });
    const target = {
      topicTemplate: kafka.topic,
      transactionalId,
      group,
      positionsTopic: kafka.positionsTopic ?? KAFKA_DEFAULTS.positionsTopic,
    };
    const origin = { gateway, incarnation, mirror: name, target };
    const madeMs = this.#clock.nowMs();
    return exportFrames({ reader, origin, number, madeMs, streams, sent, had, ends, signal });
  }

  async #sent(name: string, streams: readonly MirrorStream[]): Promise<Coverages> {
    const positions = await this.#store.positions(positionsName(name), {});
    return new Map(streams.map(({ stream }) => [stream, positions.coverage(stream) ?? upTo(0)]));
  }

  #had(
    name: string,
    streams: readonly MirrorStream[],
    sent: Coverages,
    held: readonly ExportHeld[],
  ): Coverages {
    const { gateway } = this.#present();
    const { incarnation } = this.#store.identity;
    const ours = held.filter(
      (one) => one.gateway === gateway && one.incarnation === incarnation && one.mirror === name,
    );
    const listed = ours.flatMap((one) => one.had);
    const had = new Map<StreamId, Coverage>();
    for (const { stream, topic, partition } of streams) {
      const local = sent.get(stream) ?? upTo(0);
      if (local.sampledTo !== undefined) {
        throw new GatelogError(
          'USAGE',
          `mirror ${name} can not be exported at present: it has sent a sample of ${topic}/${partition}, and the rest of that is sent once its link is not metered (sample.rest: later); export it after that`,
        );
      }
      const files = listed.find(([of, at]) => of === topic && at === partition);
      had.set(stream, files === undefined ? local : union(local, fromFlat(files[2], files[3])));
    }
    return had;
  }

  #kafkaOf(name: string): KafkaUpstreamConfig {
    const mirror = this.#present().mirrors[name];
    if (mirror === undefined) {
      const known = Object.keys(this.#present().mirrors);
      const message = `there is no mirror ${JSON.stringify(name)}${suggestion(name, known)}`;
      throw new GatelogError('NOT_FOUND', message);
    }
    const { upstream } = mirror;
    if (upstream.kind === 'kafka' && upstream.delivery === 'exactly-once') return upstream;
    throw new GatelogError(
      'USAGE',
      `mirror ${name} can not be exported: only where it sends to Kafka with delivery: exactly-once does the centre know what it has, so that nothing arrives twice`,
    );
  }
}
