import { type Coverage, type Coverages, union, upTo } from '../../coverage.ts';
import { GatelogError } from '../../errors.ts';
import type { StreamId } from '../../record.ts';
import { MIRROR_LIMITS } from '../../mirror-limits.ts';
import type { ConnectOptions, MirrorStream } from '../upstream.ts';
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
import { ExactlyOnceDelivery } from './exactly-once.ts';
import type { FirstQuestions } from './first-questions.ts';
import { growth } from './growth.ts';
import type { KnownCluster } from './known-cluster.ts';
import { Lane } from './lane.ts';
import type { Versions } from './links.ts';
import type { PositionsAnswer } from './offset-fetch.ts';
import { KAFKA_DEFAULTS } from './options.ts';
import { inDoubtElsewhere, setAsideLeftOut } from './left-out.ts';
import { ensurePositionsTopic } from './positions-topic.ts';
import { refusal } from './refusal.ts';
import { acceptPosition } from './resume.ts';
import { laneNumbers, Ring, ringId } from './ring.ts';
import { canDescribe, takeOver, transactionClient } from './take-over.ts';
import type { TransactionClient } from './transaction.ts';

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
  const { logger, positionsTopic = KAFKA_DEFAULTS.positionsTopic } = options;
  const versions = await asked.versions;
  checkVersions(cluster, versions);
  const streams = [...parts.streams.values()];
  await ensurePositionsTopic(cluster, positionsTopic, streams, options);
  const coordinators = new Coordinators(cluster, known, asked.coordinators);
  const clientOf = (index: number): TransactionClient => {
    const transactionalId = ringId(refusals.transactionalId, index);
    return transactionClient({ ...parts, coordinators, signal }, transactionalId);
  };
  const client = clientOf(1);
  // Before the transactional id is taken from its owner: it may be a healthy gateway's. A refusal
  // is told below, in its turn.
  const glanced = await glance(parts, client, coordinators, asked);
  if (glanced.code === CODE.none) await sortPositions(parts, glanced, seek);
  parts.judge.noteExports((await parts.journal.exported()).count);
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
  const { clock } = options;
  const ring = new Ring(
    { laneOf, most, clock, ...growth(known, client.transactionalId, logger) },
    lanes,
  );
  const delivery = new ExactlyOnceDelivery(parts, ring, positions);
  // Unknown ones too, before any record: from now on "no position" means that it was forgotten.
  const changed = new Map([...unknown, ...sought]);
  if (changed.size > 0) await delivery.commitPositions(changed);
  // What the journal knows is older than a person's word.
  if (seek.size > 0) await parts.journal.forget();
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
  const { positionsLostBelow = 0, unknownOutcome = 'stop' } = parts.options;
  const ours = { lostBelow: positionsLostBelow, journal: await parts.journal.read() };
  const open = [...forgotten.values()].filter(({ stream }) => !seek.has(stream));
  requireSomeBooks(ours, open, unknownOutcome);
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
  { options, refusals, streams, journal }: DeliveryParts,
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
  const known = new Map<StreamId, Coverage>();
  const forgotten = new Map<StreamId, MirrorStream>();
  for (const [stream, of] of streams) {
    const remote = answer.positions.get(stream) ?? { offset: -1, metadata: null };
    const position = acceptPosition(options, of, remote);
    if (position === undefined) {
      forgotten.set(stream, of);
      continue;
    }
    if (entry !== undefined && !seek.has(stream)) {
      const others = union(exported.get(stream) ?? upTo(0), aside.get(stream) ?? upTo(0));
      const had = union(of.had ?? upTo(0), others);
      requireOwnRecords(options, { ...of, had }, position, entry);
    }
    known.set(stream, position);
  }
  return { known, forgotten };
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

/** API key, version and name of what the exactly-once protocol needs. */
const NEEDED = [
  [0, 9, 'Produce'],
  [9, 7, 'OffsetFetch'],
  [10, 3, 'FindCoordinator'],
  [22, 4, 'InitProducerId'],
  [24, 3, 'AddPartitionsToTxn'],
  [25, 3, 'AddOffsetsToTxn'],
  [26, 3, 'EndTxn'],
  [28, 3, 'TxnOffsetCommit'],
] as const;

function checkVersions(cluster: Cluster, versions: Versions): void {
  const missing = NEEDED.filter(([key, version]) => {
    const known = versions.get(key);
    return known === undefined || known.min > version || known.max < version;
  });
  if (missing.length === 0) return;
  const names = missing.map(([, version, name]) => `${name} v${version}`).join(', ');
  const { host, port } = cluster.seed;
  throw new GatelogError(
    'UPSTREAM_UNSUPPORTED',
    `Kafka at ${host}:${port} lacks what exactly-once delivery needs (${names}): Apache Kafka 2.8 or later has it; for services without transactions set 'delivery: at-least-once'`,
  );
}
