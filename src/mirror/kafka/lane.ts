import { GatelogError } from '../../errors.ts';
import { CODE, codeName, isFenced } from './codes.ts';
import type { Cargo } from './encode.ts';
import type { DeliveryParts } from './delivery-parts.ts';
import { refusal } from './refusal.ts';
import { type Delivered, produceWithPatience } from './rounds.ts';
import type { Producer, StagedPosition, TransactionClient } from './transaction.ts';

interface Opened {
  readonly monotonicMs: number;
  readonly wallMs: number;
  /** Of its records. */
  readonly bytes: number;
}

/** One transactional id of the session, and the transaction that is open under it. */
export class Lane {
  /** Its number in the ring, from 1. */
  readonly index: number;
  readonly #parts: DeliveryParts;
  readonly #client: TransactionClient;
  /** Next sequence per central partition, for the producer id and epoch in use. */
  #sequences = new Map<string, number>();
  /** When the open transaction began; undefined when none is open. */
  #opened: Opened | undefined;

  constructor(parts: DeliveryParts, client: TransactionClient, index: number) {
    this.index = index;
    this.#parts = parts;
    this.#client = client;
  }

  get transactionalId(): string {
    return this.#client.transactionalId;
  }

  get producer(): Producer {
    return this.#client.producer;
  }

  /** Takes the transactional id over; a transaction that is open under it ends without effect. */
  async initialise(): Promise<void> {
    await this.check('InitProducerId', await this.#parts.initialiser.initialise(this.#client));
    this.#opened = undefined;
    this.#sequences = new Map();
  }

  /** AddPartitionsToTxn ∥ AddOffsetsToTxn. */
  async begin(cargo: readonly Cargo[]): Promise<void> {
    const { clock } = this.#parts.options;
    const bytes = cargo.reduce((sum, { batch }) => sum + batch.bytes.length, 0);
    this.#opened = { monotonicMs: clock.monotonicMs(), wallMs: clock.nowMs(), bytes };
    const { code, topic } = await this.#client.begin(partitionsOf(cargo));
    await this.check('AddPartitionsToTxn', code, topic);
  }

  /** Every request is on its connection when this returns; none waits for anything before. */
  produce(cargo: readonly Cargo[]): Promise<Delivered[]> {
    const { links, destinations, requestTimeoutMs, patience, options } = this.#parts;
    const { id, epoch } = this.#client.producer;
    return produceWithPatience(
      {
        links,
        patience,
        clock: options.clock,
        purpose: 'records',
        leaderOf: (topic, partition) => destinations.leaderOf(topic, partition),
        transactionalId: this.transactionalId,
        requestTimeoutMs,
        pipelined: true,
        stampOf: ({ topic, partition, batch }) => ({
          producerId: id,
          producerEpoch: epoch,
          baseSequence: this.#nextSequence(topic, partition, batch.records),
          transactional: true,
        }),
      },
      cargo,
    );
  }

  /** TxnOffsetCommit; likewise. `mayRepeat`: nobody commits positions after it that it must precede. */
  async stage(positions: readonly StagedPosition[], mayRepeat: boolean): Promise<void> {
    await this.check('TxnOffsetCommit', await this.#client.stage(positions, mayRepeat));
  }

  async commit(): Promise<void> {
    await this.check('EndTxn', await this.#client.end(true));
    const { options, timeout } = this.#parts;
    const { bytes = 0, monotonicMs = 0 } = this.#opened ?? {};
    const openMs = options.clock.monotonicMs() - monotonicMs;
    if (this.#opened !== undefined) timeout.noteCommitted(bytes, openMs);
    this.#opened = undefined;
  }

  /** Ends the transaction without effect and starts over with a new epoch and sequences from 0. */
  async abort(): Promise<void> {
    await this.check('EndTxn (abort)', await this.#client.end(false));
    this.#opened = undefined;
    await this.initialise();
  }

  /** Rejects with what a refusal means. */
  async check(request: string, code: number, topic?: string): Promise<void> {
    if (code === CODE.none) return;
    if (isFenced(code)) throw await this.#fenced(request, code);
    throw refusal(this.#parts.refusals, request, code, topic);
  }

  #nextSequence(topic: string, partition: number, records: number): number {
    const place = `${topic}/${partition}`;
    const sequence = this.#sequences.get(place) ?? 0;
    // Sequences are 31 bits and go on at zero (DefaultRecordBatch.incrementSequence).
    this.#sequences.set(place, (sequence + records) % 2 ** 31);
    return sequence;
  }

  async #fenced(request: string, code: number): Promise<GatelogError> {
    const { judge, transactionTimeoutMs, options } = this.#parts;
    const { clock } = options;
    const opened = this.#opened;
    // The machine may have slept: the monotonic clock stands still then, the wall clock does not.
    const openForMs =
      opened === undefined
        ? undefined
        : Math.max(clock.monotonicMs() - opened.monotonicMs, clock.nowMs() - opened.wallMs);
    const takenBy = () => this.#client.takenBy();
    const cause = await judge.judge(this.transactionalId, openForMs, transactionTimeoutMs, takenBy);
    if (cause === 'timed-out') this.#parts.timeout.noteTooShort(opened?.bytes ?? 0);
    const { transactionalId } = this;
    if (cause === 'clone' && options.role === 'import') {
      return new GatelogError(
        'UPSTREAM_FENCED',
        `Gateway '${options.gateway}' took its transactional id '${transactionalId}' back: it is online, and sends what these files hold by itself. To import all the same, pause its mirror and begin again: an import goes on where it was broken off`,
      );
    }
    if (cause === 'clone') {
      options.logger.error({ transactionalId }, 'fenced');
      return new GatelogError(
        'UPSTREAM_FENCED',
        `Another gateway took over transactional id '${transactionalId}' (${codeName(code)} to ${request}): a clone of '${options.gateway}' is running. Stop one of the two and give it a name of its own, then resume this mirror`,
      );
    }
    if (cause === 'import') {
      const text = `An import of exported records took over transactional id '${transactionalId}'`;
      return new GatelogError('UPSTREAM_UNCERTAIN', text);
    }
    const why =
      cause === 'timed-out'
        ? `the transaction took longer than its timeout of ${transactionTimeoutMs} ms; a slow link needs a longer one, or a smaller batch.bytes`
        : 'an earlier connection attempt of our own arrived late';
    return new GatelogError('UPSTREAM_UNCERTAIN', `Kafka gave our transaction up: ${why}`);
  }
}

function partitionsOf(cargo: readonly Cargo[]): Map<string, number[]> {
  const topics = new Map<string, Set<number>>();
  for (const { topic, partition } of cargo) {
    const known = topics.get(topic);
    if (known === undefined) topics.set(topic, new Set([partition]));
    else known.add(partition);
  }
  return new Map([...topics].map(([topic, partitions]) => [topic, [...partitions]]));
}
