import { GatelogError } from '../../errors.ts';
import { type StreamId, streamId } from '../../record.ts';
import type { KeyValue } from '../../store/log.ts';
import type { Range } from './plan.ts';

/**
 * The little that must survive a crash on this side: which cluster we deliver to, whether an
 * InitProducerId of ours may still be under way, and the last transaction that we asked to commit.
 *
 * The transaction's entry is written (synced) before EndTxn and never needs clearing: once the
 * local positions have passed its ranges it is history. It matters only if the far side has
 * forgotten our positions (expired after days offline, topic made anew) at the very time when the
 * outcome of that one transaction is not known here.
 */
/** A record of the transaction, and where the broker put it. */
export interface JournalWitness {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Its identity header. */
  readonly identity: string;
}

export interface JournalEntry {
  readonly clusterId: string;
  /** Where streams stood that the session had sent before: the local positions lag a little. */
  readonly confirmed: ReadonlyMap<StreamId, number>;
  readonly ranges: readonly Range[];
  /** First record of each batch: one found, read_committed, proves the whole transaction. */
  readonly witnesses: readonly JournalWitness[];
}

const CLUSTER = 'cluster';
const TRANSACTION = 'transaction';
const INITIALISING = 'initialising';

export class Journal {
  readonly #values: KeyValue;

  constructor(values: KeyValue) {
    this.#values = values;
  }

  async clusterId(): Promise<string | undefined> {
    const bytes = await this.#values.get(CLUSTER);
    return bytes === undefined ? undefined : Buffer.from(bytes).toString('utf8');
  }

  rememberCluster(id: string): Promise<void> {
    return this.#values.put(CLUSTER, Buffer.from(id, 'utf8'));
  }

  /** True when an InitProducerId was sent in an earlier life and its answer never came. */
  async initialising(): Promise<boolean> {
    return (await this.#values.get(INITIALISING)) !== undefined;
  }

  markInitialising(): Promise<void> {
    return this.#values.put(INITIALISING, Buffer.from('1'));
  }

  clearInitialising(): Promise<void> {
    return this.#values.delete(INITIALISING);
  }

  write(entry: JournalEntry): Promise<void> {
    const { clusterId, confirmed, ranges, witnesses } = entry;
    const text = JSON.stringify({
      clusterId,
      confirmed: [...confirmed],
      ranges: ranges.map(({ stream, from, to }) => [stream, from, to]),
      witnesses: witnesses.map(({ topic, partition, offset, identity }) => [
        topic,
        partition,
        offset,
        identity,
      ]),
    });
    return this.#values.put(TRANSACTION, Buffer.from(text, 'utf8'));
  }

  /** Forgets the transaction: its positions no longer say anything. */
  forget(): Promise<void> {
    return this.#values.delete(TRANSACTION);
  }

  async read(): Promise<JournalEntry | undefined> {
    const bytes = await this.#values.get(TRANSACTION);
    if (bytes === undefined) return undefined;
    try {
      const parsed = JSON.parse(Buffer.from(bytes).toString('utf8')) as {
        clusterId: string;
        confirmed: [number, number][];
        ranges: [number, number, number][];
        witnesses: [string, number, number, string][];
      };
      return {
        clusterId: parsed.clusterId,
        confirmed: new Map(parsed.confirmed.map(([stream, at]) => [streamId(stream), at])),
        ranges: parsed.ranges.map(([stream, from, to]) => ({ stream: streamId(stream), from, to })),
        witnesses: parsed.witnesses.map(([topic, partition, offset, identity]) => ({
          topic,
          partition,
          offset,
          identity,
        })),
      };
    } catch (error) {
      throw new GatelogError('STORE_CORRUPT', 'The journal of the Kafka mirror is not readable', {
        cause: error,
      });
    }
  }
}
