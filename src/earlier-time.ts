import { LIMITS } from './limits.ts';
import { isoTime } from './time.ts';

/** The newest time that a start before this one had. */
export interface EarlierTime {
  readonly ms: number;
  /** Somebody confirmed it. If not, it may have been wrong itself: only years after it are odd. */
  readonly isSure: boolean;
  /** This start came after it, at this monotonic time or before. */
  readonly beganMonoMs: number;
}

/** Whether a clock that began by `wallMs` may be right. */
export function mayFollow({ ms, isSure }: EarlierTime, wallMs: number, driftMs: number): boolean {
  const afterMs = wallMs - ms;
  return (!isSure || afterMs >= -driftMs) && afterMs <= LIMITS.clockGapMs;
}

/** Why one that began by `wallMs` may not. */
export function whyNotAfter({ ms, isSure }: EarlierTime, wallMs: number): string {
  const when = `this start was ${wallMs < ms ? 'before' : 'more than a year after'}`;
  if (isSure) return `${when} the last time that was known for sure, ${isoTime(ms)}`;
  return (
    `${when} the time of earlier ones, ${isoTime(ms)}, and nobody confirmed either (if this one is ` +
    'right: clock.trust)'
  );
}
