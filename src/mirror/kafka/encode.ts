import { must } from '../../assert.ts';
import type { Compressor } from './compressor.ts';
import type { Piece, Target } from './plan.ts';
import { type EncodedBatch, RecordBatchEncoder } from './record-batch.ts';

/** A piece and its batch, ready to be sealed and sent. */
export interface Cargo {
  readonly piece: Piece;
  readonly batch: EncodedBatch;
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
          start = made.piece.to;
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
    return { piece: { target, from, to: index }, batch };
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }
}
