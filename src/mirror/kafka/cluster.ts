import {
  createPartitionsV2,
  createTopicsV5,
  findCoordinatorV3,
  metadataV9,
} from '@platformatic/kafka';
import { must } from '../../assert.ts';
import { GatelogError } from '../../errors.ts';
import type { Clock } from '../../time.ts';
import { CODE, codeName, isBusy, isMoved } from './codes.ts';
import type { Address } from './address.ts';
import type { Links } from './links.ts';

/** What we know of a topic at the far side. */
export interface CentralTopic {
  readonly name: string;
  /** Kafka's error code for the topic; 0 when it is there. */
  readonly code: number;
  /** Leader of each partition; undefined where there is none at the moment. */
  readonly leaders: readonly (Address | undefined)[];
}

export type CoordinatorOf = 'group' | 'transaction';

/** How long answers that mean "not yet" are asked again before the attempt is given up. */
const PATIENCE_MS = 20_000;
const SHORTEST_PAUSE_MS = 2;
const LONGEST_PAUSE_MS = 500;
/** Of the time waited so far: what is asked for is noticed that much late at most. */
const PAUSE_SHARE = 0.25;

/**
 * Asks again, with growing pauses, while `again` says so; gives the last answer when patience
 * ends. The pauses begin short: the coordinator needs but milliseconds to finish a transaction.
 */
export async function insist<T>(
  clock: Clock,
  signal: AbortSignal,
  ask: () => Promise<T>,
  again: (answer: T) => boolean,
  patienceMs: number = PATIENCE_MS,
): Promise<T> {
  const start = clock.monotonicMs();
  for (;;) {
    const answer = await ask();
    if (!again(answer) || signal.aborted) return answer;
    const waitedMs = clock.monotonicMs() - start;
    if (waitedMs > patienceMs) return answer;
    const pauseMs = Math.max(waitedMs * PAUSE_SHARE, SHORTEST_PAUSE_MS);
    await clock.sleep(Math.min(pauseMs, LONGEST_PAUSE_MS), signal);
  }
}

/** How long one configured broker is waited for before the next is asked as well. */
const NEXT_BROKER_MS = 3000;

function noneAnswers(error: unknown): unknown {
  const errors: unknown[] = error instanceof AggregateError ? error.errors : [error];
  const troubles = errors.filter((one) => one instanceof GatelogError);
  if (errors.length === 1 || troubles.length < errors.length) return errors[0];
  const telling = troubles.find(({ code }) => code === 'UPSTREAM_UNAUTHENTICATED');
  if (telling !== undefined) return telling;
  return new GatelogError(
    'UPSTREAM_UNREACHABLE',
    `None of the Kafka brokers answers: ${troubles.map(({ message }) => message).join('; ')}`,
    { cause: troubles[0] },
  );
}

type Metadata = Awaited<ReturnType<typeof metadataV9.api.async>>;

export interface Opening {
  readonly links: Links;
  /** At least one, in the order in which they are tried. */
  readonly brokers: readonly Address[];
  /** Asked about at once. */
  readonly topics: readonly string[];
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Called for each broker that is tried, when its first request is on the way: more can go along. */
  readonly along?: (broker: Address) => void;
}

/** A cluster as one session sees it. */
export class Cluster {
  readonly id: string;
  readonly #links: Links;
  readonly #seed: Address;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  /** What was said of the topics that `open` asked for, until a topic is changed. */
  #first: Metadata | undefined;

  private constructor({ links, clock, signal }: Opening, seed: Address, first: Metadata) {
    this.#links = links;
    this.#seed = seed;
    this.id = first.clusterId ?? '';
    this.#clock = clock;
    this.#signal = signal;
    this.#first = first;
  }

  /** Connects to the first of the given brokers that answers; a silent one is not waited for. */
  static async open(opening: Opening): Promise<Cluster> {
    const { links, brokers, clock, signal } = opening;
    const attempts: Promise<Cluster>[] = [];
    const pending = new Set<Address>();
    for (const address of brokers) {
      if (signal.aborted) break;
      pending.add(address);
      const attempt = Cluster.#ask(opening, address);
      attempt.finally(() => pending.delete(address)).catch(() => {});
      attempts.push(attempt);
      const first = await Promise.race([
        Promise.any(attempts).catch(() => undefined),
        clock.sleep(NEXT_BROKER_MS, signal).then(() => undefined),
      ]);
      if (first !== undefined) {
        // Their silence must not end the session that another broker serves.
        for (const silent of pending) links.drop(silent);
        return first;
      }
    }
    try {
      return await Promise.any(attempts);
    } catch (error) {
      throw noneAnswers(error);
    }
  }

  static async #ask(opening: Opening, address: Address): Promise<Cluster> {
    const { links, topics, along } = opening;
    const asked = links.call(address, metadataV9.api, [...topics], false, false, false);
    along?.(address);
    return new Cluster(opening, address, await asked);
  }

  get seed(): Address {
    return this.#seed;
  }

  /** Topics by name. Waits a while for partitions that are just electing a leader. */
  async topics(names: readonly string[]): Promise<Map<string, CentralTopic>> {
    let said = this.#said(names);
    const answer = await insist(
      this.#clock,
      this.#signal,
      async () => {
        const answered = said ?? (await this.#metadata(names));
        said = undefined;
        return answered;
      },
      ({ topics }) =>
        topics.some(
          (topic) =>
            topic.errorCode === CODE.leaderNotAvailable ||
            topic.partitions.some((partition) => partition.leaderId < 0),
        ),
    );
    const brokers = new Map(
      answer.brokers.map(({ nodeId, host, port }) => [nodeId, { host, port }]),
    );
    return new Map(
      answer.topics.map((topic) => {
        const leaders: (Address | undefined)[] = [];
        for (const { partitionIndex, leaderId } of topic.partitions) {
          leaders[partitionIndex] = brokers.get(leaderId);
        }
        return [topic.name, { name: topic.name, code: topic.errorCode, leaders }];
      }),
    );
  }

  #metadata(names: readonly string[]): Promise<Metadata> {
    return this.#links.call(this.#seed, metadataV9.api, [...names], false, false, false);
  }

  #said(names: readonly string[]): Metadata | undefined {
    const known = new Set(this.#first?.topics.map(({ name }) => name));
    return names.every((name) => known.has(name)) ? this.#first : undefined;
  }

  /** Creates a topic, or finds that it is there. Answers Kafka's error code and text. */
  async create(
    name: string,
    partitions: number,
    replicationFactor: number,
  ): Promise<{ readonly code: number; readonly message: string }> {
    const request = {
      name,
      numPartitions: partitions,
      replicationFactor,
      assignments: [],
      configs: [],
    };
    this.#first = undefined;
    const answer = await insist(
      this.#clock,
      this.#signal,
      () => this.#links.call(this.#seed, createTopicsV5.api, [request], 15_000, false),
      ({ topics }) => topics[0]?.errorCode === CODE.notController,
    );
    const result = must(answer.topics[0], 'CreateTopics answers for the topic asked for');
    if (result.errorCode === CODE.none) {
      // The answer comes from the controller; the brokers learn of the topic a moment later.
      await insist(
        this.#clock,
        this.#signal,
        () => this.topics([name]),
        (topics) => topics.get(name)?.code === CODE.unknownTopicOrPartition,
      );
    }
    const code = result.errorCode === CODE.topicAlreadyExists ? CODE.none : result.errorCode;
    return { code, message: result.errorMessage ?? codeName(code) };
  }

  /** Raises a topic's number of partitions. Answers Kafka's error code. */
  async grow(name: string, partitions: number): Promise<number> {
    const request = { name, count: partitions, assignments: null };
    const { api } = createPartitionsV2;
    this.#first = undefined;
    const answer = await insist(
      this.#clock,
      this.#signal,
      () => this.#links.call(this.#seed, api, [request], 15_000, false),
      ({ results }) => results[0]?.errorCode === CODE.notController,
    );
    const code = must(answer.results[0], 'CreatePartitions answers for the topic').errorCode;
    if (code !== CODE.none) return code;
    await insist(
      this.#clock,
      this.#signal,
      () => this.topics([name]),
      (topics) => (topics.get(name)?.leaders.length ?? 0) < partitions,
    );
    return CODE.none;
  }

  /** Kafka's error code, and the coordinator when that is 0. */
  async coordinator(of: CoordinatorOf, key: string): Promise<Coordinator> {
    const answer = await insist(
      this.#clock,
      this.#signal,
      () => this.#links.call(this.#seed, findCoordinatorV3.api, of === 'group' ? 0 : 1, [key]),
      ({ coordinators }) => {
        const code = coordinators[0]?.errorCode ?? CODE.none;
        return isBusy(code) || isMoved(code);
      },
    );
    const found = must(answer.coordinators[0], 'FindCoordinator answers for the key asked for');
    return { code: found.errorCode, address: { host: found.host, port: found.port } };
  }
}

export interface Coordinator {
  readonly code: number;
  readonly address: Address;
}
