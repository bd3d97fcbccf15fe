import { assert } from './assert.ts';

/**
 * Every bound in one place. Units stand last in the names. Relations that must hold between
 * bounds are asserted when this file loads. A bound that a person may set is a default here and
 * an option in the configuration.
 */
export const LIMITS = {
  // Ingest.
  /** Largest MQTT packet accepted. A record must fit one Kafka batch of the default 1 MiB. */
  mqttPacketBytes: 983_040, // 960 KiB
  /** Parts of packets that have not come whole yet, and what was not handled yet, all connections together. */
  heldBytes: 33_554_432, // 32 MiB
  /** While devices are slowed, their keep-alive (at least 1.5 s) is renewed this often. */
  touchMs: 1000,
  mqttConnections: 10_000,
  /** Distinct MQTT topics whose route is remembered; beyond it the oldest are forgotten. */
  routeCacheTopics: 16_384,
  /** Sessions kept for clients that are not connected. */
  mqttSessions: 10_000,
  /** Topic aliases of one connection (MQTT 5). */
  topicAliases: 32,
  /** Acknowledgements that one connection may wait for; at the bound it is not read. */
  pendingAcks: 16_384,
  /** Subscriptions of all sessions together; beyond it none is granted. */
  subscriptions: 100_000,
  /** While the log can't write, this often it is said on behalf of the devices. */
  failureLineMs: 10_000,
  /** Messages of one connection on their way to live subscribers; at a bound it is not read. */
  liveDeliveries: 256,
  liveBytes: 1_048_576, // 1 MiB
  /** At a stop, how long a peer may take to close its side. */
  goodbyeMs: 1000,

  // Store: commits.
  commitRecords: 4096,
  commitBytes: 1_048_576, // 1 MiB
  /** Key, value and headers of one record. */
  recordBytes: 1_048_576, // 1 MiB
  /**
   * A commit's body, uncompressed: what may be allocated to read one. Like the bounds it comes from it
   * MUST NOT be lowered, else what is stored already could not be read.
   */
  bodyBytes: 1_572_864, // 1.5 MiB
  /** Appends waiting for a commit; at the bound devices are slowed. */
  pendingBytes: 16_777_216, // 16 MiB
  /** Class `os`: a written record is synced within this time. */
  osSyncWithinMs: 1000,
  /** Class `none`, QoS 0: a record may wait in memory this long. */
  memoryWaitMs: 1000,
  lingerMsMax: 1000,
  /** After a failed write the log is opened again; if that fails, again after this, doubling. */
  recoverFirstMs: 1000,
  recoverMaxMs: 30_000,
  /** A data folder that could not be opened at start is tried again after this, doubling. */
  storeRetryFirstMs: 1000,
  storeRetryMaxMs: 30_000,
  partitionsPerTopic: 1024,
  streams: 16_384,
  topicNameBytes: 249, // Kafka's own limit (Topic.MAX_NAME_LENGTH)
  /** Producers whose last sequence is remembered for idempotent appends. */
  producers: 65_536,
  /** Of those, this machine's own (handshakes of its devices). */
  ownProducers: 16_384,
  /** Of those, devices that number their messages (mqtt.dedup). */
  deviceProducers: 16_384,

  // Store: segments.
  segmentBytes: 67_108_864, // 64 MiB
  segmentBytesMin: 1_048_576, // 1 MiB
  /** Log written between two checkpoints: bounds what opening must re-read. */
  checkpointEveryBytes: 1_048_576, // 1 MiB
  /** A segment's successor is opened this many commits ahead of its use. */
  segmentAheadCommits: 16,

  // Store: room on the disk.
  /** The reserve for positions, ledger and recovery, and its largest share of a small disk. */
  diskReserveBytes: 67_108_864, // 64 MiB
  diskReserveBytesMax: 1_073_741_824, // 1 GiB
  diskReserveShare: 0.125,
  /** The reserve is written this long after start, a chunk at a time, so often. */
  reserveDelayMs: 1000,
  reserveChunkBytes: 1_048_576, // 1 MiB
  reserveChunkMs: 100,
  /** Given back of it when the state database or a recovery finds no room. */
  reserveReliefBytes: 2_097_152, // 2 MiB
  /** Room is counted in a share of the disk; see disk-ladder.ts. */
  diskUnitsPerDisk: 128,
  diskUnitBytesMin: 1_048_576, // 1 MiB
  diskUnitBytesMax: 67_108_864, // 64 MiB
  /** Room is measured so often, and after so much of a unit was written. */
  diskFreeMs: 1000,
  diskMeasureUnits: 0.25,
  /** After a write that found no room, and none was missing by the measure: refuse for this, doubling. */
  diskFullFirstMs: 1000,
  diskFullMaxMs: 30_000,
  /** So many of these in a row are believed: then space is made as on a full disk. */
  diskFullBelieved: 3,
  /** Who asks for the status waits so long for a look at the disk. */
  statusDiskMs: 500,
  /** Segments given up in one go, before the room is measured again. */
  diskDropsAtOnce: 16,
  /** A segment is thinned only to this part of it, in writes of so many bytes. */
  thinDivisor: 4,
  thinWriteBytes: 1_048_576, // 1 MiB
  /** `priority` of a topic: 0 is given up first. */
  topicPriority: 5,
  topicPriorityMax: 9,
  /** A measure of the log's space on disk is renewed after this. */
  diskUsageMs: 2000,
  /** What the log was written to since it was opened is verified so far back after a failed write. */
  verifyBytes: 16_777_216, // 16 MiB
  /** Last writes of the state database that are verified after a failed one. */
  stateJournalKeys: 4096,
  stateJournalBytes: 1_048_576, // 1 MiB
  /** Segments kept open after they were read, besides the newest. */
  idleSegmentsOpen: 4,
  /**
   * Records appended after a place that the state database remembers, at most: so many offsets are
   * left out where the newest segment can't be read and nobody knows how far it went.
   */
  reservedRecords: 65_536,
  /** The same where the state database was lost too, so that no such place is known: of a segment. */
  unknownRecords: 16_777_216,
  /** Of a table without its index, so much is looked through for blocks. */
  tableRebuildBytes: 67_108_864, // 64 MiB
  /** The end of a segment that is looked at before it is opened: what its last checkpoint stands in. */
  tableTailBytes: 2_097_152, // 2 MiB
  /** A segment that is read is looked at so far ahead. */
  examineBytes: 4_194_304, // 4 MiB
  /** The indexes of so many segments are kept meanwhile: of a mirror's, the check's, and another's. */
  examinedFolders: 3,
  /** All of a database over which a process ended is looked at before it is opened, for so long. */
  suspectMs: 400,
  /**
   * Write-ahead files of a database: two of LevelDB's buffer (4 MiB), each with one write beyond it (a
   * commit, with a checkpoint of all producers now and then). Larger ones are left to LevelDB as they are.
   */
  walBytes: 16_777_216, // 16 MiB
  /** Bytes of keys and values after which it is noted that they were synced, if nothing else did. */
  markEveryBytes: 4_194_304, // 4 MiB
  /** After a note that failed the next one is due so soon. */
  markRetryBytes: 65_536, // 64 KiB
  /**
   * Processes of this boot that ended one after the other while a database was open, of whatever (a
   * kill counts), and though nothing deadly was found in it, before a process of its own tries to read
   * it. That may take so long; devices are served meanwhile.
   */
  deathsBeforeProbe: 4,
  probeMs: 30_000,
  /** A database up to this size is also compacted by it. */
  probeCompactBytes: 4_194_304, // 4 MiB
  /** A database that was open for so long is not what ends processes. */
  markerSettledMs: 60_000,
  /**
   * `quarantine/`: what was set aside, and its largest share of a small disk or cap. Beyond a bound the
   * oldest goes; the newest stays, but where acknowledged records would have to go for it.
   */
  asideItems: 64,
  asideBytes: 268_435_456, // 256 MiB
  asideShare: 0.125,
  /** Segments that one run of retention opens to see whether they can go. */
  retentionLooks: 64,
  /** Damaged places that one line of the log names. */
  placesLogged: 16,
  /** Places of a segment's end that hold nothing, and are asked for once more when it is opened. */
  tailHolesRead: 1024,
  /** Bodies smaller than this are stored as they are. */
  compressFromBytes: 512,

  // A disk that does not answer (store/patience.ts): waits in one call.
  unreadableRetryMs: [50, 200, 800],
  /** Damaged is what failed so long and often, without such a gap between; so many places are known. */
  unreadableMs: 600_000, // 10 min
  unreadableReads: 5,
  unreadableGapMs: 300_000, // 5 min
  unreadablePlaces: 1024,

  // The check of what is stored.
  /** A step holds what it reads in memory, and a segment open. */
  scrubStepBytes: 1_048_576, // 1 MiB
  scrubBytesPerSecond: 4_194_304, // 4 MiB
  /** After a step it pauses this many times as long as the step took, at least: a tenth of the time. */
  scrubPauseFactor: 9,
  /** The first look after a start waits until the start is over. */
  scrubFirstMs: 15_000,
  /** A start begins a pass when the last one is longer ago: nobody's device is on every night. */
  scrubOverdueMs: 691_200_000, // 8 d
  /** The place of a pass is written at most this often: each time is a synced write. */
  scrubNoteMs: 60_000,

  // The loss ledger.
  /** Counts of dropped messages go to it so often. */
  dropCountMs: 2000,
  /** Entries kept; those that leave went to `_gaps` before. */
  ledgerEntries: 20_000,
  /** An entry takes in what continues it until it was idle for this long, or is this old. */
  ledgerIdleMs: 120_000,
  ledgerOpenMs: 3_600_000,
  /** Entries that may still grow; beyond it the oldest is closed. */
  ledgerOpenEntries: 1024,
  /**
   * Ranges known by heart, of all partitions together: more than entries are kept. Beyond it it is
   * looked up in these whether a loss was told before.
   */
  ledgerRanges: 65_536,
  /** Read or deleted at once. */
  ledgerStep: 256,
  /** Entries that could not be put into `_gaps` are tried again after this. */
  ledgerRetryMs: 5000,
  /** After damage of the state database a start reads `_gaps` for so long; the rest comes later. */
  refillMs: 500,
  /** Text of a cause. */
  ledgerDetailChars: 500,
  /** A record of `_gaps` is smaller; what is not is none. */
  gapRecordBytes: 8192,
  /** The topic `_gaps`: how long and how much of it is kept. */
  gapsRetentionMs: 2_592_000_000, // 30 d
  gapsBytes: 67_108_864, // 64 MiB

  // Flash wear.
  /** What was written is looked at this often, and stored this often. */
  wearSampleMs: 10_000,
  wearSaveMs: 600_000, // 10 min
  /** Least budget of a day's writes. */
  wearBudgetBytesMin: 50_000_000, // 50 MB
  /** Of a wear budget: what may be written at once, after a quiet time. */
  wearBurstShare: 0.0625,
  /** Figures over less than this are told with a word of caution. */
  wearTellMs: 600_000, // 10 min

  // Clock trust.
  /** A wall clock before this is wrong: 2026-01-01. A release moves it to its own date. */
  clockEarliestMs: 1_767_225_600_000,
  clockGapMs: 31_622_400_000, // 366 d: since the last sure time, without a word of anybody
  /** Wall and monotonic clock have parted when their difference changes by more. */
  clockDriftMs: 60_000,
  clockDriftMinMs: 1000,
  clockDriftMaxMs: 86_400_000, // 1 d
  /** How often the clocks are compared, and sources looked at that cost nothing. */
  clockCheckMs: 1000,
  /** Sources that cost a process: at first so often, then more and more rarely. */
  clockDearFirstMs: 5000,
  clockDearMaxMs: 900_000,
  clockAskMs: 2000,
  /** What sources said is kept at most so often while the clock is trusted. */
  clockMarksMs: 600_000, // 10 min
  /** Two clocks read further apart than this are read again. */
  clockReadMs: 5,
  /** For so long a jump may lie between the receipt of a record and its commit. */
  clockJumpMs: 60_000,
  /** Times that are wrong by less are left as they are. */
  clockToleranceMs: 1000,
  /** Boots remembered; older ones have no length any more. */
  clockBoots: 1024,
  /** Of those, in each checkpoint of the log, should the state database be lost. */
  clockBootsKept: 8,
  /** Of a boot, stretches between two times at which its clock was taken for right. */
  clockReturns: 8,
  /** Kafka's time bounds are kept with this distance: a batch is under way for a while. */
  kafkaTimeMarginMs: 300_000,

  // Reading.
  readBytes: 1_048_576, // 1 MiB
  readRecords: 10_000,
  /** First checkpoints of segments kept in memory for searches, counted in streams. */
  keptCheckpointStreams: 65_536,
  /** What segments hold, kept for a full disk, counted in streams of which there are records: some 5 MB. */
  keptExtentStreams: 131_072,
  /** Most records that one call of a cursor hands out, whatever is asked for. */
  cursorRecordsMax: 65_536,

  // Mirror.
  /**
   * One transaction: records and bytes as read from the log. Its end takes some 20 ms whatever its
   * size: at 4 MiB a million records take 1.2 times as long (bench:drain).
   */
  mirrorBatchBytes: 8_388_608, // 8 MiB
  mirrorBatchRecords: 32_768,
  /** What a person may set it down to, and what it shrinks to by itself, for bad links. */
  mirrorBatchBytesMin: 8192, // 8 KiB
  /** A far side that fails while it has owed an answer for this long may want smaller batches. */
  mirrorSlowMs: 1000,
  /** Batches that must get through before a size that failed is tried again, at most. */
  mirrorGrowAfter: 32,
  /** Batches sent and not yet acknowledged by the far side, where the link's pace is not known. */
  mirrorWindow: 2,
  backoffFirstMs: 250,
  backoffMaxMs: 30_000,
  /** Last resort for a far side that neither answers nor breaks: no receipt within it, connect anew. */
  mirrorSendMs: 120_000,
  mirrorConnectMs: 120_000,
  /** Sent and unanswered for this long, the status says `stalled`. */
  mirrorStalledMs: 15_000,
  /** How often the list of topics is looked over for new ones (in memory, no reading). */
  mirrorTopicScanMs: 1000,
  /** A topic stopped by the far side is tried again this often. */
  stoppedTopicRetryMs: 300_000,
  /** Positions are synced to disk at most this often; what is repeated after a crash is bounded by it. */
  positionEveryMs: 100,
  /** Gaps remembered one by one in a mirror's status; all are counted and logged. */
  statusGaps: 16,
  /** Ranges of a partition that a mirror’s status or the auditor has counted; at it see range-set.ts. */
  countedRanges: 256,
  /** The topic `_quarantine`: how long and how much of it is kept. */
  quarantineRetentionMs: 2_592_000_000, // 30 d
  quarantineBytes: 1_073_741_824, // 1 GiB
  /** Refused records appended to it at once: one commit covers them, and memory stays small. */
  quarantinePartRecords: 1024,
  quarantinePartBytes: 1_048_576, // 1 MiB
  /** Kinds of reasons told apart in a mirror's status and in the log lines of one batch. */
  rejectionKinds: 16,
  /** Partitions named in one such line. */
  rejectionRanges: 16,
  /** Text of a reason kept with a quarantined record. */
  reasonChars: 1000,

  // Mirror to an MQTT broker.
  mqttBatchRecords: 4096,
  mqttBatchBytes: 524_288, // 512 KiB
  /** PUBLISH packets without their PUBACK, if the far side's Receive Maximum allows as many. */
  mqttWindow: 8192,
  /** PUBLISH packets written in one turn of the event loop. */
  mqttPacketsPerTurn: 128,
  mqttConnectMs: 20_000,
  /** No acknowledgement at all for this long while some are due: connect anew. */
  mqttAckMs: 30_000,
  mqttKeepaliveSeconds: 30,

  // Auditor.
  /** Examples kept of each kind of finding, by source. */
  auditSamples: 10,
  /** Ranges of missing offsets listed by source; the count goes on. */
  auditGapRanges: 1000,
  /** Losses of which the central `_gaps` tells that are remembered; those beyond it are not believed. */
  auditDeclared: 100_000,
  /** Distinct keys whose central partition is remembered; keys beyond it are counted, not checked. */
  auditKeys: 1_000_000,
  /** How long a transaction that is not decided is waited for: the usual timeout and the broker's sweep. */
  auditUndecidedMs: 60_000,
  /** The least that a partition which gives nothing is waited for. */
  auditSilenceMs: 5000,
  /** A partition that has moved, or whose broker is gone, is looked for this long. */
  auditLeaderMs: 60_000,
  /** A gap beside a gateway that may be sending is looked at again for this long, this often. */
  auditSettleMs: 5000,
  auditSettleEveryMs: 500,

  // Configuration and control.
  /** Each file of the configuration, and each that a `${file:…}` names. */
  configFileBytes: 1_048_576, // 1 MiB
  /** Files that are one configuration, and how many of them one is included through. */
  configFiles: 200,
  configIncludeDepth: 8,
  /** Gateway ids and mirror names: they become parts of identities, groups and transactional ids. */
  nameBytes: 100,
  /** Bytes and records of one read for `gatelog consume` through the control socket. */
  consumeReadBytes: 262_144, // 256 KiB
  consumeReadRecords: 1000,
  /** Body of a control request. */
  controlBodyBytes: 65_536, // 64 KiB
  /** Log lines kept for a reader that takes none; beyond it they are dropped. */
  logBufferBytes: 1_048_576, // 1 MiB
  /** A control socket's path: sun_path of unix(7) without its closing NUL. */
  socketPathBytes: 107,
  /** It is looked whether the control socket can still be found. */
  controlCheckMs: 5000,

  // Stopping. The unit's TimeoutStopSec must be longer than stopMs.
  stopMs: 20_000,
  drainMs: 10_000,
  /** Closing one connection or session after draining. */
  closeMs: 2000,
} as const;

assert(LIMITS.recordBytes <= LIMITS.commitBytes, 'a commit holds at least one largest record');
assert(
  Math.max(LIMITS.commitBytes, LIMITS.recordBytes) + LIMITS.commitRecords * 4 * 8 + 1024 <=
    LIMITS.bodyBytes,
  'a full commit’s columns fit its body',
);
assert(LIMITS.mqttPacketBytes < LIMITS.recordBytes, 'a packet and its headers fit one record');
assert(
  LIMITS.commitRecords * 4 <= LIMITS.reservedRecords,
  'a place is noted ahead of need, while commits go on',
);
assert(LIMITS.ledgerEntries < LIMITS.ledgerRanges, 'kept entries are known by heart');
assert(LIMITS.commitBytes <= LIMITS.pendingBytes, 'a full commit may wait');
assert(LIMITS.checkpointEveryBytes <= LIMITS.segmentBytesMin, 'every segment holds a checkpoint');
assert(
  LIMITS.quarantinePartRecords <= LIMITS.commitRecords,
  'refused records appended at once fit one commit',
);
assert(LIMITS.recordBytes <= LIMITS.mirrorBatchBytes, 'a batch holds at least one largest record');
assert(
  LIMITS.drainMs + LIMITS.closeMs < LIMITS.stopMs,
  'draining ends before stopping is given up',
);
assert(LIMITS.backoffFirstMs < LIMITS.backoffMaxMs, 'the first wait is the shortest');
