import { must } from '../../assert.ts';
import type { Compressor } from './compressor.ts';
import type { Piece, Range, Target, Way } from './plan.ts';
import { type EncodedBatch, RecordBatchEncoder } from './record-batch.ts';

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

/** Key, value, headers and identity: an upper bound of the rest of a record. */
const RECORD_EXTRA = 80;

/**
 * Turns targets into compressed batches, one caller after another: there is one buffer and one
 * codec context. While the codec works in the thread pool this thread does other things.
 */
export class PieceEncoder {
  readonly #compressor: Compressor;
  readonly #maxBatchBytes: number;
  readonly #encoder: RecordBatchEncoder;
  /** Topics whose brokers take less than maxBatchBytes, learned from their refusals. */
  readonly #smaller = new Map<string, number>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(compressor: Compressor, maxBatchBytes: number) {
    this.#compressor = compressor;
    this.#maxBatchBytes = maxBatchBytes;
    this.#encoder = new RecordBatchEncoder(maxBatchBytes + 65_536);
  }

  /** A piece larger than maxBatchBytes is cut into several; one record always fits. */
  encode(pieces: readonly Piece[]): Promise<Cargo[]> {
    return this.#inTurn(async () => {
      const cargo: Cargo[] = [];
      for (const { target, from, to } of pieces) {
        let start = from;
        while (start < to) {
          const made = await this.#fill(target, start, to);
          cargo.push(made);
          start += made.batch.records;
        }
      }
      return cargo;
    });
  }

  /** From now on batches for this topic are at most half as large as the one refused. */
  learnTooLarge(topic: string, batch: EncodedBatch): void {
    if (batch.records > 1) this.#smaller.set(topic, Math.floor(batch.rawBytes / 2));
  }

  async #fill(target: Target, from: number, to: number): Promise<Cargo> {
    const encoder = this.#encoder;
    const { records, ways } = target;
    const limit = this.#smaller.get(target.topic) ?? this.#maxBatchBytes;
    let index = from;
    encoder.reset();
    while (index < to) {
      const record = must(records[index], 'a piece lies within its target');
      const { identity } = must(ways[index], 'a record of a target has a way');
      const bytes =
        (record.key?.length ?? 0) +
        (record.value?.length ?? 0) +
        record.headers.length +
        identity.length +
        RECORD_EXTRA;
      if (encoder.count > 0 && encoder.size + bytes > limit) break;
      encoder.add(record, identity);
      index++;
    }
    const compressed = await this.#compressor.compress(encoder.records());
    const batch = encoder.finish(compressed, this.#compressor.codec);
    const { topic, partition } = target;
    const way = must(ways[from], 'a record of a target has a way');
    const { offset } = must(records[from], 'a piece has a first record');
    return { topic, partition, batch, first: { way, offset } };
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }
}
