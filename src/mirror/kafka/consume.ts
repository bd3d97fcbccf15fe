import { listOffsetsV6 } from '@platformatic/kafka';
import { must } from '../../assert.ts';
import { GatelogError } from '../../errors.ts';
import { LIMITS } from '../../limits.ts';
import type { Clock } from '../../time.ts';
import { formatDuration } from '../../units.ts';
import type { UnreadRange } from '../audit.ts';
import { Cluster, insist } from './cluster.ts';
import { CODE, codeName, isElsewhere } from './codes.ts';
import { type CentralRecord, type Fetched, fetchCommitted, type Place } from './fetch.ts';
import { type Address, parseAddress } from './address.ts';
import { Links } from './links.ts';
import type { KafkaConnection } from './options.ts';

/**
 * The auditor's way to read central topics: everything committed, in passes that end where the
 * topics ended when the pass began. Shares the connection with the producing side, no more.
 */
export interface ConsumeOptions extends KafkaConnection {
  readonly topics: readonly string[];
  /** Read before them where it is there and may be read. */
  readonly ifThere?: string | undefined;
  /** By topic: its first pass begins with records of this time (ms) instead of its beginning. */
  readonly since?: ReadonlyMap<string, number>;
  readonly clock: Clock;
  readonly signal?: AbortSignal;
}

const FETCH_BYTES = 1_048_576;
const EARLIEST = -2n;
const LATEST = -1n;
/** Of an offset by time: all records are older. */
const NO_SUCH_TIME = -1;
/**
 * The end is taken as everything that is written, decided or not: a transaction may be committed
 * already while its markers are still under way.
 */
const READ_UNCOMMITTED = 0;
const ANY_REPLICA = -1;

/** All of it in one pass. Throws UPSTREAM_* as CommittedReader, and when something is left unread. */
export async function* consumeCommitted(
  options: ConsumeOptions,
): AsyncGenerator<readonly CentralRecord[], void, void> {
  const reader = new CommittedReader(options);
  try {
    yield* reader.pass();
    const [unread] = reader.unread;
    if (unread === undefined) return;
    const { topic, partition, from, to, reason } = unread;
    throw new GatelogError(
      'UPSTREAM_UNCERTAIN',
      `Kafka does not give offsets ${from} to ${to - 1} of '${topic}' partition ${partition}: ${reason}`,
    );
  } finally {
    reader.close();
  }
}

type Partition = Omit<Place, 'leader'>;

interface Bounds {
  readonly at: Partition;
  readonly from: number;
  readonly to: number;
}

/** Reads central topics in passes. MUST be closed. */
export class CommittedReader {
  readonly #options: ConsumeOptions;
  readonly #links: Links;
  readonly #signal: AbortSignal;
  /** By `topic/partition`. */
  readonly #leaders = new Map<string, Address>();
  /** Where the next pass goes on. */
  readonly #next = new Map<string, number>();
  #unread: UnreadRange[] = [];
  #lacking: string | undefined;

  constructor(options: ConsumeOptions) {
    this.#options = options;
    this.#signal = options.signal ?? new AbortController().signal;
    this.#links = new Links(options, () => {});
    this.#signal.addEventListener('abort', this.close, { once: true });
  }

  /** What the last pass could not have. */
  get unread(): readonly UnreadRange[] {
    return this.#unread;
  }

  /** Why there is nothing, or not all, of the topic that need not be there. */
  get lacking(): string | undefined {
    return this.#lacking;
  }

  close = (): void => {
    this.#signal.removeEventListener('abort', this.close);
    this.#links.close();
  };

  /**
   * From where the last pass ended (at first: the beginning) to the ends that stand now. Records in
   * order within a partition, in pieces. Throws UPSTREAM_* when a topic is missing, may not be read
   * or stays unreachable: a verdict over half the records is none.
   */
  async *pass(): AsyncGenerator<readonly CentralRecord[], void, void> {
    const { clock } = this.#options;
    this.#unread = [];
    const bounds: Bounds[] = [];
    for (const at of await this.#locate()) {
      try {
        bounds.push(await this.#boundsOf(at));
      } catch (error) {
        this.#bear(at.topic, error);
      }
    }
    const sinceMs = clock.monotonicMs();
    for (const one of bounds) {
      try {
        yield* this.#readPartition(one, sinceMs);
      } catch (error) {
        this.#bear(one.at.topic, error);
      }
    }
  }

  async #boundsOf(at: Partition): Promise<Bounds> {
    const to = await this.#offsetAt(at, LATEST);
    const from = this.#next.get(nameOf(at)) ?? (await this.#beginning(at, to));
    return { at, from, to };
  }

  async #beginning(at: Partition, end: number): Promise<number> {
    const sinceMs = this.#options.since?.get(at.topic);
    if (sinceMs === undefined) return this.#offsetAt(at, EARLIEST);
    const offset = await this.#offsetAt(at, BigInt(Math.round(sinceMs)));
    return offset === NO_SUCH_TIME ? end : offset;
  }

  /** Throws, but for the topic that need not be there: that is let alone from now on. */
  #bear(topic: string, error: unknown): void {
    const isBearable = topic === this.#options.ifThere && error instanceof GatelogError;
    if (!isBearable || this.#signal.aborted) throw error;
    this.#lacking = error.message;
  }

  #leave(range: UnreadRange): void {
    if (range.topic === this.#options.ifThere) this.#lacking = range.reason;
    else this.#unread.push(range);
  }

  /** `sinceMs`: when the bounds were taken; what is undecided below them is as old at least. */
  async *#readPartition(
    { at, from, to }: Bounds,
    sinceMs: number,
  ): AsyncGenerator<readonly CentralRecord[], void, void> {
    let offset = from;
    while (offset < to) {
      const fetched = await this.#fetch(at, offset, sinceMs);
      if (fetched === undefined) {
        const start = await this.#offsetAt(at, EARLIEST);
        const end = start > offset ? Math.min(start, to) : to;
        this.#leave({ ...at, from: offset, to: end, reason: REMOVED });
        offset = end;
        continue;
      }
      if (fetched.nextOffset === offset) {
        this.#leave({ ...at, from: offset, to, reason: reasonOf(fetched, offset) });
        break;
      }
      const records = fetched.records.filter((record) => record.offset < to);
      if (records.length > 0) yield records;
      offset = Math.min(fetched.nextOffset, to);
    }
    this.#next.set(nameOf(at), offset);
  }

  /**
   * Waits for what is not decided yet, all partitions together as long as for one. undefined: what
   * stood at the offset is not there any more.
   */
  async #fetch(at: Partition, offset: number, sinceMs: number): Promise<Fetched | undefined> {
    const { clock } = this.#options;
    const leftMs = (): number => LIMITS.auditUndecidedMs - (clock.monotonicMs() - sinceMs);
    const { fetched } = await insist(
      clock,
      this.#signal,
      () =>
        this.#ask(at, async (place) => {
          const answer = await fetchCommitted(this.#links, place, offset, FETCH_BYTES);
          const isGone = answer.code === CODE.offsetOutOfRange;
          return isGone
            ? { code: CODE.none, fetched: undefined }
            : { code: answer.code, fetched: answer };
        }),
      ({ fetched: last }) =>
        last !== undefined &&
        last.nextOffset === offset &&
        (leftMs() > 0 || last.stableOffset > offset),
      Math.max(leftMs(), LIMITS.auditSilenceMs),
    );
    return fetched;
  }

  async #offsetAt(at: Partition, timestamp: bigint): Promise<number> {
    const { api } = listOffsetsV6;
    const { offset } = await this.#ask(at, async ({ leader, topic, partition }) => {
      const wanted = { partitionIndex: partition, currentLeaderEpoch: -1, timestamp };
      const topics = [{ name: topic, partitions: [wanted] }];
      const answer = await this.#links.call(leader, api, ANY_REPLICA, READ_UNCOMMITTED, topics);
      const found = must(answer.topics[0]?.partitions[0], 'ListOffsets answers for what was asked');
      return { code: found.errorCode, offset: found.offset };
    });
    return Number(offset);
  }

  /** Asks the partition's leader, and looks for it again when it has moved or does not answer. */
  async #ask<T extends { readonly code: number }>(
    at: Partition,
    ask: (place: Place) => Promise<T>,
  ): Promise<T> {
    let isLost = false;
    let failure: unknown;
    const attempt = async (): Promise<T | undefined> => {
      try {
        if (isLost) await this.#locate();
        isLost = true;
        const answer = await ask(this.#placeOf(at));
        isLost = isElsewhere(answer.code);
        return answer;
      } catch (error) {
        if (!(error instanceof GatelogError) || error.code !== 'UPSTREAM_UNREACHABLE') throw error;
        failure = error;
        this.#dropLeader(at);
        return undefined;
      }
    };
    const { clock } = this.#options;
    const patienceMs = LIMITS.auditLeaderMs;
    const answer = await insist(clock, this.#signal, attempt, () => isLost, patienceMs);
    if (answer === undefined) throw failure;
    if (answer.code !== CODE.none) throw troubleOf(answer.code, at.topic, at.partition);
    return answer;
  }

  #placeOf(at: Partition): Place {
    const leader = this.#leaders.get(nameOf(at));
    if (leader === undefined) throw troubleOf(CODE.leaderNotAvailable, at.topic, at.partition);
    return { ...at, leader };
  }

  /** One that is silent would be silent again. */
  #dropLeader(at: Partition): void {
    const leader = this.#leaders.get(nameOf(at));
    if (leader !== undefined) this.#links.drop(leader);
  }

  /** Learns who leads what, from any broker that answers. */
  async #locate(): Promise<Partition[]> {
    const { clock, ifThere } = this.#options;
    const wanted = ifThere === undefined || this.#lacking !== undefined ? [] : [ifThere];
    const names = [...wanted, ...this.#options.topics];
    const cluster = await Cluster.open({
      links: this.#links,
      brokers: this.#options.brokers.map(parseAddress),
      topics: names,
      clock,
      signal: this.#signal,
    });
    const topics = await cluster.topics(names);
    this.#leaders.clear();
    return names.flatMap((name) => {
      const topic = topics.get(name);
      const code = topic?.code ?? CODE.unknownTopicOrPartition;
      if (topic === undefined || code !== CODE.none) {
        this.#bear(name, troubleOf(code, name));
        return [];
      }
      return topic.leaders.map((leader, partition) => {
        const at = { topic: name, partition };
        if (leader !== undefined) this.#leaders.set(nameOf(at), leader);
        return at;
      });
    });
  }
}

function nameOf({ topic, partition }: Partition): string {
  return `${topic}/${partition}`;
}

const REMOVED = "the topic's own retention removed it while the topic was read";

function reasonOf({ stableOffset }: Fetched, offset: number): string {
  return stableOffset <= offset
    ? `a transaction that was neither committed nor aborted within ${formatDuration(LIMITS.auditUndecidedMs)} holds it back from every read_committed reader`
    : `the broker gave nothing for ${formatDuration(LIMITS.auditSilenceMs)}`;
}

function troubleOf(code: number, topic: string, partition?: number): GatelogError {
  const place = partition === undefined ? `topic '${topic}'` : `'${topic}' partition ${partition}`;
  if (code === CODE.topicAuthorizationFailed) {
    return new GatelogError(
      'UPSTREAM_UNAUTHORIZED',
      `Kafka does not let us read ${place}: grant READ and DESCRIBE on it to who verifies`,
    );
  }
  if (code === CODE.unknownTopicOrPartition) {
    return new GatelogError('UPSTREAM_TOPIC_MISSING', `Kafka has no ${place}`);
  }
  return new GatelogError('UPSTREAM_UNREACHABLE', `Kafka can't read ${place}: ${codeName(code)}`);
}
