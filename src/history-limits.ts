/** What the status page's charts remember: 10 figures of 8 bytes for each step, 52 KB in all. */
export const HISTORY_LIMITS = {
  hour: { stepMs: 10_000, slots: 360 },
  day: { stepMs: 300_000, slots: 288 },
} as const;
