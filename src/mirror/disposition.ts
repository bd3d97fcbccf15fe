import { systemCodeOf } from '../errors.ts';
import type { PumpFailure } from './pump.ts';
import type { Disposition, MirrorStream, Upstream } from './upstream.ts';

/** Codes of the store, the engine below it (LEVEL_IO_ERROR) and the system (EMFILE); not ERR_…. */
const PASSING = /^(?:STORE_\w+|LEVEL_\w+|E[A-Z0-9]+)$/u;

/**
 * What to do about the end of a session. The far side's failures are the upstream's to judge. Our
 * own: the store mends itself, and what the system refuses may be granted later (retry); anything else is a bug or a mismatch, which trying again
 * would only repeat (halt).
 */
export function dispositionOf(
  { error, local }: PumpFailure,
  upstream: Upstream,
  streams: readonly MirrorStream[],
): Disposition {
  if (local) {
    return { kind: PASSING.test(systemCodeOf(error) ?? '') ? 'retry' : 'halt' };
  }
  const disposition = upstream.dispositionOf(error);
  if (disposition.kind !== 'stop-topic') return disposition;
  // A topic that is not being mirrored can't be stopped again: wait instead of spinning.
  const known = streams.some(({ topic }) => topic === disposition.topic);
  return known ? disposition : { kind: 'retry' };
}
