import { assert } from './assert.ts';

/** The bounds of what a mirror's link may cost, as limits.ts has those of everything else. Units stand last in the names. */
export const LINK_LIMITS = {
  // Rate.
  /** Slower ones do not carry a session's beginning within its time-outs. */
  rateBitsMin: 16_000, // 16 kbit/s
  rateBitsMax: 100_000_000_000, // 100 Gbit/s
  /** What may leave at once after a rest: this long at the rate, and at least two segments. */
  rateBurstMs: 100,
  rateBurstBytesMin: 3000,
  /** One piece of a paced write: this long at the rate, within these bounds. */
  ratePieceMs: 25,
  ratePieceBytesMin: 1400,
  ratePieceBytesMax: 65_536, // 64 KiB
  /** With a rate set, a batch is to take no longer than this on the wire. */
  rateBatchMs: 2000,
  /** The present rate is that of the last ticks. */
  rateShownTicks: 10,

  // Accounting.
  /** How often the bytes that went by are booked, and the policies looked at. */
  linkTickMs: 1000,
  /** How often the kernel is asked for its counts of the open connections, while bytes flow. */
  kernelAskMs: 10_000,
  kernelAskTimeoutMs: 2000,
  /** What is read of a program's answer. */
  probeOutputBytes: 262_144, // 256 KiB
  /** Of an Ethernet path, where the kernel does not say: payload and headers of one segment. */
  segmentBytes: 1448,
  segmentHeadBytes: 52,

  // Budgets.
  budgetBytesMin: 100_000, // 100 kB
  budgetsMax: 8,
  /** Booked ahead of use, so that a crash never counts too little: this share of a budget. */
  budgetAheadShare: 0.001,
  budgetAheadBytesMin: 16_384, // 16 KiB
  budgetAheadBytesMax: 1_048_576, // 1 MiB
  /** Of what is left, the most that one batch is to take: what it costs is known only afterwards. */
  budgetBatchShare: 0.8,
  /**
   * What costs more than this share of a whole budget is too large for it: what else goes in a period would
   * keep it back in every one.
   */
  budgetLargeShare: 0.5,
  /** What a batch is taken to cost before any was sent: for itself, and for each byte of it. */
  batchCostBytes: 2000,
  batchCostRatio: 1.1,
  /** Nothing is so well compressed that its acknowledgements cost nothing. */
  batchCostRatioMin: 0.02,
  /** The most that a batch may cost for itself; and below this, as read, it is small. */
  batchCostSmallBytes: 16_384, // 16 KiB
  /** A batch of so many bytes tells as much of what every one costs as of what its bytes do. */
  batchCostEvenBytes: 4096, // 4 KiB
  /** How much of what one stretch tells is believed; and the longest stretch. */
  batchCostShare: 0.25,
  batchCostBatches: 16,
  /** Periods whose use is remembered, should the clock go back to one. */
  budgetPeriods: 4,
  /** The least that one batch is cut down to, as read from the log. */
  policyBatchBytesMin: 4096, // 4 KiB
  /** What has expired is passed over up to so many bytes before the far side is told. */
  expiredBytes: 16_777_216, // 16 MiB

  // Windows.
  windowsMax: 32,
  windowMsMin: 60_000,
  windowMsMax: 604_800_000, // 7 d

  // Metered links.
  /** How often the way to the far side is looked up, and how often NetworkManager is asked. */
  meteredLookMs: 5000,
  meteredAskMs: 60_000,
  /** A link counts as free again only when it was for this long. */
  meteredReleaseMs: 10_000,
  meteredPatterns: 32,
} as const;

assert(
  LINK_LIMITS.budgetAheadBytesMin <= LINK_LIMITS.budgetBytesMin,
  'what is booked ahead fits the smallest budget',
);
assert(
  LINK_LIMITS.ratePieceBytesMin <= LINK_LIMITS.rateBurstBytesMin,
  'a piece of the smallest size may leave at once',
);
