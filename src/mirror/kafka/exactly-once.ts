import { must } from '../../assert.ts';
import { GatelogError, messageOf } from '../../errors.ts';
import { formatIdentity } from '../../identity.ts';
import type { StreamId } from '../../record.ts';
import type { Slice } from '../../store/log.ts';
import type { MirrorStream, Receipt, Rejection } from '../upstream.ts';
import { CODE, codeName, condemnsRecords, isFenced } from './codes.ts';
import type { Destinations } from './destinations.ts';
import type { Cargo, PieceEncoder, Shipment } from './encode.ts';
import type { FenceJudge } from './fencing.ts';
import { initialise } from './initialise.ts';
import type { Journal } from './journal.ts';
import type { Links } from './links.ts';
import type { KafkaUpstreamOptions } from './options.ts';
import { positionsAfter, type Range, rangesOf, targetsOf, wholeOf } from './plan.ts';
import { refineCargo } from './refine-cargo.ts';
import { refusal, type RefusalContext } from './refusal.ts';
import { positionMetadata } from './resume.ts';
import { type Delivered, produceAll } from './rounds.ts';
import type { StagedPosition, TransactionClient } from './transaction.ts';

/**
 * Delivers batches, each in one Kafka transaction together with the resume position:
 *
 *   {AddPartitionsToTxn ∥ AddOffsetsToTxn} → {Produce to each leader ∥ TxnOffsetCommit} →
 *   journal → EndTxn
 *
 * Invariants:
 * - One transaction at a time; batches are sent in call order.
 * - No step is repeated after an outcome that is not known: the session ends, and the next one's
 *   InitProducerId finishes or aborts what this one left, before it reads the position.
 * - A transaction that a broker condemned a batch of is aborted after all answers are in (nothing
 *   of it is on its way any more), and its records are sent again in a new one.
 * - Rejected records are quarantined before a position beyond them is committed.
 */
export interface DeliveryParts {
  readonly options: KafkaUpstreamOptions;
  readonly clusterId: string;
  readonly links: Links;
  readonly client: TransactionClient;
  readonly destinations: Destinations;
  readonly streams: ReadonlyMap<StreamId, MirrorStream>;
  readonly encoder: PieceEncoder;
  readonly journal: Journal;
  readonly judge: FenceJudge;
  readonly refusals: RefusalContext;
  readonly transactionTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly quarantine: (rejected: readonly Rejection[]) => Promise<void>;
}

export class ExactlyOnceDelivery {
  readonly #parts: DeliveryParts;
  /** Next sequence per central partition, for the producer id and epoch in use. */
  #sequences = new Map<string, number>();
  /** Where the streams stand that were sent in this session. */
  readonly #confirmed = new Map<StreamId, number>();
  /** When the open transaction began; undefined when none is open. */
  #opened: { readonly monotonicMs: number; readonly wallMs: number } | undefined;

  constructor(parts: DeliveryParts) {
    this.#parts = parts;
  }

  /** Encodes at once; the result is to be handed to `deliver` in call order. */
  async prepare(slices: readonly Slice[]): Promise<Shipment> {
    const { destinations, encoder } = this.#parts;
    const wayOf = (stream: StreamId) =>
      must(destinations.ways.get(stream), 'only streams that were connected are sent');
    const ranges = rangesOf(slices);
    return { ranges, cargo: await encoder.encode(targetsOf(slices, wayOf).map(wholeOf)) };
  }

  async deliver({ ranges, cargo: prepared }: Shipment): Promise<Receipt> {
    const positions = positionsAfter(ranges);
    const rejected: Rejection[] = [];
    let cargo: readonly Cargo[] = prepared;
    let bytesSent = 0;
    for (;;) {
      bytesSent += cargo.reduce((sum, { batch }) => sum + batch.bytes.length, 0);
      const condemned = await this.#attempt(ranges, cargo, positions);
      if (condemned.length === 0) return { positions, rejected, bytesSent };
      const refined = await this.#refine(cargo, condemned);
      if (refined.rejected.length > 0) await this.#parts.quarantine(refined.rejected);
      rejected.push(...refined.rejected);
      cargo = refined.cargo;
    }
  }

  /** Commits positions alone: a person's seek, and the daily renewal of idle ones. */
  async commitPositions(positions: ReadonlyMap<StreamId, number>): Promise<void> {
    await this.#attempt([], [], positions);
  }

  /** One transaction. Empty when it was committed; else the condemned batches of an aborted one. */
  async #attempt(
    ranges: readonly Range[],
    cargo: readonly Cargo[],
    positions: ReadonlyMap<StreamId, number>,
  ): Promise<Delivered[]> {
    const { client, options } = this.#parts;
    this.#opened = { monotonicMs: options.clock.monotonicMs(), wallMs: options.clock.nowMs() };
    try {
      const begun = await client.begin(partitionsOf(cargo));
      this.#check('AddPartitionsToTxn', begun.code, begun.topic);
      const [delivered, staged] = await Promise.all([
        this.#produce(cargo),
        client.stage(this.#staged(positions)),
      ]);
      const condemned = this.#judgeAnswers(delivered);
      this.#check('TxnOffsetCommit', staged);
      if (condemned.length > 0) {
        await this.#abort();
        return condemned;
      }
      await this.#writeJournal(ranges, delivered);
      this.#check('EndTxn', await client.end(true));
      this.#opened = undefined;
      for (const { stream, to } of ranges) this.#confirmed.set(stream, to);
      return [];
    } catch (error) {
      throw this.#uncertain(error);
    }
  }

  #produce(cargo: readonly Cargo[]): Promise<Delivered[]> {
    const { links, destinations, client, requestTimeoutMs, refusals } = this.#parts;
    const { id, epoch } = client.producer;
    return produceAll(
      {
        links,
        leaderOf: (topic, partition) => destinations.leaderOf(topic, partition),
        transactionalId: refusals.transactionalId,
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

  #nextSequence(topic: string, partition: number, records: number): number {
    const place = `${topic}/${partition}`;
    const sequence = this.#sequences.get(place) ?? 0;
    // Sequences are 31 bits and go on at zero (DefaultRecordBatch.incrementSequence).
    this.#sequences.set(place, (sequence + records) % 2 ** 31);
    return sequence;
  }

  #staged(positions: ReadonlyMap<StreamId, number>): StagedPosition[] {
    const { options, streams } = this.#parts;
    return [...positions].map(([stream, offset]) => {
      const of = must(streams.get(stream), 'only streams that were connected are committed');
      return { index: stream, offset, metadata: positionMetadata(options, of, offset) };
    });
  }

  /** The condemned ones. Throws when a refusal is not about the records. */
  #judgeAnswers(delivered: readonly Delivered[]): Delivered[] {
    const condemned: Delivered[] = [];
    const places = new Set<string>();
    for (const one of delivered) {
      const { topic, partition, code } = one.answer;
      if (code === CODE.none) continue;
      const place = `${topic}/${partition}`;
      // What follows a refused batch of the same partition is out of sequence: no news.
      if (places.has(place)) continue;
      places.add(place);
      if (condemnsRecords(code)) condemned.push(one);
      else this.#check('Produce', code, topic);
    }
    return condemned;
  }

  /** Ends the transaction without effect and starts over with a new epoch and sequences from 0. */
  async #abort(): Promise<void> {
    const { client, journal, judge, refusals } = this.#parts;
    this.#check('EndTxn (abort)', await client.end(false));
    this.#opened = undefined;
    await initialise(client, journal, judge, refusals);
    this.#sequences = new Map();
  }

  async #refine(
    cargo: readonly Cargo[],
    condemned: readonly Delivered[],
  ): Promise<{ cargo: Cargo[]; rejected: Rejection[] }> {
    const { encoder, options, destinations } = this.#parts;
    const wayOf = (topic: string, partition: number) => destinations.wayOf(topic, partition);
    const refined = await refineCargo(encoder, cargo, condemned, wayOf);
    const { rejected } = refined;
    const { length } = condemned;
    options.logger.info(
      { batches: length, rejected: rejected.length },
      'records refused; sending the rest',
    );
    return refined;
  }

  async #writeJournal(ranges: readonly Range[], delivered: readonly Delivered[]): Promise<void> {
    const { journal, options, clusterId } = this.#parts;
    if (ranges.length === 0) return;
    const { gateway, incarnation } = options;
    const witnesses = delivered.map(({ cargo: { first }, answer }) => ({
      topic: answer.topic,
      partition: answer.partition,
      offset: Number(answer.baseOffset),
      identity: formatIdentity({
        gateway,
        incarnation,
        topic: first.way.topic,
        partition: first.way.partition,
        offset: first.offset,
      }),
    }));
    await journal.write({ clusterId, confirmed: this.#confirmed, ranges, witnesses });
  }

  #check(request: string, code: number, topic?: string): void {
    if (code === CODE.none) return;
    if (isFenced(code)) throw this.#fenced(request, code);
    throw refusal(this.#parts.refusals, request, code, topic);
  }

  #fenced(request: string, code: number): GatelogError {
    const { judge, transactionTimeoutMs, options, refusals } = this.#parts;
    const opened = this.#opened;
    // The machine may have slept: the monotonic clock stands still then, the wall clock does not.
    const openForMs =
      opened === undefined
        ? undefined
        : Math.max(
            options.clock.monotonicMs() - opened.monotonicMs,
            options.clock.nowMs() - opened.wallMs,
          );
    const cause = judge.judge(openForMs, transactionTimeoutMs);
    if (cause === 'clone') {
      options.logger.error({ transactionalId: refusals.transactionalId }, 'fenced');
      return new GatelogError(
        'UPSTREAM_FENCED',
        `Another gateway took over transactional id '${refusals.transactionalId}' (${codeName(code)} to ${request}): a clone of '${options.gateway}' is running. Stop one of the two and give it a name of its own, then resume this mirror`,
      );
    }
    const why =
      cause === 'timed-out'
        ? `the transaction took longer than its timeout of ${transactionTimeoutMs} ms; a slow link needs a longer one, or a smaller batch.bytes`
        : 'an earlier connection attempt of our own arrived late';
    return new GatelogError('UPSTREAM_UNCERTAIN', `Kafka gave our transaction up: ${why}`);
  }

  /** Everything of the transaction may or may not have happened; the next session finds out. */
  #uncertain(error: unknown): unknown {
    if (!(error instanceof GatelogError) || error.code !== 'UPSTREAM_UNREACHABLE') return error;
    this.#parts.options.logger.warn({ reason: messageOf(error) }, 'transaction outcome uncertain');
    return new GatelogError(
      'UPSTREAM_UNCERTAIN',
      `The link broke during a transaction; its outcome is asked at the next connection. ${error.message}`,
      { cause: error },
    );
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
