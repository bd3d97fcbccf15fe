import { GatelogError } from '../errors.ts';
import type { Logger } from '../telemetry.ts';
import { requireBelonging } from './belonging.ts';
import type { Catalog } from './catalog.ts';
import type { CommitLog } from './commit-log.ts';
import type { LogIdentity } from './opened-log.ts';
import type { Hole, LogState } from './log-state.ts';
import { passLostEnd } from './lost-end.ts';
import type { Positions } from './positions.ts';
import { readCheckpoint, readTail } from './recovery.ts';
import type { Segments } from './segments.ts';
import type { StoredIdentity, StreamStart } from './state.ts';

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
 * A folder of another gateway, as after copying a disk or mounting the wrong one. Throws
 * STORE_FOREIGN.
 */
export function requireOwnFolder(
  folder: string,
  known: StoredIdentity | undefined,
  gateway: string | undefined,
): void {
  const owner = known?.gateway;
  if (owner === undefined || gateway === undefined || owner === gateway) return;
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
  readonly starts: ReadonlyMap<number, StreamStart>;
  readonly logger: Logger;
}

export interface Recovered {
  readonly identity: LogIdentity | undefined;
  /** What was left out at the end, for the loss ledger. */
  readonly holes: readonly Hole[];
  /** Lost ones that others stand after. */
  readonly lostBetween: readonly number[];
  /** Names in `quarantine/` of those that stood at the end. */
  readonly asideAtEnd: readonly string[];
}

/** Finds where the log goes on, whatever is damaged or missing. For who may write. */
export async function recoverLog(found: FoundLog): Promise<Recovered> {
  const { state, log, segments, catalog, positions, starts, logger } = found;
  const missing = [...catalog.known].filter((first) => !segments.has(first));
  const { end } = catalog;
  const { identity, unreadable, holes } = await log.open(end?.checkpoint);
  if (identity === undefined) {
    return { identity, holes: [], lostBetween: [], asideAtEnd: [] };
  }
  applyStarts(state, starts);
  // Of a log of which nothing is left, all is lost that retention had left.
  const isWhole = log.active === 0;
  if (isWhole && end !== undefined && end.checkpoint.commit > 0) {
    logger.error(
      { event: 'store.log-lost', commit: end.checkpoint.commit, exact: end.clean },
      'nothing of the log can be read: it goes on after the offsets that it gave',
    );
  }
  const ends = isWhole ? state.heads.start.slice() : state.heads.committed.slice();
  const lost = [...missing, ...unreadable.map(({ first }) => first)];
  // Heads moved beyond what the log says: the next commit says so.
  if (passLostEnd({ state, remembered: end, lost, positions, logger })) log.checkpointSoon();
  const newest = segments.newest ?? 0;
  const isAtEnd = (first: number): boolean => first > newest;
  return {
    identity,
    holes: [...holes, ...movedFrom(ends, state)],
    lostBetween: lost.filter((first) => !isAtEnd(first)),
    asideAtEnd: unreadable.flatMap(({ first, aside }) =>
      aside === undefined || !isAtEnd(first) ? [] : [aside],
    ),
  };
}

export function applyStarts(state: LogState, starts: ReadonlyMap<number, StreamStart>): void {
  for (const [stream, { offset, storedBefore }] of starts) {
    state.heads.ensure(stream + 1);
    state.heads.start[stream] = offset;
    state.heads.storedBefore[stream] = storedBefore;
  }
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
