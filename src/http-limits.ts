/** The bounds of the agent's HTTP side, as limits.ts has those of everything else. Units stand last in the names. */
export const HTTP_LIMITS = {
  /** Of one address; beyond it a connection is closed at once. */
  connections: 64,
  /** All headers of a request, and how long they may take to come; and the whole request. */
  headerBytes: 16_384,
  headersMs: 10_000,
  requestMs: 30_000,
  /** How often these two are looked at, while an address is listened on. */
  checkMs: 5000,
  /** A connection without a request is closed after this. */
  keepAliveMs: 10_000,
  /** Requests that may wait on a connection for the answer before them; with more it is closed. */
  pipelined: 16,
  /** Body of a command. */
  bodyBytes: 16_384,
  /** Path parameters, such as the name of a topic. */
  pathParameterBytes: 512,
  /** A silent connection is asked by TCP whether it is there, this long after it last said something. */
  probeMs: 30_000,
  /** The start of the agent waits so long for addresses to be listened on, and then goes on. */
  openMs: 500,
  /** An address that can't be listened on is tried again this often. */
  listenRetryMs: 30_000,
  /** Answers of records that are under way at once: each holds one bounded read of the log. */
  recordReaders: 8,
  /** Records given when the request has no limit, and does not follow. */
  recordsDefault: 100,
  /** Who takes nothing of an answer for so long is hung up on. */
  slowReaderMs: 60_000,
  /** Who listens to what happens (server-sent events). */
  listeners: 16,
  /** The status is sent to them this often; one measurement serves all. */
  liveMs: 1000,
  /** Bytes that wait for a slow listener: beyond them it misses what is sent; then it is hung up on. */
  liveWaitingBytes: 262_144, // 256 KiB
  /** Events that are remembered, and the text of one. */
  events: 256,
  eventChars: 500,
  /** Clients listed in one answer. */
  clients: 1000,
  /** Shortest token: what can't be guessed over a network. */
  tokenChars: 16,
  tokenCharsMax: 512,
  /** Names that a browser may know the agent by. */
  hosts: 32,
  /** Topics with metrics of their own; what the others have is summed under one name. */
  metricTopics: 200,
  /** The same for mirrors. */
  metricMirrors: 32,
} as const;
