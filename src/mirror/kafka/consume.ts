import { listOffsetsV6 } from '@platformatic/kafka';
import { must } from '../../assert.ts';
import { GatelogError } from '../../errors.ts';
import type { Clock } from '../../time.ts';
import { Cluster, insist } from './cluster.ts';
import { CODE, codeName } from './codes.ts';
import { type CentralRecord, fetchCommitted, type Place } from './fetch.ts';
import { Links } from './links.ts';
import type { KafkaConnection } from './options.ts';

/**
 * The auditor's way to read central topics: everything committed from the beginning to the end
 * that stood when reading began. Shares the connection with the producing side, no more.
 */
export interface ConsumeOptions extends KafkaConnection {
  readonly topics: readonly string[];
  readonly clock: Clock;
  readonly signal?: AbortSignal;
}

const FETCH_BYTES = 1_048_576;
const EARLIEST = -2n;
const LATEST = -1n;
/**
 * The end is taken as everything that is written, decided or not: a transaction may be committed
 * already while its markers are still under way.
 */
const READ_UNCOMMITTED = 0;
/** Longer than the usual transaction timeout and the broker's sweep after it. */
const UNDECIDED_WAIT_MS = 60_000;
const ANY_REPLICA = -1;

/**
 * Records in order within a partition, in pieces. Throws UPSTREAM_* when a topic is missing, may
 * not be read or becomes unreachable: a verdict over half the records is none.
 */
export async function* consumeCommitted(
  options: ConsumeOptions,
): AsyncGenerator<readonly CentralRecord[], void, void> {
  const signal = options.signal ?? new AbortController().signal;
  const links = new Links(options, () => {});
  const abort = (): void => links.close();
  signal.addEventListener('abort', abort, { once: true });
  try {
    const cluster = await Cluster.open(links, options, options.clock, signal);
    const places = await placesOf(cluster, options.topics);
    const bounds: { readonly place: Place; readonly from: number; readonly to: number }[] = [];
    for (const place of places) {
      const to = await offsetAt(links, place, LATEST);
      bounds.push({ place, from: await offsetAt(links, place, EARLIEST), to });
    }
    for (const { place, from, to } of bounds) {
      yield* readPartition(links, options.clock, signal, place, from, to);
    }
  } finally {
    signal.removeEventListener('abort', abort);
    links.close();
  }
}

async function* readPartition(
  links: Links,
  clock: Clock,
  signal: AbortSignal,
  place: Place,
  from: number,
  to: number,
): AsyncGenerator<readonly CentralRecord[], void, void> {
  let offset = from;
  while (offset < to) {
    const at = offset;
    const fetched = await insist(
      clock,
      signal,
      () => fetchCommitted(links, place, at, FETCH_BYTES),
      ({ code, nextOffset }) =>
        code === CODE.notLeaderOrFollower || (code === CODE.none && nextOffset === at),
      UNDECIDED_WAIT_MS,
    );
    checkCode(fetched.code, place.topic, place.partition);
    // What follows belongs to a transaction that nobody has decided: it is not committed.
    if (fetched.nextOffset === offset) return;
    const records = fetched.records.filter((record) => record.offset < to);
    if (records.length > 0) yield records;
    offset = fetched.nextOffset;
  }
}

async function placesOf(cluster: Cluster, names: readonly string[]): Promise<Place[]> {
  const topics = await cluster.topics(names);
  return names.flatMap((name) => {
    const topic = topics.get(name);
    checkCode(topic?.code ?? CODE.unknownTopicOrPartition, name, undefined);
    return (topic?.leaders ?? []).map((leader, partition) => {
      if (leader === undefined) checkCode(CODE.leaderNotAvailable, name, partition);
      return {
        leader: must(leader, 'a partition without a leader was refused'),
        topic: name,
        partition,
      };
    });
  });
}

async function offsetAt(links: Links, place: Place, timestamp: bigint): Promise<number> {
  const { leader, topic, partition } = place;
  const wanted = { partitionIndex: partition, currentLeaderEpoch: -1, timestamp };
  const topics = [{ name: topic, partitions: [wanted] }];
  const { api } = listOffsetsV6;
  const answer = await links.call(leader, api, ANY_REPLICA, READ_UNCOMMITTED, topics);
  const found = must(answer.topics[0]?.partitions[0], 'ListOffsets answers for what was asked');
  checkCode(found.errorCode, topic, partition);
  return Number(found.offset);
}

function checkCode(code: number, topic: string, partition: number | undefined): void {
  if (code === CODE.none) return;
  const place = partition === undefined ? `topic '${topic}'` : `'${topic}' partition ${partition}`;
  if (code === CODE.topicAuthorizationFailed) {
    throw new GatelogError(
      'UPSTREAM_UNAUTHORIZED',
      `Kafka does not let us read ${place}: grant READ and DESCRIBE on it to who verifies`,
    );
  }
  if (code === CODE.unknownTopicOrPartition) {
    throw new GatelogError('UPSTREAM_TOPIC_MISSING', `Kafka has no ${place}`);
  }
  throw new GatelogError('UPSTREAM_UNREACHABLE', `Kafka can't read ${place}: ${codeName(code)}`);
}
