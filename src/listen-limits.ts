/** The bounds of how devices come in, as limits.ts has those of everything else. Units stand last in the names. */
export const LISTEN_LIMITS = {
  /** From the connection until TLS and WebSocket stand; and from then until CONNECT came. */
  greetingMs: 10_000,
  /** How long one that we turn away may still send before we hang up. */
  lingerCloseMs: 1000,
  /** Bounds of `mqtt.maxKeepAlive`: what slow links need, and the protocol's own. */
  keepAliveSecondsMin: 10,
  keepAliveSecondsMax: 65_535,
  /** Refused connections are said at most this often; those between are counted. */
  refusalLineMs: 10_000,
  /** Headers of a WebSocket's HTTP request. */
  httpHeaderBytes: 8192,
  /**
   * One WebSocket message. Its bounds mean nothing to MQTT: one may hold many packets, and is held
   * until it is whole.
   */
  webSocketMessageBytes: 2_097_152, // 2 MiB
  webSocketFragments: 16_384,
  /** Parts of WebSocket messages that have not come whole, all connections together. */
  webSocketHeldBytes: 33_554_432, // 32 MiB
  /** What a chunk costs beside its bytes: a flood of single bytes is no small thing. */
  chunkBytes: 128,
  /** A subscriber that took nothing for so long is not waited for; it is looked for that this often. */
  slowReaderMs: 100,
  slowLookMs: 50,
  /** Kept for it beyond what the system takes: then no message of QoS 0, then the connection ends. */
  slowReaderBytes: 1_048_576, // 1 MiB
  slowReaderBytesMax: 4_194_304, // 4 MiB
  /** The same for all of them together. */
  slowReadersBytes: 33_554_432, // 32 MiB
  /** How long a peer may take to answer the close of a WebSocket. */
  webSocketCloseMs: 1000,
  /** PEM files are looked at this often, as file systems do not all tell of changes. */
  certificateLookMs: 60_000,
  certificateBytes: 1_048_576, // 1 MiB
  /** What expires within this time is warned of, once in this. */
  certificateWarnMs: 2_592_000_000, // 30 d
  certificateSayMs: 86_400_000, // 1 d
} as const;
