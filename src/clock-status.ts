/**
 * Whether the wall clock is to be believed.
 * - `trusted`: a source said that it is synchronised, and it has not parted from the monotonic
 *   clock since.
 * - `unconfirmed`: nothing here can say, and nothing speaks against it.
 * - `suspect`: it lies before this software was made, before a time that an earlier boot knew for sure,
 *   or years after what earlier starts had, and nobody confirmed it, or it parted from the monotonic clock and
 *   nobody confirmed it since, or a source is there and says that it is not synchronised yet.
 */
export const TRUST_STATES = ['trusted', 'unconfirmed', 'suspect'] as const;
export type TrustState = (typeof TRUST_STATES)[number];

export interface ClockStatus {
  readonly state: TrustState;
  /** Why it is suspect; null when it is not. */
  readonly why: string | null;
  /** Who confirmed the clock last; null: nobody in this boot. */
  readonly source: string | null;
  /** For how long the state holds, by the monotonic clock. */
  readonly forMs: number;
  /** Best known time, ISO 8601: what the log believes, whatever the wall clock shows. */
  readonly time: string;
  /** How far the wall clock is ahead of it. */
  readonly aheadMs: number;
  readonly boot: string;
  /** Jumps noticed since start, and the last one: positive is forward. */
  readonly jumps: number;
  readonly lastJumpMs: number | null;
}
