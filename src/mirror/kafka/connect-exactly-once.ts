import { GatelogError } from '../../errors.ts';
import type { StreamId } from '../../record.ts';
import type { MirrorStream } from '../upstream.ts';
import type { Cluster } from './cluster.ts';
import { CODE } from './codes.ts';
import {
  findOutcome,
  isInDoubt,
  positionsAfterDoubt,
  requireOwnRecords,
  requireSomeBooks,
} from './doubt.ts';
import { type DeliveryParts, ExactlyOnceDelivery } from './exactly-once.ts';
import { initialise } from './initialise.ts';
import { KAFKA_DEFAULTS } from './options.ts';
import { ensurePositionsTopic } from './positions-topic.ts';
import { refusal } from './refusal.ts';
import { acceptPosition } from './resume.ts';
import { type PositionsAnswer, TransactionClient } from './transaction.ts';

/**
 * The order is the guarantee: InitProducerId first (it finishes or aborts what an earlier session
 * left and fences it), then OffsetFetch with require_stable. What that says is the truth.
 */
export async function connectExactlyOnce(
  parts: Omit<DeliveryParts, 'client'>,
  cluster: Cluster,
  signal: AbortSignal,
  seek: ReadonlyMap<StreamId, number>,
): Promise<{ delivery: ExactlyOnceDelivery; positions: ReadonlyMap<StreamId, number> }> {
  const { options, links, refusals, transactionTimeoutMs, journal, judge } = parts;
  const { clock, logger, positionsTopic = KAFKA_DEFAULTS.positionsTopic } = options;
  await checkVersions(parts, cluster);
  const streams = [...parts.streams.values()];
  await ensurePositionsTopic(cluster, positionsTopic, streams, options);
  const { transactionalId, group } = refusals;
  const names = { transactionalId, group, positionsTopic, timeoutMs: transactionTimeoutMs };
  const client = new TransactionClient(links, cluster, names, clock, signal);
  // Before the transactional id is taken from its owner: it may be a healthy gateway's. A refusal
  // is told below, in its turn.
  const glanced = await client.glance([...parts.streams.keys()]);
  if (glanced.code === CODE.none) await sortPositions(parts, glanced, seek);
  await initialise(client, journal, judge, refusals);
  const { known, unknown } = await readPositions(parts, client, cluster, signal, seek);
  const positions = new Map([...known, ...unknown, ...seek]);
  const delivery = new ExactlyOnceDelivery({ ...parts, client });
  // Unknown ones too, before any record: from now on "no position" means that it was forgotten.
  const changed = new Map([...unknown, ...seek]);
  if (changed.size > 0) await delivery.commitPositions(changed);
  // What the journal knows is older than a person's word.
  if (seek.size > 0) await parts.journal.forget();
  const { id, epoch } = client.producer;
  logger.info(
    { cluster: cluster.id, broker: cluster.seed, producer: String(id), epoch },
    'connected to Kafka',
  );
  return { delivery, positions };
}

async function readPositions(
  parts: Omit<DeliveryParts, 'client'>,
  client: TransactionClient,
  cluster: Cluster,
  signal: AbortSignal,
  seek: ReadonlyMap<StreamId, number>,
): Promise<FoundPositions> {
  const answer = await client.positions([...parts.streams.keys()]);
  const { known, forgotten } = await sortPositions(parts, answer, seek);
  const { positionsLost = false, unknownOutcome = 'stop' } = parts.options;
  const ours = { lost: positionsLost, journal: await parts.journal.read() };
  const open = [...forgotten.values()].filter(({ stream }) => !seek.has(stream));
  requireSomeBooks(ours, known.size, open, unknownOutcome);
  return { known, unknown: await settleDoubt(parts, cluster, signal, forgotten) };
}

/** Throws UPSTREAM_MISMATCH when a position is not of this folder's making. */
async function sortPositions(
  { options, refusals, streams, journal }: Omit<DeliveryParts, 'client'>,
  answer: PositionsAnswer,
  seek: ReadonlyMap<StreamId, number>,
): Promise<{
  readonly known: Map<StreamId, number>;
  readonly forgotten: Map<StreamId, MirrorStream>;
}> {
  if (answer.code !== CODE.none) throw refusal(refusals, 'OffsetFetch', answer.code);
  const entry = await journal.read();
  const known = new Map<StreamId, number>();
  const forgotten = new Map<StreamId, MirrorStream>();
  for (const [stream, of] of streams) {
    const remote = answer.positions.get(stream) ?? { offset: -1, metadata: null };
    const position = acceptPosition(options, of, remote);
    if (position === undefined) {
      forgotten.set(stream, of);
      continue;
    }
    if (entry !== undefined && !seek.has(stream)) requireOwnRecords(options, of, position, entry);
    known.set(stream, position);
  }
  return { known, forgotten };
}

interface FoundPositions {
  /** The far side's own. */
  readonly known: ReadonlyMap<StreamId, number>;
  /** Of streams that it has none of: the local ones, corrected by what became of our last records. */
  readonly unknown: ReadonlyMap<StreamId, number>;
}

/**
 * Where the streams stand that the far side has no position of: the local ones, which may lag a
 * little behind what was confirmed, corrected by the journal and, if that leaves the outcome of
 * the last transaction open, by the records themselves.
 */
async function settleDoubt(
  parts: Omit<DeliveryParts, 'client'>,
  cluster: Cluster,
  signal: AbortSignal,
  forgotten: ReadonlyMap<StreamId, MirrorStream>,
): Promise<ReadonlyMap<StreamId, number>> {
  const { options, links, journal } = parts;
  const local = new Map<StreamId, number>();
  for (const { stream, position } of forgotten.values()) {
    if (position !== undefined) local.set(stream, position);
  }
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

async function checkVersions(
  parts: Omit<DeliveryParts, 'client'>,
  cluster: Cluster,
): Promise<void> {
  const versions = await parts.links.versions(cluster.seed);
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
