import { assert } from './assert.ts';

/** Bounds of the mirrors that `limits.ts` has no room for; the same rules hold. */
export const MIRROR_LIMITS = {
  // States.
  /** What is on its way for longer counts as a backlog: a mirror is `live` only where there is none. */
  liveWithinMs: 3000,
  /** Nothing of a topic was settled for so long: nobody knows when the rest will be. */
  etaWithinMs: 10_000,

  // Connecting.
  /** Attempts to connect of one mirror, all brokers together, that came to nothing. */
  connectAttemptsPerMinute: 60,
  /** A change of the network begins them anew, this often at most. */
  connectForgiveMs: 20_000,
  /** Of several addresses of one name, each but the last is waited for this long: longer than a satellite. */
  connectAddressMs: 3000,
  /** How often addresses, routes and resolvers are looked at for a change. */
  networkLookMs: 1000,
  /** Of each file that tells of routes and resolvers. */
  networkFileChars: 65_536,
  /** A session with Kafka in which nothing was answered for so long is asked something. */
  kafkaProbeMs: 30_000,
  /** None of its connections rests for longer: brokers close those idle for 10 min, and NAT forgets them. */
  kafkaProbeAllMs: 265_000,
  /** The same while the link is metered or has a budget. */
  kafkaCostlyProbeMs: 240_000,
  kafkaCostlyProbeAllMs: 540_000,
  /** How often it is looked whether central topics have more partitions: as metadata.max.age.ms has it. */
  kafkaPartitionsMs: 300_000,
  kafkaCostlyPartitionsMs: 3_600_000,
  /** Requests on one connection to a Kafka broker that are not answered yet. */
  kafkaInflights: 64,
  /** So often requestTimeout is doubled for a far side whose answers come later than that. */
  kafkaPatienceDoublings: 2,
  // A record that a thin link does not carry in time (large-patience.ts).
  /** So many times as long it is waited for the next time; no link is taken to be slower than that. */
  largeGrowth: 3,
  largeLeastBytesPerSecond: 1000,
  mqttAckMostMs: 900_000,
  /** Of what records took, so many times as much is kept ready for the next ones. */
  largeSpareFactor: 1.5,
  /** Transactions of one gateway that travel at once, each under a transactional id of its own. */
  kafkaLanes: 6,
  /** One more id that could not be made, other than for want of a right, is tried again after this. */
  kafkaLaneRetryMs: 30_000,
  /** A login that ends is renewed after this part of its time. */
  kafkaReloginShare: 0.8,

  // Lanes.
  /**
   * Ranges that may have been delivered ahead of a stream's position. They travel with every committed
   * offset: 8 are at most 272 bytes of the 4096 that Kafka takes (offset.metadata.max.bytes).
   */
  aheadRanges: 8,
  /** A stream that goes newest first, or live first, begins at its end when so many records wait there. */
  seamRecords: 100,
  /** The same while a session lasts: its new records came faster than they went. */
  reseamRecords: 20_000,
  /** Newest first: records of one stream that go up together, in their order. */
  newestChunkRecords: 4096,
  /** A lane that has something to send is passed over for at most so many batches of others. */
  lanePasses: 15,
  /** So many records that wait are a backlog. */
  backlogRecords: 1000,

  // To an MQTT broker.
  /** Bytes without an answer: to begin with, and whatever the link is like. */
  mqttWindowBytesFirst: 16_384, // 16 KiB
  mqttWindowBytesMin: 1024, // 1 KiB
  mqttWindowBytesMax: 4_194_304, // 4 MiB
  /** Packets that may be out however large they are, so that none waits for an answer alone. */
  mqttWindowPacketsMin: 2,
  /** What may wait in the link's queue, as the time that it waits; on long links half a round trip. */
  mqttQueueMs: 100,
  /** After the first doubling: growth for each byte answered. */
  mqttWindowGrowth: 0.125,
  /** The fastest answer is forgotten after one to two of these. */
  mqttFastestMs: 30_000,
  /**
   * Packets of QoS 2 without an answer over 3.1.1, where the far side can't say how many it takes:
   * Mosquitto ends the connection at more than 20 unless it is told otherwise.
   */
  mqttWindowPackets311: 20,
  /** With QoS 2 the far side is asked to keep a session that has ended for so long. */
  mqttSessionSeconds: 604_800, // 7 d
  /** Records whose packet ids stand in a row. */
  mqttRunRecords: 4096,
  /** While all packet ids are in use: positions move on meanwhile. */
  mqttIdsWaitMs: 50,

  // Batches by what the link carries (batch-size.ts), where the far side's receipts tell its pace.
  /** A session begins with batches of so many bytes as read. */
  startBytes: 32_768, // 32 KiB
  /** Where something may have to overtake them: at 64 kbit/s this is a second. */
  startPromptBytes: 8192, // 8 KiB
  /** Or with this share of what the one before it came to carry, where that is more. */
  startShare: 0.5,
  /** Most batches sent and not settled: one for each transaction that travels, and one being made. */
  window: 7,
  /** How long the link should be busy with one batch: what comes later waits for it. */
  carryMs: 800,
  /** Less where something may have to overtake it. */
  carryPromptMs: 500,
  /** At least so many round trips: transactions are ended one after the other. */
  carryTrips: 1.6,
  /** One that took so many times as long says that the link became slow. */
  lateCarries: 2.5,
  /**
   * Beside what their round trips take, how long the link should be busy with all that are under way: a
   * transaction that is open for longer than its timeout is lost. Less where something may have to
   * overtake them.
   */
  queueMs: 2000,
  queuePromptMs: 350,
  /** Up to this size, as read, of a batch that keeps the link busy for a while the link is thin. */
  thinBytes: 131_072, // 128 KiB
  /** Where most of them take longer than this share of the timeout, fewer travel at once. */
  timeoutShare: 0.88,
  /** Of the most that went over the link this is left after a stretch. */
  bestMemory: 0.9,
  /** More again where most take less than this share of that. */
  shortShare: 0.9,
  /** Of so many the one in the middle counts. */
  underWaySample: 5,
  /** More by this while a size is tried. */
  trialShare: 1.15,
  /** All that are under way, as read: they are in memory until they are settled. */
  underWayBytes: 44_040_192, // 42 MiB
  /** With less memory than this there is less of it, in smaller batches (test:small-memory). */
  smallMemoryBytes: 536_870_912, // 512 MiB
  smallUnderWayBytes: 8_388_608, // 8 MiB
  smallBatchBytes: 2_097_152, // 2 MiB
  /** By this a size grows at once, at most. */
  growth: 4,
  /** A size is measured over so many batches at least. */
  stretchBatches: 4,
  /** A change of size below this factor is not worth one. */
  leastChange: 1.3,
  /** Steps in which larger sizes are tried. */
  doubling: 2,
  smallStep: 1.4,
  /** Of what the size grew by, what goes over the link must grow by this at least; surely worth it. */
  sizeGain: 0.5,
  surelyGain: 0.8,
  /** Stretches between two tries that come to nothing, at most. */
  patienceMost: 16,
  /** What a batch's time weighs when the next one's is added to it. */
  paceMemory: 0.75,
  /** At the start the one in the middle of so many counts. */
  paceSample: 5,
  /** Below so much idle time two batches at once, and one being read, fill a link. */
  shortIdleMs: 100,
  /** Idle time beyond this is a broker's that is slow, not the link's: more under way do not help. */
  longIdleMs: 3600,
} as const;

assert(MIRROR_LIMITS.kafkaReloginShare < 1, 'a login is renewed before it ends');

/** Those that decide in what order a mirror reads. */
export type LaneBounds = Readonly<
  Record<
    | 'aheadRanges'
    | 'seamRecords'
    | 'reseamRecords'
    | 'newestChunkRecords'
    | 'lanePasses'
    | 'backlogRecords',
    number
  >
>;

assert(
  MIRROR_LIMITS.aheadRanges >= 3,
  'one range for what is new, one for a chunk, one for a seam',
);
assert(
  MIRROR_LIMITS.seamRecords <= MIRROR_LIMITS.reseamRecords,
  'a session does not move its seam sooner than a new one would',
);
