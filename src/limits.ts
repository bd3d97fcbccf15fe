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
  mqttTopicLevels: 64,
  mqttConnections: 10_000,
  /** Inbound QoS 2 handshakes open per session (MQTT 5: our Receive Maximum). */
  inboundQos2Window: 1024,
  /** Distinct MQTT topics whose route is remembered; beyond it the oldest are forgotten. */
  routeCacheTopics: 16_384,

  // Store: commits.
  commitRecords: 4096,
  commitBytes: 1_048_576, // 1 MiB
  /** Key, value and headers of one record. */
  recordBytes: 1_048_576, // 1 MiB
  /** Appends waiting for a commit; at the bound devices are slowed. */
  pendingBytes: 16_777_216, // 16 MiB
  /** Class `os`: a written record is synced within this time. */
  osSyncWithinMs: 1000,
  /** Class `none`, QoS 0: a record may wait in memory this long. */
  memoryWaitMs: 1000,
  lingerMsMax: 1000,
  partitionsPerTopic: 1024,
  streams: 16_384,
  topicNameBytes: 249, // Kafka's own limit (Topic.MAX_NAME_LENGTH)
  /** Producers whose last sequence is remembered for idempotent appends. */
  producers: 65_536,

  // Store: segments.
  segmentBytes: 67_108_864, // 64 MiB
  segmentBytesMin: 1_048_576, // 1 MiB
  /** Log written between two checkpoints: bounds what opening must re-read. */
  checkpointEveryBytes: 1_048_576, // 1 MiB

  // Reading.
  readBytes: 1_048_576, // 1 MiB
  readRecords: 10_000,

  // Mirror.
  /** One transaction: records and bytes as read from the log. */
  mirrorBatchBytes: 4_194_304, // 4 MiB
  mirrorBatchRecords: 32_768,
  /** Batches sent and not yet acknowledged by the far side. */
  mirrorWindow: 2,
  backoffFirstMs: 250,
  backoffMaxMs: 30_000,

  // Stopping. The unit's TimeoutStopSec must be longer than stopMs.
  stopMs: 20_000,
  drainMs: 10_000,
} as const;

assert(LIMITS.recordBytes <= LIMITS.commitBytes, 'a commit holds at least one largest record');
assert(LIMITS.mqttPacketBytes < LIMITS.recordBytes, 'a packet and its headers fit one record');
assert(LIMITS.commitBytes <= LIMITS.pendingBytes, 'a full commit may wait');
assert(LIMITS.checkpointEveryBytes <= LIMITS.segmentBytesMin, 'every segment holds a checkpoint');
assert(LIMITS.recordBytes <= LIMITS.mirrorBatchBytes, 'a batch holds at least one largest record');
assert(LIMITS.drainMs < LIMITS.stopMs, 'draining ends before stopping is given up');
assert(LIMITS.backoffFirstMs < LIMITS.backoffMaxMs, 'the first wait is the shortest');
