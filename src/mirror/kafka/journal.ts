import { type Coverage, type Coverages, flat, fromFlat, union, upTo } from '../../coverage.ts';
import { GatelogError } from '../../errors.ts';
import { type StreamId, streamId } from '../../record.ts';
import type { KeyValue } from '../../store/log.ts';
import type { Range } from './plan.ts';

/**
 * The little that must survive a crash on this side: which cluster we deliver to, for which
 * transactional ids an InitProducerId of ours may still be under way, and the last transaction that we asked to commit.
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
  /** Where streams stood that the session had moved on before: the local positions lag a little. */
  readonly confirmed: Coverages;
  /** Its records; none of a stream that only passes over some. */
  readonly ranges: readonly Range[];
  /** What has been had of its streams if it was committed. */
  readonly after: Coverages;
  /** First record of each batch: one found, read_committed, proves the whole transaction. */
  readonly witnesses: readonly JournalWitness[];
}

/** Parts only where something is ahead. */
type Stored = [stream: number, next: number, ahead?: number[], sampledTo?: number];

const CLUSTER = 'cluster';
const TRANSACTION = 'transaction';
const INITIALISING = 'initialising';
const EXPORTED = 'exported';
const ASIDE = 'aside';

/** What was written to files for another to bring to the far side, under our name. */
export interface Exported {
  /** Of exports so far. */
  readonly count: number;
  readonly had: Coverages;
}

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

  /**
   * Transactional ids of which an InitProducerId was sent in an earlier life and its answer never came.
   * Earlier programs did not say which: `all` then.
   */
  async initialising(all: readonly string[]): Promise<readonly string[]> {
    const bytes = await this.#values.get(INITIALISING);
    if (bytes === undefined) return [];
    const marked: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
    return Array.isArray(marked) ? marked.map(String) : all;
  }

  async markInitialising(transactionalIds: readonly string[]): Promise<void> {
    if (transactionalIds.length === 0) await this.#values.delete(INITIALISING);
    else await this.#values.put(INITIALISING, Buffer.from(JSON.stringify(transactionalIds)));
  }

  async exported(): Promise<Exported> {
    const bytes = await this.#values.get(EXPORTED);
    if (bytes === undefined) return { count: 0, had: new Map() };
    const text = Buffer.from(bytes).toString('utf8');
    const { count, had } = JSON.parse(text) as { count: number; had: Stored[] };
    return { count, had: coveragesOf(had) };
  }

  /** The number of this export. MUST be durable before the first of these records is in a file. */
  async noteExported(exporting: Coverages): Promise<number> {
    const { count, had } = await this.exported();
    const all = new Map(had);
    for (const [stream, more] of exporting)
      all.set(stream, union(more, all.get(stream) ?? upTo(0)));
    const text = JSON.stringify({ count: count + 1, had: storedOf(all) });
    await this.#values.put(EXPORTED, Buffer.from(text, 'utf8'));
    return count + 1;
  }

  /** What the far side has of streams that the transaction's entry no longer tells of; see left-out.ts. */
  async aside(): Promise<Coverages> {
    const bytes = await this.#values.get(ASIDE);
    if (bytes === undefined) return new Map();
    return coveragesOf(JSON.parse(Buffer.from(bytes).toString('utf8')) as Stored[]);
  }

  async setAside(had: Coverages): Promise<void> {
    const text = JSON.stringify(storedOf(had));
    const bytes = await this.#values.get(ASIDE);
    if (text === (bytes === undefined ? '[]' : Buffer.from(bytes).toString('utf8'))) return;
    if (had.size === 0) await this.#values.delete(ASIDE);
    else await this.#values.put(ASIDE, Buffer.from(text, 'utf8'));
  }

  write(entry: JournalEntry): Promise<void> {
    const { clusterId, confirmed, ranges, after, witnesses } = entry;
    const text = JSON.stringify({
      clusterId,
      confirmed: storedOf(confirmed),
      ranges: ranges.map(({ stream, from, to }) => [stream, from, to]),
      after: storedOf(after),
      witnesses: witnesses.map(({ topic, partition, offset, identity }) => [
        topic,
        partition,
        offset,
        identity,
      ]),
    });
    return this.#values.put(TRANSACTION, Buffer.from(text, 'utf8'));
  }

  async read(): Promise<JournalEntry | undefined> {
    const bytes = await this.#values.get(TRANSACTION);
    if (bytes === undefined) return undefined;
    try {
      const parsed = JSON.parse(Buffer.from(bytes).toString('utf8')) as {
        clusterId: string;
        confirmed: Stored[];
        ranges: [number, number, number][];
        /** Earlier programs wrote none. */
        after?: Stored[];
        witnesses: [string, number, number, string][];
      };
      const after = parsed.after ?? parsed.ranges.map(([stream, , to]): Stored => [stream, to]);
      return {
        clusterId: parsed.clusterId,
        confirmed: coveragesOf(parsed.confirmed),
        ranges: parsed.ranges.map(([stream, from, to]) => ({ stream: streamId(stream), from, to })),
        after: coveragesOf(after),
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

function storedOf(coverages: Coverages): Stored[] {
  return [...coverages].map(([stream, had]) => [stream, ...flat(had)]);
}

function coveragesOf(stored: readonly Stored[]): Map<StreamId, Coverage> {
  return new Map(stored.map(([stream, ...had]) => [streamId(stream), fromFlat(...had)]));
}
