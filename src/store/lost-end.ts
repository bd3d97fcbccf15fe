import { LIMITS } from '../limits.ts';
import type { Logger } from '../telemetry.ts';
import type { RememberedEnd } from './catalog.ts';
import type { LogState } from './log-state.ts';
import type { Positions } from './positions.ts';

/**
 * What the log itself does not know of its end: the state database remembers more than its segments
 * hold, or a reader was further. In each case the disk took back what it had confirmed, and every
 * partition goes on after the offsets that may have been given. True when anything moved.
 */
export interface LostEndInput {
  readonly state: LogState;
  readonly remembered: RememberedEnd | undefined;
  /** The last commit that is noted to have been synced. */
  readonly synced: number | undefined;
  /** Segments that could not be read or are missing. */
  readonly lost: readonly number[];
  /** The last commit that stands in a segment; the state goes on from what is remembered. */
  readonly lastCommit: number;
  /** A segment that was made ahead of need begins with it, and is empty; 0: there was none. */
  readonly prepared: number;
  /** The newest segment is due to be followed by another. */
  readonly isFull: boolean;
  readonly positions: Positions;
  readonly logger: Logger;
}

export function passLostEnd(input: LostEndInput): boolean {
  const moved = passRemembered(input);
  const raised = raiseToPositions(input);
  if (!moved && !raised) return false;
  const { state } = input;
  state.heads.forgetPending();
  state.allDurable();
  return true;
}

function passRemembered(input: LostEndInput): boolean {
  const { state, remembered, synced = 0, lost, lastCommit, prepared, logger } = input;
  const known = remembered?.checkpoint.commit ?? 0;
  // Before a segment is made ahead of its first commit, all up to there is synced.
  const proven = prepared - LIMITS.segmentAheadCommits - 1;
  const behind = Math.max(known, synced, proven) > lastCommit || lacksNext(input);
  const lostNewest = lost.filter((first) => first > Math.max(known, synced, lastCommit));
  // Nothing came after a clean close; a segment lost beyond it was made ahead of need. Of any other
  // note nobody knows that it is the last: those after it may have failed while the log went on.
  const knowsAll = remembered?.clean === true && proven <= known;
  if (!behind && (lostNewest.length === 0 || knowsAll)) return false;
  logger.error(
    {
      event: 'store.end-lost',
      lastCommit,
      known,
      synced,
      prepared,
      segments: lostNewest,
      exact: knowsAll,
    },
    'the log ends before what was in it: synced records are gone from the disk; every partition ' +
      'goes on after the offsets they may have held',
  );
  const skipped = remembered === undefined ? heldAtMost(input) : LIMITS.reservedRecords;
  state.lastCommit = Math.max(state.lastCommit, synced, proven);
  if (!knowsAll) state.skipUnknown(skipped);
  return true;
}

/**
 * The state database was lost, and with it what it knew of the newest segment. One that is full has
 * a next one standing ready; if none does, that one was written to and is gone.
 */
function lacksNext({ remembered, lastCommit, prepared, isFull }: LostEndInput): boolean {
  return remembered === undefined && isFull && prepared <= lastCommit;
}

/** Records of segments that nobody remembers: by the commits between, if it is known how many. */
function heldAtMost({ lastCommit, prepared }: LostEndInput): number {
  const commits = prepared - 1 - lastCommit;
  if (commits <= 0) return LIMITS.unknownRecords;
  return Math.max(LIMITS.reservedRecords, commits * LIMITS.commitRecords);
}

/**
 * A reader had more than the log holds. Offsets that were seen outside are never given out again.
 */
function raiseToPositions({ state, positions, logger }: LostEndInput): boolean {
  let raised = false;
  for (const [stream, position] of positions.highest()) {
    state.heads.ensure(stream + 1);
    const end = state.heads.committed[stream] ?? 0;
    if (position <= end) continue;
    logger.error(
      { stream, endOffset: end, position },
      'the log ends before a position that a reader reached: synced records are gone from the ' +
        'disk; the partition goes on after that position',
    );
    state.heads.committed[stream] = position;
    raised = true;
  }
  return raised;
}
