/** Bounds of what is kept of MQTT sessions and retained messages (sizes in bytes, times in ms). */
export const SESSION_LIMITS = {
  /** Messages queued for one session, and for all together; `mqtt.sessions` sets them. */
  queueBytes: 4_194_304, // 4 MiB
  totalBytes: 33_554_432, // 32 MiB
  retainedBytes: 16_777_216, // 16 MiB
  /** What a message counts besides its topic, properties and payload: it bounds their number too. */
  messageBytes: 256,
  /** One write to the state database, at most: a part of what LevelDB keeps in one file. */
  writeBytes: 1_048_576, // 1 MiB
  /** What no acknowledgement waits for is written this late. */
  writeLateMs: 2000,
  /** A payload up to this size is kept as it is: a reference into the log is no shorter. */
  inlineBytes: 64,
  /** Read of the log at once for referenced payloads. */
  readRecords: 64,
  readBytes: 262_144, // 256 KiB
  /** After a start the wills of devices that were connected wait so long for them to come back. */
  willGraceMs: 30_000,
  /** How often it is looked for sessions whose time is over. */
  expiryCheckMs: 10_000,
} as const;
