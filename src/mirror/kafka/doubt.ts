import { GatelogError } from '../../errors.ts';
import type { StreamId } from '../../record.ts';
import type { Clock } from '../../time.ts';
import type { MirrorStream } from '../upstream.ts';
import { type Cluster, insist } from './cluster.ts';
import { CODE } from './codes.ts';
import { type Fetched, fetchCommitted, type Place } from './fetch.ts';
import type { JournalEntry, JournalWitness } from './journal.ts';
import type { Links } from './links.ts';

/**
 * The far side forgot our position while the outcome of our last transaction was open: its records
 * themselves tell. A transaction is whole or not at all, so one record decides.
 */
export type Outcome = 'committed' | 'aborted' | 'unknown';

const ENOUGH_BYTES = 65_536;

export async function findOutcome(
  links: Links,
  cluster: Cluster,
  clock: Clock,
  signal: AbortSignal,
  entry: JournalEntry,
): Promise<Outcome> {
  const topics = await cluster.topics([...new Set(entry.witnesses.map(({ topic }) => topic))]);
  for (const witness of entry.witnesses) {
    const { topic, partition, offset } = witness;
    const leader = topics.get(topic)?.leaders[partition];
    if (leader === undefined) continue;
    const place: Place = { leader, topic, partition };
    const fetched = await insist(
      clock,
      signal,
      () => fetchCommitted(links, place, offset, ENOUGH_BYTES),
      // Another producer's open transaction may hide ours for a while.
      ({ code, stableOffset }) => code === CODE.none && stableOffset <= offset,
    );
    const outcome = outcomeOf(fetched, witness);
    if (outcome !== 'unknown') return outcome;
  }
  return 'unknown';
}

/** Pure. */
export function outcomeOf(fetched: Fetched, witness: JournalWitness): Outcome {
  const { code, startOffset, stableOffset, records } = fetched;
  if (code !== CODE.none || startOffset > witness.offset || stableOffset <= witness.offset) {
    return 'unknown';
  }
  const there = records.find((record) => record.offset === witness.offset);
  return there?.identity === witness.identity ? 'committed' : 'aborted';
}

function confirmedAt(entry: JournalEntry, stream: StreamId, local: number): number {
  return Math.max(local, entry.confirmed.get(stream) ?? 0);
}

/** Whether the journal leaves open where one of these streams (with its local position) stands. */
export function isInDoubt(entry: JournalEntry, positions: ReadonlyMap<StreamId, number>): boolean {
  return entry.ranges.some(({ stream, to }) => {
    const local = positions.get(stream);
    return local !== undefined && confirmedAt(entry, stream, local) < to;
  });
}

/**
 * Every position that the far side has of us is in our own books before it can be there: confirmed
 * in the local position or the journal, or in doubt in the journal. One beyond them was moved by
 * somebody else who is us: a copy of this folder, or this one before it was set back to an older
 * copy. Going on would pass over records of this log that were never sent. Throws UPSTREAM_MISMATCH.
 */
export function requireOwnRecords(
  { gateway }: { readonly gateway: string },
  { stream, topic, partition, position: local = 0 }: MirrorStream,
  far: number,
  entry: JournalEntry,
): void {
  const inDoubt = entry.ranges.filter((range) => range.stream === stream).map(({ to }) => to);
  const own = Math.max(confirmedAt(entry, stream, local), ...inDoubt);
  if (far <= own) return;
  throw new GatelogError(
    'UPSTREAM_MISMATCH',
    `Kafka has ${topic}/${partition} of gateway '${gateway}' up to ${far}, but this data folder has sent it up to ${own} only: a copy of the folder sent the rest, or the folder is an older copy. Going on would pass over what this log holds from ${own} on. Give this gateway a name of its own, which sends it, or seek the mirror to where it shall go on`,
  );
}

/**
 * Our books were lost with the state database, and the far side has no position of ours at all:
 * whether it has everything or nothing, nobody knows. Throws UPSTREAM_MISMATCH unless a person said
 * that it shall all be sent again, or of each stream (`open`: of which not) where it shall go on.
 */
export function requireSomeBooks(
  ours: { readonly lost: boolean; readonly journal: JournalEntry | undefined },
  known: number,
  open: readonly MirrorStream[],
  whenUnknown: 'stop' | 'repeat',
): void {
  if (!ours.lost || ours.journal !== undefined || known > 0 || whenUnknown === 'repeat') return;
  if (open.length === 0) return;
  const topics = [...new Set(open.map(({ topic }) => topic))].join(', ');
  throw new GatelogError(
    'UPSTREAM_MISMATCH',
    `the positions of this mirror were lost with a damaged state database, and Kafka has none of this gateway either, so what arrived of ${topics} is not known. Set 'unknownOutcome: repeat' to send everything that the log holds, or seek the mirror to where each of them shall go on`,
  );
}

/**
 * Where the streams stand that the far side forgot. Everything before the last transaction was
 * confirmed before it began, so an aborted one leaves each of its streams at the range's start.
 */
export function positionsAfterDoubt(
  outcome: Outcome,
  entry: JournalEntry,
  local: ReadonlyMap<StreamId, number>,
  whenUnknown: 'stop' | 'repeat',
): Map<StreamId, number> {
  if (outcome === 'unknown' && whenUnknown === 'stop') {
    throw new GatelogError(
      'UPSTREAM_MISMATCH',
      `Kafka has forgotten this gateway's positions, and the records of its last transaction are gone or may not be read, so whether they arrived is not known. Grant READ on the topics to let the mirror look for them, or set 'unknownOutcome: repeat' to send them again, or seek the mirror to where it shall go on`,
    );
  }
  const positions = new Map<StreamId, number>();
  for (const [stream, at] of local) positions.set(stream, confirmedAt(entry, stream, at));
  for (const { stream, from, to } of entry.ranges) {
    const at = positions.get(stream);
    if (at === undefined) continue;
    positions.set(stream, Math.max(at, outcome === 'committed' ? to : from));
  }
  return positions;
}
