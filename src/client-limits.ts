/**
 * What clients of the broker may take, as `mqtt.limits` sets it; these are its defaults. Undefined: no
 * bound but those of all (limits.ts, listen-limits.ts). Units stand last in the names.
 */
export interface ClientLimits {
  /** New connections, of all addresses and of one. */
  readonly connectsPerSecond: number | undefined;
  readonly addressConnectsPerSecond: number | undefined;
  /** Of one client: who sends more is read more slowly. */
  readonly messagesPerSecond: number | undefined;
  readonly bytesPerSecond: number | undefined;
  /** The same of all together. */
  readonly totalMessagesPerSecond: number | undefined;
  readonly totalBytesPerSecond: number | undefined;
  /** A client that was slowed for so long without a break is disconnected; undefined: never. */
  readonly slowedMs: number | undefined;
  /** Messages of QoS 1 and 2 that wait for their end (MQTT 5: our Receive Maximum). */
  readonly inFlight: number;
  /** Of one client at a time. */
  readonly subscriptions: number;
  readonly clientIdBytes: number;
  /** Of topic names and filters. */
  readonly topicBytes: number;
  readonly topicLevels: number;
  /** Topic, properties and payload of one will. */
  readonly willBytes: number;
}

export const DEFAULT_CLIENT_LIMITS: ClientLimits = {
  connectsPerSecond: undefined,
  addressConnectsPerSecond: undefined,
  messagesPerSecond: undefined,
  bytesPerSecond: undefined,
  totalMessagesPerSecond: undefined,
  totalBytesPerSecond: undefined,
  slowedMs: 300_000, // 5 min
  inFlight: 1024,
  subscriptions: 10_000,
  clientIdBytes: 1024,
  topicBytes: 4096,
  topicLevels: 64,
  willBytes: 16_384, // 16 KiB
};

/** What a person may not set. */
export const CLIENT_BOUNDS = {
  /** The longest text that MQTT can say. */
  textBytes: 65_535,
  /** aedes's look-up throws beyond 100. */
  topicLevels: 64,
  /** Every client must be able to have one as long [MQTT-3.1.3-5]. */
  clientIdBytesMin: 23,
  /** Of one SUBSCRIBE or UNSUBSCRIBE; the largest known to be sent is 500. */
  filtersPerPacket: 4096,
  /** SUBSCRIBEs and UNSUBSCRIBEs of one client that wait for their answer, retained messages included. */
  answersAtOnce: 64,
  /** Wills of all connections together. */
  willsBytes: 33_554_432, // 32 MiB
  /** A bucket holds what comes in so long: that much may come at once. */
  burstMs: 1000,
} as const;
