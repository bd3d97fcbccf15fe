import { GatelogError } from '../../errors.ts';
import type { StreamId } from '../../record.ts';
import type { MirrorStream } from '../upstream.ts';
import type { Cluster } from './cluster.ts';
import { CODE } from './codes.ts';
import { findOutcome, positionsByOutcome } from './doubt.ts';
import { type DeliveryParts, ExactlyOnceDelivery } from './exactly-once.ts';
import { inDoubt } from './journal.ts';
import { KAFKA_DEFAULTS } from './options.ts';
import { ensurePositionsTopic } from './positions-topic.ts';
import { refusal } from './refusal.ts';
import { acceptPosition } from './resume.ts';
import { TransactionClient } from './transaction.ts';

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
  await journal.markInitialising();
  let code: number;
  try {
    code = await client.initialise();
  } catch (error) {
    judge.noteUnanswered();
    throw error;
  }
  if (code !== CODE.none) throw refusal(refusals, 'InitProducerId', code);
  await journal.clearInitialising();
  const { known, unknown } = await readPositions(parts, client, cluster, signal);
  const positions = new Map([...known, ...unknown, ...seek]);
  const delivery = new ExactlyOnceDelivery({ ...parts, client });
  // Unknown ones too, before any record: from now on "no position" means that it was forgotten.
  const changed = new Map([...unknown, ...seek]);
  if (changed.size > 0) await delivery.commitPositions(changed);
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
): Promise<FoundPositions> {
  const { options, refusals, streams } = parts;
  const known = new Map<StreamId, number>();
  const unknown = new Map<StreamId, number>();
  if (streams.size === 0) return { known, unknown };
  const answer = await client.positions([...streams.keys()]);
  if (answer.code !== CODE.none) throw refusal(refusals, 'OffsetFetch', answer.code);
  const forgotten = new Map<StreamId, MirrorStream>();
  for (const [stream, of] of streams) {
    const remote = answer.positions.get(stream) ?? { offset: -1, metadata: null };
    const position = acceptPosition(options, of, remote);
    if (position !== undefined) known.set(stream, position);
    else forgotten.set(stream, of);
  }
  const settled = await settleDoubt(parts, cluster, signal, forgotten);
  for (const [stream, { position: local }] of forgotten) {
    const position = settled.get(stream) ?? local;
    if (position !== undefined) unknown.set(stream, position);
  }
  return { known, unknown };
}

interface FoundPositions {
  /** The far side's own. */
  readonly known: ReadonlyMap<StreamId, number>;
  /** Of streams that it has none of: the local ones, corrected by what became of our last records. */
  readonly unknown: ReadonlyMap<StreamId, number>;
}

/** Only for streams that the far side has no position of although a transaction was in doubt. */
async function settleDoubt(
  parts: Omit<DeliveryParts, 'client'>,
  cluster: Cluster,
  signal: AbortSignal,
  forgotten: ReadonlyMap<StreamId, MirrorStream>,
): Promise<ReadonlyMap<StreamId, number>> {
  const { options, links, journal } = parts;
  const local = new Map<StreamId, number>();
  for (const { stream, position } of forgotten.values()) local.set(stream, position ?? 0);
  const entry = inDoubt(await journal.read(), local);
  if (entry === undefined || entry.clusterId !== cluster.id) return new Map();
  const outcome = await findOutcome(links, cluster, options.clock, signal, entry);
  options.logger.warn({ outcome }, 'Kafka forgot our positions; asked the records themselves');
  const whenUnknown = options.unknownOutcome ?? 'stop';
  return positionsByOutcome(outcome, entry, new Set(forgotten.keys()), whenUnknown);
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
