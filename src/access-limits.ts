/** The bounds of who may do what, as limits.ts has those of everything else. Units stand last in the names. */
export const ACCESS_LIMITS = {
  /**
   * scrypt of new passwords: N = 2^14, r = 8, p = 1. 16 MiB and about 40 ms of a desktop core, more on a
   * Pi-class box: a site that comes back after a power cut logs in again at 2 of these at a time.
   */
  scryptLog2: 14,
  scryptBlocks: 8,
  scryptParallel: 1,
  scryptSaltBytes: 16,
  scryptHashBytes: 32,
  /** What an entry of a file may ask of us. */
  scryptMemoryBytes: 67_108_864, // 64 MiB
  scryptParallelMax: 16,
  pbkdf2IterationsMax: 5_000_000,
  /** Hashing runs in libuv's four threads, which write the log, too. */
  hashesAtOnce: 2,
  /** Passwords that were right, so that who comes back is not hashed again. */
  knownPasswords: 10_000,
  /** A file of users, of rules or of keys. */
  accessFileBytes: 8_388_608, // 8 MiB
  /** Such files are looked at this often, as those of certificates are. */
  filesLookMs: 60_000,
  userNameBytes: 255,
  passwordBytes: 1024,
  /** So many failures of one address in so long, and its answers come later: 1 s, 2 s … 8 s. */
  loginFailures: 5,
  loginFailuresMs: 60_000,
  loginDelayFirstMs: 1000,
  loginDelayMaxMs: 8000,
  /** Of one address at a time; more are refused unheard. */
  loginsDelayed: 16,
  loginAddresses: 10_000,
  /** Lines about who came and went, in so long; those beyond are counted. */
  auditLines: 600,
  auditMinuteMs: 60_000,
  /** The same about peers that broke the protocol or a limit. */
  violationLines: 60,
  /** Users of a file that has changed who are told by name. */
  auditUsers: 100,
  /** Users whose rules are remembered, each for all of its connections. */
  aclUsers: 4096,
  /** A token of MQTT's password (JWT): its bytes, its user name's, and roles that it may name. */
  tokenBytes: 16_384,
  tokenRoles: 64,
  /** Of HS256, -384 and -512, in bytes (RFC 7518, section 3.2). */
  tokenSecretBytes: 32,
  /** Connections whose token has ended are looked for this often. */
  tokenEndsMs: 5000,
  /** A set of keys behind a URL: its bytes, how long its server may take, how soon it is asked again. */
  tokenKeysBytes: 1_048_576, // 1 MiB
  tokenKeysWaitMs: 10_000,
  tokenKeysAgainMs: 30_000,
  /** That it gave the same once more is noted for the next start so often. */
  tokenKeysNoteMs: 3_600_000, // 1 h
} as const;
