import { type Coverage, type Coverages, union, upTo } from '../../coverage.ts';
import { GatelogError } from '../../errors.ts';
import type { StreamId } from '../../record.ts';
import { MIRROR_LIMITS } from '../../mirror-limits.ts';
import type { ConnectOptions, MirrorStream } from '../upstream.ts';
import { addressName } from './address.ts';
import type { Cluster } from './cluster.ts';
import { CODE } from './codes.ts';
import { Coordinators } from './coordinators.ts';
import {
  findOutcome,
  isInDoubt,
  positionsAfterDoubt,
  requireNoneExported,
  requireOwnRecords,
  requireSomeBooks,
} from './doubt.ts';
import type { DeliveryParts } from './delivery-parts.ts';
import type { JournalEntry } from './journal.ts';
import { ExactlyOnceDelivery } from './exactly-once.ts';
import type { FirstQuestions } from './first-questions.ts';
import { growth } from './growth.ts';
import type { KnownCluster } from './known-cluster.ts';
import { Lane } from './lane.ts';
import type { Versions } from './links.ts';
import type { PositionsAnswer } from './offset-fetch.ts';
import { KAFKA_DEFAULTS } from './options.ts';
import { inDoubtElsewhere, setAsideLeftOut } from './left-out.ts';
import { sentUnderOtherNames } from './other-books.ts';
import { ensurePositionsTopic } from './positions-topic.ts';
import { refusal } from './refusal.ts';
import { acceptPosition } from './resume.ts';
import { lackingVersions } from './needed-versions.ts';
import { laneNumbers, Ring, ringId } from './ring.ts';
import { canDescribe, takeOver } from './take-over.ts';
import { TransactionClient } from './transaction.ts';

/** A cluster that answered, what it was asked in the same breath, and what was known before. */
export interface OpenedCluster {
  readonly cluster: Cluster;
  readonly asked: FirstQuestions;
  readonly known: KnownCluster;
}

/**
 * The order is the guarantee: InitProducerId first (it finishes or aborts what an earlier session
 * left and fences it), then OffsetFetch with require_stable. What that says is the truth.
 */
export async function connectExactlyOnce(
  parts: DeliveryParts,
  { cluster, asked, known }: OpenedCluster,
  signal: AbortSignal,
  { seek, onSought }: Pick<ConnectOptions, 'seek' | 'onSought'>,
): Promise<{ delivery: ExactlyOnceDelivery; positions: Coverages }> {
  const { options, refusals } = parts;
  const { clock, logger, positionsTopic = KAFKA_DEFAULTS.positionsTopic } = options;
  const versions = await asked.versions;
  checkVersions(cluster, versions);
  const streams = [...parts.streams.values()];
  await ensurePositionsTopic(cluster, positionsTopic, streams, options);
  const coordinators = new Coordinators(cluster, known, asked.coordinators);
  const clientOf = (index: number): TransactionClient => {
    const transactionalId = ringId(refusals.transactionalId, index);
    const { transactionTimeoutMs: timeoutMs } = parts;
    const names = { transactionalId, group: refusals.group, positionsTopic, timeoutMs };
    const isDescribable = canDescribe(versions);
    return new TransactionClient(
      parts.links,
      coordinators,
      { ...names, isDescribable },
      clock,
      signal,
    );
  };
  const client = clientOf(1);
  // Before the transactional id is taken from its owner: it may be a healthy gateway's. A refusal
  // is told below, in its turn.
  const glanced = await glance(parts, client, coordinators, asked);
  if (glanced.code === CODE.none) await sortPositions(parts, glanced, seek);
  parts.judge.begin();
  const most = canDescribe(versions) ? MIRROR_LIMITS.kafkaLanes : 1;
  const entry = await parts.journal.read();
  const alsoOf = inDoubtElsewhere(entry, parts.streams);
  const { lanes, answer } = await takeOver(parts, clientOf, most, known, alsoOf);
  const { known: found, unknown } = await readPositions(parts, answer, cluster, signal, seek);
  const { journal, streams: connected } = parts;
  const settle = (forgotten: Coverages): Promise<Coverages> =>
    settleDoubt(parts, cluster, signal, forgotten);
  await setAsideLeftOut({ journal, entry, streams: connected, seek, answer, settle });
  onSought?.(new Map([...found, ...unknown].filter(([stream]) => seek.has(stream))));
  const sought = [...seek].map(([stream, next]): [StreamId, Coverage] => [stream, upTo(next)]);
  const positions = new Map([...found, ...unknown, ...sought]);
  const laneOf = (index: number): Lane => new Lane(parts, clientOf(index), index);
  const ring = new Ring(
    { laneOf, most, clock, ...growth(known, client.transactionalId, logger) },
    lanes,
  );
  const delivery = new ExactlyOnceDelivery(parts, ring, positions);
  // Unknown ones too, before any record: from now on "no position" means that it was forgotten.
  const changed = new Map([...unknown, ...sought]);
  if (changed.size > 0) await delivery.commitPositions(changed);
  // What the journal knows is older than a person's word; and it must know this one.
  if (seek.size > 0) await journal.write(standing(cluster.id, positions));
  const { producer } = lanes.first;
  logger.info(
    {
      cluster: cluster.id,
      broker: cluster.seed,
      producer: String(producer.id),
      epoch: producer.epoch,
    },
    'connected to Kafka',
  );
  return { delivery, positions };
}

/** The books of a session that begins, without a transaction. */
function standing(clusterId: string, confirmed: Coverages): JournalEntry {
  return { clusterId, confirmed, ranges: [], after: new Map(), witnesses: [] };
}

/** The connections to the other coordinators are made meanwhile. */
async function glance(
  { links, streams, refusals: { group, transactionalId } }: DeliveryParts,
  client: TransactionClient,
  coordinators: Coordinators,
  asked: FirstQuestions,
): Promise<PositionsAnswer> {
  for (const index of laneNumbers()) {
    const meanwhile = coordinators.find('transaction', ringId(transactionalId, index));
    meanwhile
      .then(({ code, address }) => (code === CODE.none ? links.to(address) : undefined))
      .catch(() => {}); // Told to who needs it.
  }
  const { code, address } = await coordinators.find('group', group);
  // Positions go with the records.
  if (code === CODE.none) links.to(address, 'records').catch(() => {});
  const early = code === CODE.none ? await asked.glanceFrom(address) : undefined;
  return early?.code === CODE.none ? early : client.glance([...streams.keys()]);
}

async function readPositions(
  parts: DeliveryParts,
  answer: PositionsAnswer,
  cluster: Cluster,
  signal: AbortSignal,
  seek: ReadonlyMap<StreamId, number>,
): Promise<FoundPositions> {
  const { known, forgotten } = await sortPositions(parts, answer, seek);
  const { isPositionLost = never, unknownOutcome = 'stop' } = parts.options;
  const open = [...forgotten.values()].filter(({ stream }) => !seek.has(stream));
  requireSomeBooks(isPositionLost, open, unknownOutcome);
  requireNoneExported((await parts.journal.exported()).had, open, unknownOutcome);
  const aside = await parts.journal.aside();
  const local = new Map<StreamId, Coverage>();
  for (const { stream, had } of forgotten.values()) {
    if (had !== undefined) local.set(stream, union(had, aside.get(stream) ?? upTo(0)));
  }
  return { known, unknown: await settleDoubt(parts, cluster, signal, local) };
}

/** Throws UPSTREAM_MISMATCH when a position is not of this folder's making. */
async function sortPositions(
  { options, clusterId, refusals, streams, journal }: DeliveryParts,
  answer: PositionsAnswer,
  seek: ReadonlyMap<StreamId, number>,
): Promise<{
  readonly known: Map<StreamId, Coverage>;
  readonly forgotten: Map<StreamId, MirrorStream>;
}> {
  if (answer.code !== CODE.none) throw refusal(refusals, 'OffsetFetch', answer.code);
  const entry = await journal.read();
  const exported = (await journal.exported()).had;
  const aside = await journal.aside();
  const { role, isPositionLost = never, otherBooks } = options;
  const others = entry === undefined ? await otherBooks?.() : undefined;
  const elsewhere = await sentUnderOtherNames(clusterId, others ?? []);
  const known = new Map<StreamId, Coverage>();
  const forgotten = new Map<StreamId, MirrorStream>();
  for (const [stream, of] of streams) {
    const remote = answer.positions.get(stream) ?? { offset: -1, metadata: null };
    const position = acceptPosition(options, of, remote);
    if (position === undefined) {
      forgotten.set(stream, of);
      continue;
    }
    // An import has no books before it has sent something, and goes on from wherever its gateway came to.
    const isFree = seek.has(stream) || (role === 'import' && entry === undefined);
    // Where our books were lost the far side's word is all there is: more than they have is no clone's.
    if (!isFree && !isPositionLost(stream)) {
      const had = [exported, aside, elsewhere].reduce(
        (all, books) => union(all, books.get(stream) ?? upTo(0)),
        of.had ?? upTo(0),
      );
      requireOwnRecords(options, { ...of, had }, position, entry);
    }
    known.set(stream, position);
  }
  return { known, forgotten };
}

function never(): boolean {
  return false;
}

interface FoundPositions {
  /** The far side's own. */
  readonly known: Coverages;
  /** Of streams that it has none of: the local ones, corrected by what became of our last records. */
  readonly unknown: Coverages;
}

/**
 * Where the streams stand that the far side has no position of: the local ones, which may lag a
 * little behind what was confirmed, corrected by the journal and, if that leaves the outcome of
 * the last transaction open, by the records themselves.
 */
async function settleDoubt(
  parts: DeliveryParts,
  cluster: Cluster,
  signal: AbortSignal,
  local: Coverages,
): Promise<Coverages> {
  const { options, links, journal } = parts;
  const entry = await journal.read();
  if (local.size === 0 || entry?.clusterId !== cluster.id) return local;
  if (!isInDoubt(entry, local)) return positionsAfterDoubt('aborted', entry, local, 'repeat');
  const outcome = await findOutcome(links, cluster, options.clock, signal, entry);
  options.logger.warn({ outcome }, 'Kafka forgot our positions; asked the records themselves');
  return positionsAfterDoubt(outcome, entry, local, options.unknownOutcome ?? 'stop');
}

function checkVersions({ seed }: Cluster, versions: Versions): void {
  const lacking = lackingVersions(versions, addressName(seed));
  if (lacking !== undefined) throw new GatelogError('UPSTREAM_UNSUPPORTED', lacking);
}
