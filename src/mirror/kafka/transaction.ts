import {
  addOffsetsToTxnV3,
  addPartitionsToTxnV3,
  describeTransactionsV0,
  endTxnV3,
  initProducerIdV4,
  txnOffsetCommitV3,
} from '@platformatic/kafka';
import { assert, must } from '../../assert.ts';
import { type CoordinatorOf, insist } from './cluster.ts';
import { CODE, isBusy, isMoved } from './codes.ts';
import type { Coordinators } from './coordinators.ts';
import type { Address } from './address.ts';
import type { Links } from './links.ts';
import { isOfImport, type Taker } from './import-mark.ts';
import { askPositions, type PositionsAnswer } from './offset-fetch.ts';
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
  /** The brokers know DescribeTransactions. */
  readonly isDescribable: boolean;
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

/** Of DescribeTransactions (KIP-664). */
interface TransactionState {
  readonly transactionTimeoutMs: number;
  readonly transactionState: string;
  readonly producerId: bigint;
  readonly producerEpoch: number;
}

/** For so long at most an owner of before is ended by who takes its id. */
const TAKING_MS = 10_000;

/** A simple group has no members and no generations (KIP-447 lets such commits pass). */
const NO_GENERATION = -1;
const NO_MEMBER = '';
const NO_EPOCH = -1;

export class TransactionClient {
  readonly #links: Links;
  readonly #coordinators: Coordinators;
  readonly #names: TransactionNames;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  #producer: Producer | undefined;
  #unanswered = false;

  constructor(
    links: Links,
    coordinators: Coordinators,
    names: TransactionNames,
    clock: Clock,
    signal: AbortSignal,
  ) {
    this.#links = links;
    this.#coordinators = coordinators;
    this.#names = names;
    this.#clock = clock;
    this.#signal = signal;
  }

  get transactionalId(): string {
    return this.#names.transactionalId;
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
    const { group, positionsTopic } = this.#names;
    const question = { group, positionsTopic, indexes, requireStable };
    const { code, positions = new Map() } = await this.#ask('group', group, (coordinator) =>
      askPositions(this.#links, coordinator, question),
    );
    return { code, positions };
  }

  /** Adds partitions and our group; both requests travel together. */
  async begin(partitions: ReadonlyMap<string, readonly number[]>): Promise<BeginAnswer> {
    const [data, offsets] = await Promise.all([
      this.#addPartitions(partitions),
      this.#addOffsets(),
    ]);
    return data.code === CODE.none ? { code: offsets } : data;
  }

  /**
   * Over the connection for records: a leader that is the group's coordinator, too, asks the
   * transaction's coordinator about both, and takes a second question that comes meanwhile for a repeat
   * after a broken connection (AddPartitionsToTxnManager): the first is refused then (NOT_ENOUGH_REPLICAS,
   * COORDINATOR_LOAD_IN_PROGRESS). One connection's requests it takes one after the other.
   *
   * `mayRepeat`: a busy answer is waited out. Not where a later transaction's positions are on their
   * way already: of two the group keeps what was appended last.
   */
  async stage(positions: readonly StagedPosition[], mayRepeat: boolean): Promise<number> {
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
    const commit = async (coordinator: Address): Promise<{ code: number }> => {
      const result = await this.#links.callOver(
        'records',
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
    };
    return (await this.#ask('group', group, commit, mayRepeat)).code;
  }

  /**
   * Whether the coordinator knows the transactional id, or Kafka's error code. One that we may not
   * use counts as unknown.
   */
  async isKnown(): Promise<{ readonly code: number; readonly known: boolean }> {
    const { code } = await this.#describe();
    const isMissing = code === CODE.transactionalIdNotFound;
    if (isMissing || code === CODE.transactionalIdAuthorizationFailed)
      return { code: CODE.none, known: false };
    return { code, known: code === CODE.none };
  }

  /** Who took the id from us, after a request was answered that somebody did. Never rejects. */
  async takenBy(): Promise<Taker> {
    const own = this.#producer;
    if (!this.#names.isDescribable || own === undefined) return 'unknown';
    try {
      // Who takes it while a transaction is open fences us first, and is known when that was ended.
      const { state } = await insist(
        this.#clock,
        this.#signal,
        () => this.#describe(),
        (answer) => answer.state !== undefined && isBeingTaken(answer.state, own),
        TAKING_MS,
      );
      if (state === undefined) return 'unknown';
      if (isOfImport(state.transactionTimeoutMs)) return 'import';
      return isBeingTaken(state, own) ? 'unknown' : 'gateway';
    } catch {
      return 'unknown'; // The link broke as well.
    }
  }

  #describe(): Promise<{ readonly code: number; readonly state?: TransactionState | undefined }> {
    const { transactionalId } = this.#names;
    return this.#ask('transaction', transactionalId, async (coordinator) => {
      const { api } = describeTransactionsV0;
      const result = await this.#links.call(coordinator, api, [transactionalId]);
      const [state] = result.transactionStates;
      return { code: state?.errorCode ?? CODE.none, state };
    });
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
    mayRepeat = true,
  ): Promise<T | ({ readonly code: number } & Partial<Omit<T, 'code'>>)> {
    return insist(
      this.#clock,
      this.#signal,
      async () => {
        // Without waiting when it is known: calls must leave in the order in which they were made.
        let address = this.#coordinators.current(of, key);
        if (address === undefined) {
          const found = await this.#coordinators.find(of, key);
          if (found.code !== CODE.none)
            return { code: found.code } as { code: number } & Partial<T>;
          ({ address } = found);
        }
        const answer = await request(address);
        if (isMoved(answer.code)) this.#coordinators.moved(of, key);
        return answer;
      },
      ({ code }) => mayRepeat && (isBusy(code) || isMoved(code)),
    );
  }
}

export interface BeginAnswer {
  readonly code: number;
  /** The topic at fault, when one is. */
  readonly topic?: string;
}

/** Fenced, and the new owner's InitProducerId is not carried out yet: that comes with the next epoch, or id. */
function isBeingTaken(state: TransactionState, own: Producer): boolean {
  if (isOfImport(state.transactionTimeoutMs) || state.producerId !== own.id) return false;
  const isEnding = /Abort|Fence/u.test(state.transactionState);
  return state.producerEpoch <= own.epoch + (isEnding ? 1 : 0);
}
