import { type ErrorCode, GatelogError, systemCodeOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { Link } from './link.ts';
import type { Answers } from './present-state.ts';
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

/** The far side answered, and said no; everything else may be the way to it. */
const REFUSALS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'UPSTREAM_UNAUTHENTICATED',
  'UPSTREAM_UNAUTHORIZED',
  'UPSTREAM_TOPIC_MISSING',
  'UPSTREAM_REJECTED',
  'UPSTREAM_UNSUPPORTED',
]);

/** The state while a failed session's successor is waited for. */
export function waitingState({ error, local }: PumpFailure): 'refused' | 'backing off' {
  const isRefusal = !local && error instanceof GatelogError && REFUSALS.has(error.code);
  return isRefusal ? 'refused' : 'backing off';
}

/** What a session's far side has answered, and what not yet. */
export function answersOf(link: Link | undefined, nowMs: number): Answers {
  const underWayMs = nowMs - (link?.underWaySinceMs ?? nowMs);
  return { silentMs: silentForMs(link, nowMs), underWayMs };
}

/**
 * How long a far side has kept silent that should not have: it owes an answer, or has not answered
 * a probe. 0 while it may still count as connected.
 */
export function silentForMs(link: Link | undefined, nowMs: number): number {
  if (link === undefined) return 0;
  const { waitingSinceMs = nowMs, liveness } = link;
  const { answeredMs = nowMs, probedAfterMs = 0 } = liveness ?? {};
  if (nowMs - waitingSinceMs >= LIMITS.mirrorStalledMs) return nowMs - waitingSinceMs;
  const isOverdue = nowMs - answeredMs >= probedAfterMs + LIMITS.mirrorStalledMs;
  return isOverdue ? nowMs - answeredMs : 0;
}

/** For how long the far side had not answered when its session ended: what it owed, or a probe. */
export function unansweredForMs(link: Link, nowMs: number): number {
  const { waitingSinceMs = nowMs, liveness } = link;
  const { answeredMs = nowMs, probedAfterMs = 0 } = liveness ?? {};
  const probed = nowMs - answeredMs >= probedAfterMs ? nowMs - answeredMs : 0;
  return Math.max(nowMs - waitingSinceMs, probed);
}
