import {
  addOffsetsToTxnV3,
  addPartitionsToTxnV3,
  endTxnV3,
  initProducerIdV4,
  offsetFetchV7,
  txnOffsetCommitV3,
} from '@platformatic/kafka';
import { assert, must } from '../../assert.ts';
import { type Cluster, type CoordinatorOf, insist } from './cluster.ts';
import { CODE, isBusy, isMoved } from './codes.ts';
import type { Address, Links } from './links.ts';
import type { RemotePosition } from './resume.ts';
import type { Clock } from '../../time.ts';

/**
 * The transaction coordinator's side of the protocol (KIP-98, KIP-447, KIP-588; version 1 of the
 * transaction protocol, which brokers from 2.8 to 4.x take). Each method is one step; it answers
 * Kafka's error code and leaves to the session what the code means. Busy answers are waited out.
 */
export interface TransactionNames {
  readonly transactionalId: string;
  readonly group: string;
  readonly positionsTopic: string;
  readonly timeoutMs: number;
}

/** What is committed for one partition of the positions topic. */
export interface StagedPosition {
  readonly index: number;
  readonly offset: number;
  readonly metadata: string;
}

export interface Producer {
  readonly id: bigint;
  readonly epoch: number;
}

/** A simple group has no members and no generations (KIP-447 lets such commits pass). */
const NO_GENERATION = -1;
const NO_MEMBER = '';
const NO_EPOCH = -1;

export class TransactionClient {
  readonly #links: Links;
  readonly #cluster: Cluster;
  readonly #names: TransactionNames;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  readonly #coordinators: Partial<Record<CoordinatorOf, Address>> = {};
  #producer: Producer | undefined;
  #unanswered = false;

  constructor(
    links: Links,
    cluster: Cluster,
    names: TransactionNames,
    clock: Clock,
    signal: AbortSignal,
  ) {
    this.#links = links;
    this.#cluster = cluster;
    this.#names = names;
    this.#clock = clock;
    this.#signal = signal;
  }

  get producer(): Producer {
    return must(this.#producer, 'the producer was initialised');
  }

  /** An InitProducerId was sent and its answer never came: the broker may still carry it out. */
  get unanswered(): boolean {
    return this.#unanswered;
  }

  /**
   * Takes the transactional id over: aborts or finishes what an earlier owner left open and fences
   * it. Always with -1/-1: a stored pid and epoch would make it a renewal instead.
   */
  async initialise(): Promise<number> {
    const { transactionalId, timeoutMs } = this.#names;
    this.#producer = undefined;
    const answer = await this.#ask('transaction', transactionalId, async (coordinator) => {
      const { api } = initProducerIdV4;
      await this.#links.to(coordinator);
      this.#unanswered = true;
      const result = await this.#links.call(coordinator, api, transactionalId, timeoutMs, -1n, -1);
      this.#unanswered = false;
      return { code: result.errorCode, result };
    });
    if (answer.code === CODE.none && answer.result !== undefined) {
      this.#producer = { id: answer.result.producerId, epoch: answer.result.producerEpoch };
    }
    return answer.code;
  }

  /** MUST be called after `initialise`: before it an earlier owner may still commit. */
  async positions(indexes: readonly number[]): Promise<PositionsAnswer> {
    assert(this.#producer !== undefined, 'positions are read by the owner of the transactional id');
    return this.#fetchPositions(indexes, true);
  }

  /** What is committed at this moment, to see whose it is. It may change: never to go on from. */
  glance(indexes: readonly number[]): Promise<PositionsAnswer> {
    return this.#fetchPositions(indexes, false);
  }

  async #fetchPositions(
    indexes: readonly number[],
    requireStable: boolean,
  ): Promise<PositionsAnswer> {
    if (indexes.length === 0) return { code: CODE.none, positions: new Map() };
    const { group, positionsTopic } = this.#names;
    const topics = [{ name: positionsTopic, partitionIndexes: [...indexes] }];
    const answer = await this.#ask('group', group, async (coordinator) => {
      const groups = [{ groupId: group, topics }];
      const result = await this.#links.call(coordinator, offsetFetchV7.api, groups, requireStable);
      const partitions = result.topics.flatMap((topic) => topic.partitions);
      const codes = [result.errorCode, ...partitions.map((partition) => partition.errorCode)];
      return { code: codes.find((code) => code !== CODE.none) ?? CODE.none, partitions };
    });
    const positions = new Map<number, RemotePosition>();
    for (const { partitionIndex, committedOffset, metadata } of answer.partitions ?? []) {
      positions.set(partitionIndex, {
        offset: Number(committedOffset),
        metadata: metadata ?? null,
      });
    }
    return { code: answer.code, positions };
  }

  /** Adds partitions and our group; both requests travel together. */
  async begin(partitions: ReadonlyMap<string, readonly number[]>): Promise<BeginAnswer> {
    const [data, offsets] = await Promise.all([
      this.#addPartitions(partitions),
      this.#addOffsets(),
    ]);
    return data.code === CODE.none ? { code: offsets } : data;
  }

  async stage(positions: readonly StagedPosition[]): Promise<number> {
    const { transactionalId, group, positionsTopic } = this.#names;
    const { id, epoch } = this.producer;
    const topic = {
      name: positionsTopic,
      partitions: positions.map(({ index, offset, metadata }) => ({
        partitionIndex: index,
        committedOffset: BigInt(offset),
        committedLeaderEpoch: NO_EPOCH,
        committedMetadata: metadata,
      })),
    };
    const { code } = await this.#ask('group', group, async (coordinator) => {
      const result = await this.#links.call(
        coordinator,
        txnOffsetCommitV3.api,
        transactionalId,
        group,
        id,
        epoch,
        NO_GENERATION,
        NO_MEMBER,
        null,
        [topic],
      );
      const codes = result.topics.flatMap(({ partitions }) =>
        partitions.map((one) => one.errorCode),
      );
      return { code: codes.find((one) => one !== CODE.none) ?? CODE.none };
    });
    return code;
  }

  async end(commit: boolean): Promise<number> {
    const { transactionalId } = this.#names;
    const { id, epoch } = this.producer;
    const { code } = await this.#ask('transaction', transactionalId, async (coordinator) => {
      const { api } = endTxnV3;
      const result = await this.#links.call(coordinator, api, transactionalId, id, epoch, commit);
      return { code: result.errorCode };
    });
    return code;
  }

  #addPartitions(partitions: ReadonlyMap<string, readonly number[]>): Promise<BeginAnswer> {
    if (partitions.size === 0) return Promise.resolve({ code: CODE.none });
    const { transactionalId } = this.#names;
    const { id, epoch } = this.producer;
    const topics = [...partitions].map(([name, indexes]) => ({ name, partitions: [...indexes] }));
    const request = {
      transactionalId,
      producerId: id,
      producerEpoch: epoch,
      verifyOnly: false,
      topics,
    };
    return this.#ask('transaction', transactionalId, async (coordinator) => {
      const { api } = addPartitionsToTxnV3;
      const result = await this.#links.call(coordinator, api, [request]);
      const failed = result.resultsByTransaction
        .flatMap(({ topicResults }) => topicResults)
        .flatMap(({ name, resultsByPartition }) =>
          resultsByPartition.map(({ partitionErrorCode }) => ({
            code: partitionErrorCode,
            topic: name,
          })),
        )
        .filter(({ code }) => code !== CODE.none);
      // OPERATION_NOT_ATTEMPTED only says that another partition of the request has the trouble.
      const telling = failed.find(({ code }) => code !== CODE.operationNotAttempted);
      return telling ?? failed[0] ?? { code: CODE.none };
    });
  }

  async #addOffsets(): Promise<number> {
    const { transactionalId, group } = this.#names;
    const { id, epoch } = this.producer;
    const { code } = await this.#ask('transaction', transactionalId, async (coordinator) => {
      const { api } = addOffsetsToTxnV3;
      const result = await this.#links.call(coordinator, api, transactionalId, id, epoch, group);
      return { code: result.errorCode };
    });
    return code;
  }

  /** Asks the coordinator, finding it first and again when it moved, and waits while it is busy. */
  #ask<T extends { readonly code: number }>(
    of: CoordinatorOf,
    key: string,
    request: (coordinator: Address) => Promise<T>,
  ): Promise<T | ({ readonly code: number } & Partial<Omit<T, 'code'>>)> {
    return insist(
      this.#clock,
      this.#signal,
      async () => {
        let address = this.#coordinators[of];
        if (address === undefined) {
          const found = await this.#cluster.coordinator(of, key);
          if (found.code !== CODE.none)
            return { code: found.code } as { code: number } & Partial<T>;
          address = found.address;
          this.#coordinators[of] = address;
        }
        const answer = await request(address);
        if (isMoved(answer.code)) delete this.#coordinators[of];
        return answer;
      },
      ({ code }) => isBusy(code) || isMoved(code),
    );
  }
}

export interface PositionsAnswer {
  readonly code: number;
  readonly positions: ReadonlyMap<number, RemotePosition>;
}

export interface BeginAnswer {
  readonly code: number;
  /** The topic at fault, when one is. */
  readonly topic?: string;
}
