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
  /** Segments that could not be read or are missing. */
  readonly lost: readonly number[];
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

function passRemembered({ state, remembered, lost, logger }: LostEndInput): boolean {
  const known = remembered?.checkpoint.commit ?? 0;
  const behind = remembered !== undefined && known > state.lastCommit;
  const lostNewest = lost.filter((first) => first > Math.max(known, state.lastCommit));
  // Nothing came after a clean close; a segment lost beyond it was made ahead of need.
  const knowsAll = remembered?.clean === true;
  if (!behind && (lostNewest.length === 0 || knowsAll)) return false;
  logger.error(
    {
      event: 'store.end-lost',
      lastCommit: state.lastCommit,
      known,
      segments: lostNewest,
      exact: knowsAll,
    },
    'the log ends before what was in it: synced records are gone from the disk; every partition ' +
      'goes on after the offsets they may have held',
  );
  if (behind) state.raiseTo(remembered.checkpoint);
  if (!knowsAll) state.skipUnknown();
  return true;
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
