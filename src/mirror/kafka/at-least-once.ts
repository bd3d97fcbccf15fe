import { must } from '../../assert.ts';
import type { StreamId } from '../../record.ts';
import type { Slice } from '../../store/log.ts';
import type { Clock } from '../../time.ts';
import type { LargePatience } from '../large-patience.ts';
import type { Receipt, Rejection } from '../upstream.ts';
import { CODE, condemnsRecords } from './codes.ts';
import type { Destinations } from './destinations.ts';
import type { Cargo, PieceEncoder, Shipment } from './encode.ts';
import type { Links } from './links.ts';
import { rangesOf, targetsOf, wholeOf } from './plan.ts';
import { refineCargo } from './refine-cargo.ts';
import { refusal, type RefusalContext } from './refusal.ts';
import { type Delivered, produceWithPatience } from './rounds.ts';

/**
 * Delivery to services without transactions: acknowledged by all replicas, in order per partition,
 * repeated from the local position after any doubt. A repeat carries the same identity header.
 * A partition's next batch leaves only after the one before was answered, so that no refusal or
 * loss can put a later record before an earlier one.
 */
export interface PlainParts {
  readonly options: { readonly clock: Clock };
  readonly links: Links;
  readonly destinations: Destinations;
  readonly encoder: PieceEncoder;
  readonly refusals: RefusalContext;
  readonly requestTimeoutMs: number;
  readonly patience: LargePatience;
  readonly quarantine: (rejected: readonly Rejection[]) => Promise<void>;
}

const NO_PRODUCER = {
  producerId: -1n,
  producerEpoch: -1,
  baseSequence: -1,
  transactional: false,
} as const;

export class AtLeastOnceDelivery {
  readonly #parts: PlainParts;
  #tail: Promise<unknown> = Promise.resolve();

  constructor(parts: PlainParts) {
    this.#parts = parts;
  }

  async prepare(slices: readonly Slice[]): Promise<Shipment> {
    const { destinations, encoder } = this.#parts;
    const wayOf = (stream: StreamId) =>
      must(destinations.ways.get(stream), 'only streams that were connected are sent');
    const ranges = rangesOf(slices);
    return { ranges, cargo: await encoder.encode(targetsOf(slices, wayOf).map(wholeOf)) };
  }

  /** One after the other, whoever calls: what a batch was refused goes out before the next. */
  deliver(shipment: Shipment): Promise<Receipt> {
    const delivered = this.#tail.then(() => this.#deliver(shipment));
    this.#tail = delivered;
    delivered.catch(() => {}); // The caller's, and every later one's.
    return delivered;
  }

  async #deliver({ cargo: prepared }: Shipment): Promise<Receipt> {
    const rejected: Rejection[] = [];
    let cargo: readonly Cargo[] = prepared;
    let bytesSent = 0;
    while (cargo.length > 0) {
      bytesSent += cargo.reduce((sum, { batch }) => sum + batch.bytes.length, 0);
      const delivered = await this.#produce(cargo);
      const condemned = this.#judge(delivered);
      const done = new Set(
        delivered.filter(({ answer }) => answer.code === CODE.none).map(({ cargo: one }) => one),
      );
      const rest = cargo.filter((one) => !done.has(one));
      const { encoder, destinations } = this.#parts;
      const wayOf = (topic: string, partition: number) => destinations.wayOf(topic, partition);
      const refined = await refineCargo(encoder, rest, condemned, wayOf);
      if (refined.rejected.length > 0) await this.#parts.quarantine(refined.rejected);
      rejected.push(...refined.rejected);
      cargo = refined.cargo;
    }
    return { rejected, bytesSent };
  }

  #produce(cargo: readonly Cargo[]): Promise<Delivered[]> {
    const { links, destinations, requestTimeoutMs, patience, options } = this.#parts;
    return produceWithPatience(
      {
        links,
        patience,
        clock: options.clock,
        purpose: 'records',
        leaderOf: (topic, partition) => destinations.leaderOf(topic, partition),
        transactionalId: null,
        requestTimeoutMs,
        pipelined: false,
        stampOf: () => NO_PRODUCER,
      },
      cargo,
    );
  }

  #judge(delivered: readonly Delivered[]): Delivered[] {
    const refused = delivered.filter(({ answer }) => answer.code !== CODE.none);
    for (const { answer } of refused) {
      if (condemnsRecords(answer.code)) continue;
      throw refusal(this.#parts.refusals, 'Produce', answer.code, answer.topic);
    }
    return refused;
  }
}
