import { fetchV12, type RecordsBatch } from '@platformatic/kafka';
import { must } from '../../assert.ts';
import { IDENTITY_HEADER } from '../../identity.ts';
import { METRICS } from '../../health.ts';
import { GAPS } from '../../loss.ts';
import { CODE } from './codes.ts';
import type { Address } from './address.ts';
import type { Links } from './links.ts';

/** Reading committed records of a central partition, without any of the producing code. */
export interface CentralRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly timestampMs: number;
  readonly key: Uint8Array | null;
  /** Value of the `gatelog.id` header; undefined when the record has none. */
  readonly identity: string | undefined;
  /** The value, of a record that a gateway wrote of itself (`_gaps`, `_metrics`); undefined: it is none. */
  readonly own?: Uint8Array | null | undefined;
}

export interface Fetched {
  readonly code: number;
  readonly records: readonly CentralRecord[];
  /** Where to go on; the offset asked for when nothing was there. */
  readonly nextOffset: number;
  /** One past the last record that may be read: below it every transaction is decided. */
  readonly stableOffset: number;
  readonly startOffset: number;
}

/** Parts of the identities of such records. */
const OWN: readonly string[] = [`/${GAPS}/`, `/${METRICS}/`];

const READ_COMMITTED = 1;
const TRANSACTIONAL = 1 << 4;
const CONTROL = 1 << 5;
const MAX_WAIT_MS = 500;

export interface Place {
  readonly leader: Address;
  readonly topic: string;
  readonly partition: number;
}

export async function fetchCommitted(
  links: Links,
  place: Place,
  offset: number,
  maxBytes: number,
): Promise<Fetched> {
  const { leader, topic, partition } = place;
  const wanted = {
    topicId: topic, // version 12 is by name; the library's field is called so for later ones
    partitions: [
      {
        partition,
        currentLeaderEpoch: -1,
        fetchOffset: BigInt(offset),
        lastFetchedEpoch: -1,
        partitionMaxBytes: maxBytes,
      },
    ],
  };
  const { api } = fetchV12;
  const answer = await links.call(
    leader,
    api,
    MAX_WAIT_MS,
    1,
    maxBytes,
    READ_COMMITTED,
    0,
    -1,
    [wanted],
    [],
    '',
  );
  const found = must(
    answer.responses[0]?.partitions[0],
    'Fetch answers for the partition asked for',
  );
  const batches = found.records ?? [];
  const visible = visibleBatches(batches, found.abortedTransactions ?? []);
  const records = visible.flatMap((batch) => recordsOf(batch, topic, partition, offset));
  const last = batches.at(-1);
  return {
    code: found.errorCode === CODE.none ? answer.errorCode : found.errorCode,
    records,
    nextOffset: last === undefined ? offset : Number(last.firstOffset) + last.lastOffsetDelta + 1,
    stableOffset: Number(found.lastStableOffset),
    startOffset: Number(found.logStartOffset),
  };
}

/**
 * Drops control batches and those of aborted transactions. A producer's aborted transaction runs
 * from its first offset to that producer's next abort marker (KIP-98, consumer side).
 */
function visibleBatches(
  batches: readonly RecordsBatch[],
  aborted: readonly { readonly producerId: bigint; readonly firstOffset: bigint }[],
): RecordsBatch[] {
  const waiting = [...aborted].toSorted((a, b) => (a.firstOffset < b.firstOffset ? -1 : 1));
  const open = new Set<bigint>();
  return batches.filter((batch) => {
    const lastOffset = batch.firstOffset + BigInt(batch.lastOffsetDelta);
    while (waiting[0] !== undefined && waiting[0].firstOffset <= lastOffset) {
      open.add(waiting[0].producerId);
      waiting.shift();
    }
    if ((batch.attributes & CONTROL) !== 0) {
      // Key of a control record: version, then type; 0 is abort, 1 is commit.
      if (batch.records[0]?.key?.readInt16BE(2) === 0) open.delete(batch.producerId);
      return false;
    }
    return (batch.attributes & TRANSACTIONAL) === 0 || !open.has(batch.producerId);
  });
}

function recordsOf(
  batch: RecordsBatch,
  topic: string,
  partition: number,
  from: number,
): CentralRecord[] {
  const base = Number(batch.firstOffset);
  const baseTimestamp = Number(batch.firstTimestamp);
  return batch.records
    .filter((record) => base + record.offsetDelta >= from)
    .map((record) => {
      const identity = identityOf(record.headers);
      return {
        topic,
        partition,
        offset: base + record.offsetDelta,
        timestampMs: baseTimestamp + Number(record.timestampDelta),
        key: record.key,
        identity,
        own: OWN.some((part) => identity?.includes(part)) ? record.value : undefined,
      };
    });
}

/** The last one counts: a record that passed through several gateways carries one of each. */
function identityOf(
  headers: readonly (readonly [Buffer | null, Buffer | null])[],
): string | undefined {
  const found = headers.findLast(([key]) => key?.toString('utf8') === IDENTITY_HEADER);
  return found?.[1]?.toString('utf8');
}
