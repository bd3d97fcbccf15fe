import { MIRROR_LIMITS } from '../mirror-limits.ts';
import type { HoldStatus } from './policy/link-status.ts';
import type { MirrorState, MirrorStatus, TopicStatus } from './status.ts';

/** What a mirror came to, as it noted it: how it goes on from there shows only when it is asked. */
export type Entered = Pick<MirrorStatus, 'state' | 'sinceMs' | 'forMs' | 'reason' | 'nextTryMs'>;

export interface Answers {
  /** For how long the far side has kept silent that should have answered; 0: it has not. */
  readonly silentMs: number;
  /** For how long the oldest batch that was sent has been without a receipt; 0: there is none. */
  readonly underWayMs: number;
}

/** What waits of a topic that takes part. */
export interface TopicWaits {
  readonly lagRecords: number;
  /** What keeps it from going. */
  readonly hold: HoldStatus | undefined;
}

const FLOWING: ReadonlySet<MirrorState> = new Set<MirrorState>(['live', 'catching up']);

/** Records leave, and receipts come. */
export function isFlowing(state: MirrorState, { silentMs }: Answers): boolean {
  return silentMs === 0 && FLOWING.has(state);
}

/** Everything that was read is at the far side, or on its way for no time to speak of. */
export function isCurrent(state: MirrorState, answers: Answers): boolean {
  const isLate = answers.underWayMs >= MIRROR_LIMITS.liveWithinMs;
  return state === 'live' && isFlowing(state, answers) && !isLate;
}

/** `live` only where nothing waits: a reader at the end of what it may read knows nothing of the rest. */
export function presentState(
  entered: Entered,
  answers: Answers,
  topics: readonly TopicWaits[],
  nowMs: number,
): Entered {
  const { silentMs, underWayMs } = answers;
  if (silentMs > 0) return { ...entered, state: 'stalled', ...since(silentMs, nowMs) };
  if (entered.state !== 'live') return entered;
  const waiting = topics.filter(({ lagRecords }) => lagRecords > 0);
  const isUnderWay = waiting.some(({ hold }) => hold === undefined);
  if (isUnderWay && !isCurrent('live', answers)) {
    return { ...entered, state: 'catching up', ...since(underWayMs, nowMs) };
  }
  const hold = waiting.find((topic) => topic.hold !== undefined)?.hold;
  return hold === undefined ? entered : { ...entered, state: hold.cause, nextTryMs: hold.untilMs };
}

function since(forMs: number, nowMs: number): Pick<Entered, 'sinceMs' | 'forMs'> {
  return { sinceMs: Math.round(nowMs - forMs), forMs: Math.round(forMs) };
}

/** How a topic goes that takes part: neither a person nor a failure has taken it out. */
export function goingState(
  { lagRecords, hold }: TopicWaits,
  isSampled: boolean,
  isMirrorCurrent: boolean,
): TopicStatus['state'] {
  if (hold !== undefined) return isSampled && hold.sparesSamples === true ? 'sampled' : 'held';
  if (isSampled) return 'sampled';
  return lagRecords > 0 && !isMirrorCurrent ? 'behind' : 'mirrored';
}
