import { assert } from './assert.ts';

/** Bounds of sampling, as limits.ts has those of everything else. Units stand last in the names. */
export const SAMPLE_LIMITS = {
  /** Of the windows of which the last record of each key is kept. */
  windowMsMin: 1000,
  windowMsMax: 86_400_000, // 1 d
  /**
   * A window that holds more records of a stream, or of which more has to be remembered, ends early: more
   * is kept then, never less.
   */
  windowRecords: 1_048_576,
  heldBytes: 8_388_608, // 8 MiB
  /** What is read of the log at once. */
  readRecords: 8192,
  readBytes: 1_048_576, // 1 MiB
  /**
   * What a mirror remembers of records that went ahead of those left for later: 4 bytes for each, so four
   * million. At this bound nothing more is sampled, and everything waits.
   */
  bookBytes: 16_777_216, // 16 MiB
  /** For each stretch beside its records. */
  bookStretchBytes: 64,
  /** Stretches that are over are deleted so many at a time: each time is a synced write. */
  bookStaleStretches: 64,
} as const;

assert(
  SAMPLE_LIMITS.readBytes <= SAMPLE_LIMITS.heldBytes,
  'one read alone does not end a window early',
);
