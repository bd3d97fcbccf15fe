import { assert, must } from '../../assert.ts';
import type { Coverage, Coverages } from '../../coverage.ts';
import { GatelogError, messageOf } from '../../errors.ts';
import { formatIdentity } from '../../identity.ts';
import type { StreamId } from '../../record.ts';
import type { Slice } from '../../store/log.ts';
import type { Receipt } from '../upstream.ts';
import { CODE, condemnsRecords } from './codes.ts';
import type { DeliveryParts } from './delivery-parts.ts';
import type { Shipment } from './encode.ts';
import { Flight } from './flight.ts';
import type { Lane } from './lane.ts';
import { Pace } from './pace.ts';
import { rangesOf, targetsOf, wholeOf } from './plan.ts';
import { refineCargo } from './refine-cargo.ts';
import { positionMetadata } from './resume.ts';
import type { Ring } from './ring.ts';
import type { Delivered } from './rounds.ts';
import type { StagedPosition } from './transaction.ts';

/**
 * Delivers batches, each in one Kafka transaction together with the resume position:
 *
 *   {AddPartitionsToTxn ∥ AddOffsetsToTxn} → {Produce to each leader ∥ TxnOffsetCommit} →
 *   journal → EndTxn
 *
 * Several travel at once, each under a transactional id of its own (ring.ts). Invariants:
 * - Records and positions of a batch leave after those of the batch before it, on the same
 *   connections, so they are appended in that order (of two pending positions the group keeps what
 *   was appended last, whichever is committed first).
 * - EndTxn of a batch leaves after the batch before it was committed: what is committed is always
 *   a run of batches without a gap, and the outcome of one EndTxn at most is unknown.
 * - No step is repeated after an outcome that is not known: the session ends, and the next one's
 *   InitProducerId finishes or aborts what this one left, before it reads the position.
 * - A transaction that a broker condemned a batch of is aborted after all answers are in (nothing
 *   of it is on its way any more), and before it every one after it; then all are sent again.
 * - Rejected records are quarantined before a position beyond them is committed.
 * - A position that our books do not have stands in the journal before EndTxn, whether records go
 *   with it or it only passes over what expired, was lost or skipped: one that the far side has and
 *   our books have not is taken for a clone's.
 */
export class ExactlyOnceDelivery {
  readonly #parts: DeliveryParts;
  readonly #ring: Ring;
  readonly #pace: Pace;
  /** Not committed yet, in the order of the log. */
  readonly #flights: Flight[] = [];
  /** Where the streams stand that were moved on in this session, with records or past some. */
  readonly #confirmed: Map<StreamId, Coverage>;

  /**
   * `had`: where the streams stand as the session begins. The journal's word of them may be the only one
   * in our books, and goes with the session's first transaction, whichever streams that is about.
   */
  constructor(parts: DeliveryParts, ring: Ring, had: Coverages) {
    this.#parts = parts;
    this.#ring = ring;
    this.#confirmed = new Map(had);
    this.#pace = new Pace(parts.options.clock, parts.transactionTimeoutMs);
  }

  /** Encodes at once; the result is to be handed to `deliver` in call order. */
  async prepare(slices: readonly Slice[]): Promise<Shipment> {
    const { destinations, encoder } = this.#parts;
    const wayOf = (stream: StreamId) =>
      must(destinations.ways.get(stream), 'only streams that were connected are sent');
    const ranges = rangesOf(slices);
    return { ranges, cargo: await encoder.encode(targetsOf(slices, wayOf).map(wholeOf)) };
  }

  /** May be called again before the call before it has settled. */
  deliver({ ranges, cargo }: Shipment, after: Coverages): Promise<Receipt> {
    return this.#fly(new Flight(ranges, cargo, after, 'beyond our books'));
  }

  /**
   * Commits positions alone: a person's seek, which outlives a crash until it is done, and those that
   * our books have already (the daily renewal of idle ones, and what the far side forgot).
   */
  async commitPositions(positions: Coverages): Promise<void> {
    await this.#fly(new Flight([], [], positions, 'in our books'));
  }

  async #fly(flight: Flight): Promise<Receipt> {
    const before = this.#flights.at(-1);
    this.#flights.push(flight);
    try {
      const lane = await this.#ring.take();
      while (!(await this.#attempt(flight, before, lane)));
      this.#ring.give(lane);
    } catch (error) {
      const told = this.#uncertain(error);
      flight.fail(told);
      this.#ring.fail(told);
      throw told;
    }
    const { rejected, bytesSent, pace } = flight;
    return { rejected, bytesSent, ...(pace && { pace }) };
  }

  /** One transaction. False: it was aborted, and the flight is to be sent again. */
  async #attempt(flight: Flight, before: Flight | undefined, lane: Lane): Promise<boolean> {
    // Nothing is begun that may have to wait for long: an open transaction times out.
    if (this.#flights.some((one) => one.isHeld)) await before?.sent;
    const { cargo } = flight;
    flight.isBegun = true;
    const begunMs = this.#parts.options.clock.monotonicMs();
    await this.#pace.ofSmall(lane.begin(cargo));
    await either(before?.sent, flight.recalled);
    if (flight.isRecalled) return this.#takeBack(flight, lane);
    const answers = Promise.all([lane.produce(cargo), this.#stage(flight, lane)]);
    const timed = this.#pace.ofBatch(answers, begunMs);
    flight.noteSent();
    flight.bytesSent += cargo.reduce((sum, { batch }) => sum + batch.bytes.length, 0);
    flight.pace = await timed;
    const [delivered] = await answers;
    const condemned = await this.#judgeAnswers(delivered, lane);
    await either(before?.committed, flight.recalled);
    if (flight.isRecalled) return this.#takeBack(flight, lane);
    if (condemned.length > 0) {
      await this.#sendRest(flight, lane, condemned);
      return false;
    }
    const isNews = flight.standing === 'beyond our books';
    if (isNews) await this.#writeJournal(flight, delivered);
    await this.#ring.commit(lane);
    if (isNews) for (const [stream, had] of flight.after) this.#confirmed.set(stream, had);
    const first = this.#flights.shift();
    assert(first === flight, 'batches are committed in the order of the log');
    flight.noteCommitted();
    return true;
  }

  #stage(flight: Flight, lane: Lane): Promise<void> {
    const { options, streams } = this.#parts;
    const staged = [...flight.after].map(([stream, had]): StagedPosition => {
      const of = must(streams.get(stream), 'only streams that were connected are committed');
      return { index: stream, offset: had.next, metadata: positionMetadata(options, of, had) };
    });
    return lane.stage(staged, this.#ring.isSingle);
  }

  /** The condemned ones. Rejects when a refusal is not about the records. */
  async #judgeAnswers(delivered: readonly Delivered[], lane: Lane): Promise<Delivered[]> {
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
      else await lane.check('Produce', code, topic);
    }
    return condemned;
  }

  /** The flight's transaction ends without effect, because one before it did. */
  async #takeBack(flight: Flight, lane: Lane): Promise<false> {
    await lane.abort();
    flight.isBegun = false;
    flight.noteGrounded();
    return false;
  }

  /** Aborts the flight and, before it, those after it; and takes out what was condemned. */
  async #sendRest(flight: Flight, lane: Lane, condemned: readonly Delivered[]): Promise<void> {
    const { encoder, options, destinations, quarantine } = this.#parts;
    flight.again();
    const after = this.#flights.slice(this.#flights.indexOf(flight) + 1);
    await Promise.all(after.filter((one) => one.isBegun).map((one) => one.recall()));
    await lane.abort();
    flight.isBegun = false;
    const wayOf = (topic: string, partition: number) => destinations.wayOf(topic, partition);
    const { cargo, rejected } = await refineCargo(encoder, flight.cargo, condemned, wayOf);
    options.logger.info(
      { batches: condemned.length, rejected: rejected.length },
      'records refused; sending the rest',
    );
    if (rejected.length > 0) await quarantine(rejected);
    flight.rejected.push(...rejected);
    flight.cargo = cargo;
  }

  async #writeJournal({ ranges, after }: Flight, delivered: readonly Delivered[]): Promise<void> {
    const { journal, options, clusterId } = this.#parts;
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
    await journal.write({ clusterId, confirmed: this.#confirmed, ranges, after, witnesses });
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

async function either(first: Promise<void> | undefined, second: Promise<void>): Promise<void> {
  if (first !== undefined) await Promise.race([first, second]);
}
