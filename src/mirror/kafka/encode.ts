import { must } from '../../assert.ts';
import type { Compressor } from './compressor.ts';
import type { Piece, Range, Target, Way } from './plan.ts';
import { type EncodedBatch, RecordBatchEncoder } from './record-batch.ts';
import type { TimeBounds } from './time-bounds.ts';

/**
 * A batch, ready to be sealed and sent. It holds bytes only: the records that it was made of are
 * garbage as soon as it is made, which keeps the mirror's memory small while batches wait for the
 * far side. Should they be needed again, `decodeCargo` takes them out of the bytes.
 */
export interface Cargo {
  readonly topic: string;
  readonly partition: number;
  readonly batch: EncodedBatch;
  /** Its first record: where it came from. */
  readonly first: { readonly way: Way; readonly offset: number };
}

/** One `send`: its batches, and which records they are. */
export interface Shipment {
  readonly ranges: readonly Range[];
  readonly cargo: readonly Cargo[];
}

/** Records in an encoder's buffer, about to be compressed. */
interface Filled {
  readonly encoder: RecordBatchEncoder;
  readonly target: Target;
  readonly from: number;
}

/**
 * Turns targets into compressed batches, one caller after another. There is one codec context and
 * there are two buffers: while the codec works on one in the thread pool, this thread fills the
 * other.
 */
export class PieceEncoder {
  readonly #compressor: Compressor;
  readonly #maxBatchBytes: number;
  /** Which timestamps each topic takes. */
  readonly times: TimeBounds;
  #idle: RecordBatchEncoder;
  #busy: RecordBatchEncoder;
  /** Topics whose brokers take less than maxBatchBytes, learned from their refusals. */
  readonly #smaller = new Map<string, number>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(compressor: Compressor, maxBatchBytes: number, times: TimeBounds) {
    this.times = times;
    this.#compressor = compressor;
    this.#maxBatchBytes = maxBatchBytes;
    this.#idle = new RecordBatchEncoder(maxBatchBytes + 65_536);
    this.#busy = new RecordBatchEncoder(maxBatchBytes + 65_536);
  }

  /** A piece larger than maxBatchBytes is cut into several; one record always fits. */
  encode(pieces: readonly Piece[]): Promise<Cargo[]> {
    const result = this.#turn.then(() => this.#encodeAll(pieces));
    this.#turn = result.catch(() => {}); // Told to its caller; the next one begins afresh.
    return result;
  }

  /** From now on batches for this topic are at most half as large as the one refused. */
  learnTooLarge(topic: string, batch: EncodedBatch): void {
    if (batch.records > 1) this.#smaller.set(topic, Math.floor(batch.rawBytes / 2));
  }

  async #encodeAll(pieces: readonly Piece[]): Promise<Cargo[]> {
    const cargo: Cargo[] = [];
    let compressing: Promise<Cargo> | undefined;
    for (const { target, from, to } of pieces) {
      let start = from;
      while (start < to) {
        const filled = this.#fill(target, start, to);
        start += filled.encoder.count;
        if (compressing !== undefined) cargo.push(await compressing);
        compressing = this.#compress(filled);
      }
    }
    if (compressing !== undefined) cargo.push(await compressing);
    return cargo;
  }

  #fill(target: Target, from: number, to: number): Filled {
    const encoder = this.#idle;
    this.#idle = this.#busy;
    this.#busy = encoder;
    const { records, ways } = target;
    const limit = this.#smaller.get(target.topic) ?? this.#maxBatchBytes;
    const range = this.times.of(target.topic);
    encoder.reset();
    for (let index = from; index < to; index++) {
      const record = must(records[index], 'a piece lies within its target');
      const { identity } = must(ways[index], 'a record of a target has a way');
      if (!encoder.add(record, identity, limit, range)) break;
    }
    return { encoder, target, from };
  }

  async #compress({ encoder, target, from }: Filled): Promise<Cargo> {
    const compressed = await this.#compressor.compress(encoder.records());
    const batch = encoder.finish(compressed, this.#compressor.codec);
    const { topic, partition, ways, records } = target;
    const way = must(ways[from], 'a record of a target has a way');
    const { offset } = must(records[from], 'a piece has a first record');
    return { topic, partition, batch, first: { way, offset } };
  }
}
