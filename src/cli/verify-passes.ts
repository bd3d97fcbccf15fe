import { LIMITS } from '../limits.ts';
import type { Auditor, UnreadRange } from '../mirror/audit.ts';
import type { Clock } from '../time.ts';

/** Where records arrived, read in passes that feed an auditor. */
export interface Centre {
  /** From where the last pass ended (at first: the beginning) to the ends that stand as it begins. */
  pass(): Promise<void>;
  /** What the last pass could not have. */
  readonly unread: readonly UnreadRange[];
  /** Nothing can have come since the last pass. */
  readonly isStill: boolean;
}

/**
 * Feeds everything, in as many passes as it takes to tell a gap from a record that was under way.
 * No two partitions are read at one moment: beside a gateway that is sending, a later record may be
 * read and an earlier one not. The earlier one was sent first, so it is there when we look again;
 * what comes beyond the first pass is not judged for gaps.
 */
export async function readCentre(
  centre: Centre,
  auditor: Auditor,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  await centre.pass();
  auditor.judgeUpToHere();
  const hasAll = centre.unread.length === 0;
  if (hasAll) await lookAgain(centre, auditor, clock, signal);
  // What a later pass could not have matters only where it may explain a gap.
  if (hasAll && !auditor.hasDoubtfulGap) return;
  for (const range of centre.unread) auditor.leaveUnread(range);
}

async function lookAgain(
  centre: Centre,
  auditor: Auditor,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const endMs = clock.monotonicMs() + LIMITS.auditSettleMs;
  while (auditor.hasDoubtfulGap && !centre.isStill && !signal.aborted) {
    await centre.pass();
    if (centre.unread.length > 0 || clock.monotonicMs() > endMs) return;
    if (auditor.hasDoubtfulGap) await clock.sleep(LIMITS.auditSettleEveryMs, signal);
  }
}
