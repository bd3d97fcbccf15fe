import type { Coverages } from '../../coverage.ts';
import { GatelogError } from '../../errors.ts';
import type { StreamId } from '../../record.ts';
import type {
  ConnectOptions,
  Disposition,
  MirrorStream,
  Upstream,
  UpstreamSession,
} from '../upstream.ts';
import { ConnectAttempts } from '../connect-attempts.ts';
import { LargePatience } from '../large-patience.ts';
import { AnswerPatience } from './answer-patience.ts';
import { AtLeastOnceDelivery } from './at-least-once.ts';
import { must } from '../../assert.ts';
import { Cluster } from './cluster.ts';
import { clusterClaims } from './cluster-claims.ts';
import { createCompressor } from './compressor.ts';
import { centralNames, findDestinations } from './destinations.ts';
import { PieceEncoder } from './encode.ts';
import { connectExactlyOnce, type OpenedCluster } from './connect-exactly-once.ts';
import type { DeliveryParts } from './delivery-parts.ts';
import { FirstQuestions, type Wanted } from './first-questions.ts';
import { FenceJudge } from './fencing.ts';
import { markedTimeout } from './import-mark.ts';
import { Initialiser } from './initialise.ts';
import { Journal } from './journal.ts';
import { type Address, addressName, distinct } from './address.ts';
import { KnownCluster } from './known-cluster.ts';
import { parseAddress } from './address.ts';
import { Links } from './links.ts';
import { KAFKA_DEFAULTS, kafkaNames, type KafkaUpstreamOptions } from './options.ts';
import { type Delivery, KafkaSession } from './session.ts';
import { askTimeLimits, tellsConfigs, TimeBounds, type TimeLimits } from './time-bounds.ts';
import { PartitionWatch } from './partition-watch.ts';
import { TransactionTimeout } from './transaction-timeout.ts';
import { Throttle } from './throttle.ts';
import { TopicTrouble } from './topic-trouble.ts';
import type { RefusalContext } from './refusal.ts';
import { requireRightCluster } from './right-cluster.ts';
import { laneNumbers, ringId } from './ring.ts';

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
  readonly #initialiser: Initialiser;
  readonly #known = new KnownCluster();
  readonly #timeout: TransactionTimeout;
  readonly #patience: AnswerPatience;
  readonly #large: LargePatience;
  readonly tellsPace: boolean;
  readonly #partitions: PartitionWatch;
  readonly #slowness: () => string | undefined;
  #pastKnown = false;

  constructor(options: KafkaUpstreamOptions) {
    const { clock } = options;
    const throttle = new Throttle(clock);
    this.#options = { attempts: new ConnectAttempts(clock), throttle, ...options };
    this.#timeout = new TransactionTimeout(options.transactionTimeoutMs);
    this.#patience = new AnswerPatience(options.requestTimeoutMs);
    const { requestTimeoutMs, transactionTimeoutMaxMs } = KAFKA_DEFAULTS;
    this.#large = new LargePatience({
      configuredMs: options.requestTimeoutMs ?? requestTimeoutMs,
      mostMs: options.transactionTimeoutMs ?? transactionTimeoutMaxMs,
    });
    this.tellsPace = options.delivery !== 'at-least-once';
    this.#slowness = () => throttle.text();
    this.#partitions = new PartitionWatch({ ...options, values: options.journal });
    const { compression = 'zstd', compressionLevel, maxBatchBytes } = options;
    this.#times = new TimeBounds(options.clock, options.logger, options.isClockSound);
    this.#encoder = new PieceEncoder(
      createCompressor(compression, compressionLevel),
      maxBatchBytes ?? KAFKA_DEFAULTS.maxBatchBytes,
      this.#times,
    );
    this.#journal = new Journal(options.journal);
    this.#judge = new FenceJudge(options.clock, async () => (await this.#journal.exported()).count);
    this.#initialiser = new Initialiser(this.#journal, this.#judge);
  }

  async connect(
    streams: readonly MirrorStream[],
    signal: AbortSignal,
    connectOptions: ConnectOptions,
  ): Promise<UpstreamSession> {
    const breaking = Promise.withResolvers<never>();
    breaking.promise.catch(() => {});
    const onBroken = (error: GatelogError): void => breaking.reject(error);
    const options = { ...this.#options, recordTimeoutMs: this.#large.begin() };
    const links = new Links(options, onBroken, this.#known, this.#patience);
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
      const { clock, isCostly = () => false } = this.#options;
      const broken = breaking.promise;
      return new KafkaSession({ links, broken, delivery, positions, clock, isCostly, end });
    } catch (error) {
      end();
      throw signal.aborted ? abortedError() : error;
    } finally {
      signal.removeEventListener('abort', end);
    }
  }

  slowness(): string | undefined {
    return this.#slowness();
  }

  dispositionOf(error: unknown): Disposition {
    if (error instanceof TopicTrouble) {
      const others = new Map(error.others.map(({ topic, message }) => [topic, message]));
      return { kind: 'stop-topic', topic: error.topic, ...(others.size > 0 ? { others } : {}) };
    }
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
  ): Promise<{ delivery: Delivery; positions: Coverages }> {
    const options = this.#options;
    const opened = await this.#openCluster(links, streams, signal);
    const { cluster } = opened;
    const claims = clusterClaims(cluster.id, streams, options);
    await requireRightCluster(cluster.id, claims, options, this.#journal);
    const destinations = await findDestinations(cluster, streams, options);
    const partitions = await this.#partitions.begin(destinations.ways.values());
    void this.#partitions.watch(links, partitions, signal);
    // Needed soon: while coordinators are asked, the connections to the leaders are made.
    this.#callLeaders(links, destinations.leaders);
    const timeLimits = this.#timeLimits(links, opened, centralNames(streams, options));
    const refusals = this.#refusals(
      streams,
      (stream) => destinations.ways.get(stream)?.centralTopic,
    );
    const parts = {
      options,
      clusterId: cluster.id,
      links,
      destinations,
      streams: new Map(streams.map((stream) => [stream.stream, stream])),
      encoder: this.#encoder,
      journal: this.#journal,
      judge: this.#judge,
      initialiser: this.#initialiser,
      refusals,
      transactionTimeoutMs: markedTimeout(
        options.role ?? 'gateway',
        this.#timeout.next(this.#large.isRaised ? this.#large.ms : 0),
      ),
      timeout: this.#timeout,
      requestTimeoutMs: options.requestTimeoutMs ?? KAFKA_DEFAULTS.requestTimeoutMs,
      patience: this.#large,
      quarantine: connectOptions.quarantine,
    };
    const begun = await this.#begin(parts, opened, signal, connectOptions);
    this.#times.begin(await timeLimits);
    this.#known.seed = cluster.seed;
    this.#known.brokers = distinct([...this.#known.coordinators.values()]);
    this.#known.leaders = destinations.leaders;
    return begun;
  }

  /** A connection that fails is told to who needs it. */
  #callLeaders(links: Links, leaders: readonly Address[]): void {
    for (const leader of leaders) links.to(leader, 'records').catch(() => {});
  }

  async #begin(
    parts: DeliveryParts,
    opened: OpenedCluster,
    signal: AbortSignal,
    connectOptions: ConnectOptions,
  ): Promise<{ delivery: Delivery; positions: Coverages }> {
    if (parts.options.delivery !== 'at-least-once') {
      await this.#learnPast();
      return connectExactlyOnce(parts, opened, signal, connectOptions);
    }
    const { id, seed } = opened.cluster;
    parts.options.logger.info({ cluster: id, broker: seed }, 'connected to Kafka');
    return { delivery: new AtLeastOnceDelivery(parts), positions: new Map() };
  }

  /** Asks everything at once, of brokers known from before first. */
  async #openCluster(
    links: Links,
    streams: readonly MirrorStream[],
    signal: AbortSignal,
  ): Promise<OpenedCluster> {
    const options = this.#options;
    const known = this.#known;
    const { positionsTopic = KAFKA_DEFAULTS.positionsTopic } = options;
    const { transactionalId, group } = this.#refusals(streams, () => undefined);
    const timeTopics = centralNames(streams, options);
    const indexes = streams.map(({ stream }) => stream);
    const isExact = options.delivery !== 'at-least-once';
    const wanted: Wanted = {
      coordinators: isExact
        ? [
            ['group', group],
            ...laneNumbers().map(
              (index) => ['transaction', ringId(transactionalId, index)] as const,
            ),
          ]
        : [],
      timeTopics,
      glance: isExact ? { group, positionsTopic, indexes, requireStable: false } : undefined,
    };
    for (const broker of known.brokers) links.to(broker).catch(() => {});
    this.#callLeaders(links, known.leaders);
    const asked = new Map<string, FirstQuestions>();
    const configured = options.brokers.map(parseAddress);
    const cluster = await Cluster.open({
      links,
      brokers: distinct(known.seed === undefined ? configured : [known.seed, ...configured]),
      topics: isExact ? [...timeTopics, positionsTopic] : timeTopics,
      clock: options.clock,
      signal,
      along: (broker) =>
        asked.set(addressName(broker), new FirstQuestions(links, broker, wanted, known)),
    });
    const answered = must(asked.get(addressName(cluster.seed)), 'the seed was asked');
    return { cluster, asked: answered, known };
  }

  async #timeLimits(
    links: Links,
    { cluster, asked, known }: OpenedCluster,
    topics: readonly string[],
  ): Promise<ReadonlyMap<string, TimeLimits>> {
    if (asked.timeLimits !== undefined) return asked.timeLimits;
    const versions = await asked.versions.catch(() => undefined);
    if (versions === undefined || !tellsConfigs(versions)) return new Map();
    known.tellsConfigs = true;
    return askTimeLimits(links, cluster.seed, topics);
  }

  /** Once a life: an earlier process may have left an InitProducerId under way. */
  async #learnPast(): Promise<void> {
    if (this.#pastKnown) return;
    const { transactionalId } = kafkaNames(this.#options);
    const all = laneNumbers().map((index) => ringId(transactionalId, index));
    for (const id of await this.#journal.initialising(all)) this.#judge.noteUnanswered(id);
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
      ...kafkaNames(options),
      localTopicOf: (central) => locals.get(central),
    };
  }
}

function abortedError(): GatelogError {
  return new GatelogError('UPSTREAM_UNREACHABLE', 'Connecting to Kafka was given up');
}
