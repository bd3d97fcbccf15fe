import { type Coverage, type Coverages, covers, topOf, union, upTo } from '../../coverage.ts';
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

function confirmedOf(entry: JournalEntry, stream: StreamId, local: Coverage): Coverage {
  return union(local, entry.confirmed.get(stream) ?? upTo(0));
}

/**
 * Whether the journal leaves open if records of one of these streams (with its local position) arrived.
 * A position that only passed over what had expired, was lost or skipped is no doubt: passing over it
 * once more harms nothing.
 */
export function isInDoubt(entry: JournalEntry, positions: Coverages): boolean {
  return entry.ranges.some(({ stream }) => {
    const local = positions.get(stream);
    const after = entry.after.get(stream) ?? upTo(0);
    return local !== undefined && !covers(confirmedOf(entry, stream, local), after);
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
  { stream, topic, partition, had = upTo(0) }: MirrorStream,
  far: Coverage,
  entry: JournalEntry | undefined,
): void {
  const confirmed = union(had, entry?.confirmed.get(stream) ?? upTo(0));
  const own = union(confirmed, entry?.after.get(stream) ?? upTo(0));
  if (covers(own, far)) return;
  throw new GatelogError(
    'UPSTREAM_MISMATCH',
    `Kafka has ${topic}/${partition} of gateway '${gateway}' up to ${topOf(far)}, but this data folder has sent it up to ${topOf(own)} only: a copy of the folder sent the rest, or the folder is an older copy. Going on would pass over what this log holds from ${own.next} on. Give this gateway a name of its own, which sends it, or seek the mirror to where it shall go on`,
  );
}

/**
 * Our books were lost with the state database, and of the streams `open` the far side has no position of
 * ours: whether it has everything of them or nothing, nobody knows. Kafka lets go of each stream's
 * position on its own, a week after it last moved, so it may well know those of busy topics. Throws
 * UPSTREAM_MISMATCH unless a person said that it shall all be sent again, or of each where it shall go
 * on. Each stream for itself: a session may leave some out (a policy, a pause, a refused topic), and
 * what it wrote into the journal since says nothing of those.
 */
export function requireSomeBooks(
  isLost: (stream: StreamId) => boolean,
  open: readonly MirrorStream[],
  whenUnknown: 'stop' | 'repeat',
): void {
  if (whenUnknown === 'repeat') return;
  const lost = open.filter(({ stream }) => isLost(stream));
  if (lost.length === 0) return;
  const topics = [...new Set(lost.map(({ topic }) => topic))].join(', ');
  throw new GatelogError(
    'UPSTREAM_MISMATCH',
    `the positions of this mirror were lost with a damaged state database, and Kafka has none of ${topics} either (it lets go of a position a week after it last moved), so what arrived of them is not known. Set 'unknownOutcome: repeat' to send everything that the log holds, or seek the mirror to where each of them shall go on`,
  );
}

/**
 * Records were exported beyond our positions, and the far side has no position of the stream: whether
 * they were imported, nobody knows. Throws UPSTREAM_MISMATCH unless a person said that all shall be
 * sent again, or of each stream where it shall go on.
 */
export function requireNoneExported(
  exported: Coverages,
  open: readonly MirrorStream[],
  whenUnknown: 'stop' | 'repeat',
): void {
  if (whenUnknown === 'repeat') return;
  const doubtful = open.filter(
    ({ stream, had = upTo(0) }) => !covers(had, exported.get(stream) ?? upTo(0)),
  );
  if (doubtful.length === 0) return;
  const places = doubtful.map(({ topic, partition }) => `${topic}/${partition}`);
  throw new GatelogError(
    'UPSTREAM_MISMATCH',
    `records of ${places.slice(0, 8).join(', ')}${places.length > 8 ? ' and others' : ''} were exported to files, and Kafka has no position of ours that says whether they were imported: import them first, then resume this mirror; or, if they never will be, seek it to where it shall go on`,
  );
}

/**
 * Where the streams stand that the far side forgot. Everything before the last transaction was
 * confirmed before it began and stands in the local positions or the journal, so an aborted one
 * changes nothing.
 */
export function positionsAfterDoubt(
  outcome: Outcome,
  entry: JournalEntry,
  local: Coverages,
  whenUnknown: 'stop' | 'repeat',
): Map<StreamId, Coverage> {
  if (outcome === 'unknown' && whenUnknown === 'stop') {
    throw new GatelogError(
      'UPSTREAM_MISMATCH',
      `Kafka has forgotten this gateway's positions, and the records of its last transaction are gone or may not be read, so whether they arrived is not known. Grant READ on the topics to let the mirror look for them, or set 'unknownOutcome: repeat' to send them again, or seek the mirror to where it shall go on`,
    );
  }
  const positions = new Map<StreamId, Coverage>();
  for (const [stream, had] of local) {
    const confirmed = confirmedOf(entry, stream, had);
    const after = outcome === 'committed' ? entry.after.get(stream) : undefined;
    positions.set(stream, after === undefined ? confirmed : union(confirmed, after));
  }
  return positions;
}
