import { GatelogError, messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { Logger } from '../telemetry.ts';
import { Batch } from './batch.ts';
import { requireBelonging } from './belonging.ts';
import type { Catalog } from './catalog.ts';
import type { CommitLog } from './commit-log.ts';
import type { Database } from './database.ts';
import type { LogIdentity } from './opened-log.ts';
import type { Hole, LogState } from './log-state.ts';
import type { Lookup } from './lookup.ts';
import { passLostEnd } from './lost-end.ts';
import type { Positions } from './positions.ts';
import { readCheckpoint, readTail } from './recovery.ts';
import type { Segments } from './segments.ts';
import { forgetStarts, type StoredIdentity, type StreamStart } from './state.ts';
import type { SyncMark } from './sync-mark.ts';
import { joined } from './told-end.ts';

/** Segments that must all be of another log than the state database before that is the odd one. */
const WITNESSES = 2;
/** Segments looked at for it. */
const LOOKED_AT = 3;

export interface Belief {
  /** The log that the folder holds; undefined: there is none, or nothing tells. */
  readonly incarnation: string | undefined;
  /**
   * The state database remembers one log, and the newest segments are all of another: then it does
   * not belong here. A single odd segment is the segment's own trouble.
   */
  readonly stateIsOdd: boolean;
}

/** Opens one segment, if that agrees with the state database. */
export async function whichLog(segments: Segments, known: string | undefined): Promise<Belief> {
  const votes = new Map<string, number>();
  let agrees = false;
  for (const first of segments.firsts.toReversed().slice(0, LOOKED_AT)) {
    const found = await incarnationIn(segments, first);
    if (found !== undefined) votes.set(found, (votes.get(found) ?? 0) + 1);
    agrees = found !== undefined && found === known;
    if (agrees) break;
  }
  // They were opened without knowing what to expect of them.
  if (!agrees) await segments.closeAll();
  const [most] = [...votes].toSorted((left, right) => right[1] - left[1]);
  if (known === undefined) return { incarnation: most?.[0], stateIsOdd: false };
  const stateIsOdd = !votes.has(known) && (most?.[1] ?? 0) >= WITNESSES;
  return { incarnation: stateIsOdd ? most?.[0] : known, stateIsOdd };
}

/** undefined: it can't be read, or is empty. */
async function incarnationIn(segments: Segments, first: number): Promise<string | undefined> {
  try {
    return await segments.using(first, async (database) => {
      const beginning = await readCheckpoint(database, first - 1);
      return (beginning ?? (await readTail(database)).checkpoint)?.incarnation;
    });
  } catch {
    return undefined; // Opening the log finds out why.
  }
}

/** Whoever opens a segment from now on finds out whether it belongs there. */
export function guardSegments(segments: Segments, incarnation: string | undefined): void {
  segments.check = (first, database) =>
    requireBelonging(first, database, { incarnation, before: segments.after(first) });
}

/**
 * A folder of another gateway, as after copying a disk or mounting the wrong one. It may still be given a name
 * where it has the host's, as when a package starts the agent before anybody configured it, and no mirror has
 * made the name known. Throws STORE_FOREIGN.
 */
export function requireOwnFolder(
  folder: string,
  known: StoredIdentity | undefined,
  gateway: string | undefined,
  isNameKnown: boolean,
): void {
  const owner = known?.gateway;
  if (owner === undefined || gateway === undefined || owner === gateway) return;
  if (known?.gatewayAssumed === true && !isNameKnown) return;
  throw new GatelogError(
    'STORE_FOREIGN',
    `the data folder ${folder} belongs to gateway '${owner}' (incarnation ` +
      `${known?.incarnation}), and this is gateway '${gateway}': give this one a folder of its own ` +
      `with --data; if the gateway was renamed on purpose, start it once with --adopt`,
  );
}

export interface FoundLog {
  readonly state: LogState;
  readonly log: CommitLog;
  readonly segments: Segments;
  readonly catalog: Catalog;
  readonly positions: Positions;
  /** The last commit that is noted to have been synced, of which log it may be. */
  readonly mark: SyncMark;
  readonly starts: ReadonlyMap<number, StreamStart>;
  readonly lookup: Lookup;
  readonly logger: Logger;
}

export interface Recovered {
  readonly identity: LogIdentity | undefined;
  /** Heads are beyond what the log says. */
  readonly isMoved: boolean;
  /** What was left out at the end, for the loss ledger. */
  readonly holes: readonly Hole[];
  /** Lost ones that others stand after. */
  readonly lostBetween: readonly number[];
  /** Names in `quarantine/` of those that stood at the end. */
  readonly asideAtEnd: readonly string[];
}

/**
 * Finds where the log goes on, whatever is damaged or missing. For who may write. `isStateSound`: false
 * where the state database may have stepped back, and know segments that were removed on purpose.
 */
export async function recoverLog(found: FoundLog, isStateSound: boolean): Promise<Recovered> {
  const { state, log, segments, catalog, positions, mark, starts, logger } = found;
  const absent = isStateSound ? [...catalog.known].filter((first) => !segments.has(first)) : [];
  const { end } = catalog;
  const { identity, unreadable, holes, ...told } = await log.open(end?.checkpoint);
  if (identity === undefined) {
    return { identity, isMoved: false, holes: [], lostBetween: [], asideAtEnd: [] };
  }
  applyStarts(state, starts);
  if (!isStateSound && unreadable.length === 0) await startWithOldest(found);
  // Of a log of which nothing is left, all is lost that retention had left.
  const isWhole = log.active === 0;
  if (isWhole && end !== undefined && end.checkpoint.commit > 0) {
    logger.error(
      { event: 'store.log-lost', commit: end.checkpoint.commit, exact: end.clean },
      'nothing of the log can be read: it goes on after the offsets that it gave',
    );
  }
  const missing = joined(told.missing, state.heads.start);
  const { lastCommit } = told;
  const isBehind = lastCommit < (end?.checkpoint.commit ?? 0);
  if (missing.length > 0 && !isBehind) {
    logger.error(
      {
        event: 'store.tail-damaged',
        places: missing.length,
        missing: missing.slice(0, LIMITS.placesLogged),
      },
      'commits at the end of the log are missing or damaged; readers get what they held as gaps',
    );
    log.checkpointSoon(); // What was looked for once is not looked for at every start.
  }
  const ends = state.heads.committed.slice();
  const lost = [...absent, ...unreadable.map(({ first }) => first)];
  const synced = mark.synced(identity.incarnation);
  const { prepared } = segments;
  const { isFull } = log;
  const input = { state, remembered: end, synced, lost, lastCommit, prepared, isFull };
  const isMoved = passLostEnd({ ...input, positions, logger });
  const newest = segments.newest ?? 0;
  const isAtEnd = (first: number): boolean => first > newest;
  return {
    identity,
    isMoved,
    holes: joined([...missing, ...holes, ...movedFrom(ends, state)], state.heads.start),
    lostBetween: lost.filter((first) => !isAtEnd(first)),
    asideAtEnd: unreadable.flatMap(({ first, aside }) =>
      aside === undefined || !isAtEnd(first) ? [] : [aside],
    ),
  };
}

/**
 * When the log was started: it says itself how far its heads were moved. Until it does every start would
 * move them once more. Where it can't be written the next commit says it.
 */
export async function writeMovedEnd(log: CommitLog, logger: Logger): Promise<void> {
  log.checkpointSoon();
  try {
    await log.write(new Batch(), true);
  } catch (error) {
    logger.warn({ error: messageOf(error) }, 'the new end of the log could not be written');
    await log.recover();
  }
}

/** Starts only move forward: what the log's checkpoints told of them before may be newer. */
export function applyStarts(state: LogState, starts: ReadonlyMap<number, StreamStart>): void {
  const { heads } = state;
  for (const [stream, { offset, storedBefore }] of starts) {
    heads.ensure(stream + 1);
    if (offset <= (heads.start[stream] ?? 0)) continue;
    heads.start[stream] = offset;
    heads.storedBefore[stream] = storedBefore;
  }
}

/** The state database may have lost starts: what stood before the oldest segment was removed. */
export async function startWithOldest({
  state,
  segments,
  lookup,
}: Pick<FoundLog, 'state' | 'segments' | 'lookup'>): Promise<void> {
  const { oldest } = segments;
  const { next = [], stored = [] } = (oldest && (await lookup.beginning(oldest))) || {};
  const began = next.map((offset, stream) => ({ offset, storedBefore: stored[stream] ?? 0 }));
  applyStarts(state, new Map(began.entries()));
}

/** Where streams begin now that are not known to begin there. */
export function newStarts(
  { heads, registry }: LogState,
  starts: ReadonlyMap<number, StreamStart>,
): Map<number, StreamStart> {
  const found = new Map<number, StreamStart>();
  for (let stream = 0; stream < registry.streams; stream++) {
    const offset = heads.start[stream] ?? 0;
    if (offset <= (starts.get(stream)?.offset ?? 0)) continue;
    found.set(stream, { offset, storedBefore: heads.storedBefore[stream] ?? 0 });
  }
  return found;
}

function movedFrom(ends: Float64Array, state: LogState): Hole[] {
  const holes: Hole[] = [];
  for (let stream = 0; stream < state.registry.streams; stream++) {
    const fromOffset = ends[stream] ?? 0;
    const toOffset = state.heads.committed[stream] ?? 0;
    if (toOffset > fromOffset) holes.push({ stream, fromOffset, toOffset });
  }
  return holes;
}

/** Offsets begin anew, so what was said of the old ones is put away with the old incarnation. */
export async function forgetLostLog(
  database: Database,
  positions: Positions,
  starts: ReadonlyMap<number, StreamStart>,
  logger: Logger,
): Promise<void> {
  logger.error(
    {},
    'the data folder knows a log and holds none: the log begins anew, as a new incarnation',
  );
  await positions.forgetAll();
  await forgetStarts(database, starts.keys());
}
