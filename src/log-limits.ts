/** How many lines the log takes of things that repeat themselves. */
export const LOG_LIMITS = {
  windowMs: 60_000,
  /** Of lines that say the same, in one window; those beyond are counted, and told in one line at its end. */
  sameLines: 10,
  /** Of lines of one event, whatever they say. */
  eventLines: 600,
  /** Different lines that are told apart in one window; beyond it, by their events only. */
  keys: 512,
} as const;
