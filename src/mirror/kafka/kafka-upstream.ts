import { GatelogError } from '../../errors.ts';
import type { StreamId } from '../../record.ts';
import type {
  ConnectOptions,
  Disposition,
  MirrorStream,
  Upstream,
  UpstreamSession,
} from '../upstream.ts';
import { AtLeastOnceDelivery } from './at-least-once.ts';
import { Cluster } from './cluster.ts';
import { createCompressor } from './compressor.ts';
import { findDestinations } from './destinations.ts';
import { PieceEncoder } from './encode.ts';
import { connectExactlyOnce } from './connect-exactly-once.ts';
import { FenceJudge } from './fencing.ts';
import { Journal } from './journal.ts';
import { Links } from './links.ts';
import { KAFKA_DEFAULTS, type KafkaUpstreamOptions } from './options.ts';
import { type Delivery, KafkaSession } from './session.ts';
import { readTimeLimits, TimeBounds } from './time-bounds.ts';
import { TopicTrouble } from './topic-trouble.ts';
import type { RefusalContext } from './refusal.ts';

/** The mirror's upstream for Apache Kafka (2.8 and later; 2.4 and later for at-least-once). */
export function createKafkaUpstream(options: KafkaUpstreamOptions): Upstream {
  return new KafkaUpstream(options);
}

class KafkaUpstream implements Upstream {
  readonly #options: KafkaUpstreamOptions;
  readonly #times: TimeBounds;
  readonly #encoder: PieceEncoder;
  readonly #journal: Journal;
  readonly #judge: FenceJudge;
  #pastKnown = false;

  constructor(options: KafkaUpstreamOptions) {
    this.#options = options;
    const { compression = 'zstd', compressionLevel, maxBatchBytes } = options;
    this.#times = new TimeBounds(options.clock, options.logger, options.isClockSound);
    this.#encoder = new PieceEncoder(
      createCompressor(compression, compressionLevel),
      maxBatchBytes ?? KAFKA_DEFAULTS.maxBatchBytes,
      this.#times,
    );
    this.#journal = new Journal(options.journal);
    this.#judge = new FenceJudge(options.clock);
  }

  async connect(
    streams: readonly MirrorStream[],
    signal: AbortSignal,
    connectOptions: ConnectOptions,
  ): Promise<UpstreamSession> {
    const broken = Promise.withResolvers<never>();
    broken.promise.catch(() => {});
    const links = new Links(this.#options, (error) => broken.reject(error));
    // Ends with the session; `signal` is about connecting only.
    const life = new AbortController();
    const end = (): void => {
      life.abort();
      links.close();
    };
    signal.addEventListener('abort', end, { once: true });
    try {
      if (signal.aborted) throw abortedError();
      const opened = await this.#open(links, streams, life.signal, connectOptions);
      if (signal.aborted) throw abortedError();
      const { delivery, positions } = opened;
      return new KafkaSession(links, broken.promise, delivery, positions, this.#options.clock, end);
    } catch (error) {
      end();
      throw signal.aborted ? abortedError() : error;
    } finally {
      signal.removeEventListener('abort', end);
    }
  }

  dispositionOf(error: unknown): Disposition {
    if (error instanceof TopicTrouble) return { kind: 'stop-topic', topic: error.topic };
    if (error instanceof GatelogError) {
      // Everything else mends itself or is mended at the far side, where nobody can reach us.
      const lasting = error.code === 'UPSTREAM_FENCED' || error.code === 'UPSTREAM_MISMATCH';
      if (lasting) return { kind: 'halt' };
    }
    return { kind: 'retry' };
  }

  async #open(
    links: Links,
    streams: readonly MirrorStream[],
    signal: AbortSignal,
    connectOptions: ConnectOptions,
  ): Promise<{ delivery: Delivery; positions: ReadonlyMap<StreamId, number> }> {
    const options = this.#options;
    const { clock, logger } = options;
    const cluster = await Cluster.open(links, options, clock, signal);
    await this.#checkCluster(cluster.id);
    const destinations = await findDestinations(cluster, streams, options);
    const centrals = new Set([...destinations.ways.values()].map((way) => way.centralTopic));
    this.#times.begin(await readTimeLimits(links, cluster.seed, [...centrals]));
    const refusals = this.#refusals(
      streams,
      (stream) => destinations.ways.get(stream)?.centralTopic,
    );
    const requestTimeoutMs = options.requestTimeoutMs ?? KAFKA_DEFAULTS.requestTimeoutMs;
    const encoder = this.#encoder;
    if (options.delivery === 'at-least-once') {
      logger.info({ cluster: cluster.id, broker: cluster.seed }, 'connected to Kafka');
      const { quarantine } = connectOptions;
      const parts = { links, destinations, encoder, refusals, requestTimeoutMs, quarantine };
      return { delivery: new AtLeastOnceDelivery(parts), positions: new Map() };
    }
    await this.#learnPast();
    return connectExactlyOnce(
      {
        options,
        clusterId: cluster.id,
        links,
        destinations,
        streams: new Map(streams.map((stream) => [stream.stream, stream])),
        encoder,
        journal: this.#journal,
        judge: this.#judge,
        refusals,
        transactionTimeoutMs: options.transactionTimeoutMs ?? KAFKA_DEFAULTS.transactionTimeoutMs,
        requestTimeoutMs,
        quarantine: connectOptions.quarantine,
      },
      cluster,
      signal,
      connectOptions.seek,
    );
  }

  /** Another cluster under the same address has other positions and other records. */
  async #checkCluster(id: string): Promise<void> {
    const { clusterId } = this.#options;
    const known = await this.#journal.clusterId();
    if (clusterId !== undefined && clusterId !== id) {
      throw new GatelogError(
        'UPSTREAM_MISMATCH',
        `The cluster reached is '${id}', but 'clusterId' asks for '${clusterId}'`,
      );
    }
    if (known !== undefined && known !== id && clusterId === undefined) {
      throw new GatelogError(
        'UPSTREAM_MISMATCH',
        `The cluster reached is '${id}', but this mirror has been delivering to '${known}'. If it shall move on to the new one from where it stands, set 'clusterId: ${id}'`,
      );
    }
    if (known !== id) await this.#journal.rememberCluster(id);
  }

  /** Once a life: an earlier process may have left an InitProducerId under way. */
  async #learnPast(): Promise<void> {
    if (this.#pastKnown) return;
    if (await this.#journal.initialising()) this.#judge.noteUnanswered();
    this.#pastKnown = true;
  }

  #refusals(
    streams: readonly MirrorStream[],
    centralOf: (stream: StreamId) => string | undefined,
  ): RefusalContext {
    const options = this.#options;
    const locals = new Map(streams.map(({ stream, topic }) => [centralOf(stream), topic]));
    return {
      options,
      transactionalId: options.transactionalId ?? `gatelog.${options.gateway}`,
      group: options.group ?? `gatelog.${options.gateway}`,
      localTopicOf: (central) => locals.get(central),
    };
  }
}

function abortedError(): GatelogError {
  return new GatelogError('UPSTREAM_UNREACHABLE', 'Connecting to Kafka was given up');
}
