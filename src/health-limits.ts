/** Bounds of what a gateway tells its fleet of itself. */
export const HEALTH_LIMITS = {
  intervalMsMin: 5000,
  intervalMsMax: 86_400_000, // 1 d
  /** The first record comes so soon after a start, however long the interval is. */
  firstMs: 2000,
  /** The topic `_metrics`: how long and how much of it is kept. */
  retentionMs: 604_800_000, // 7 d
  retentionBytes: 67_108_864, // 64 MiB
  /** Given up before anything else when the disk is full. */
  priority: 0,
  /** A record is smaller; what is not is none. */
  recordBytes: 32_768,
  /** Of these the first ones are told. */
  mirrors: 16,
  interfaces: 16,
  /** Of a reason. */
  textChars: 200,
  /** A gateway that told nothing for so many of its intervals is late. */
  lateIntervals: 3,
  /** Gateways that a fleet table has at most. */
  gateways: 100_000,
} as const;
