/**
 * The one thing that travels the whole way. Immutable once appended.
 *
 * `headers` is the encoded form of src/headers.ts (Kafka's record header layout), so that the hot
 * paths copy bytes instead of building objects; an empty array means no headers.
 */
export interface LogRecord {
  /** Dense number within its partition, from 0. */
  readonly offset: number;
  /** Milliseconds since 1970: the best that is known. */
  readonly timestampMs: number;
  /** Absent: the time is as it was received, and nothing speaks against it. */
  readonly time?: TimeNote | undefined;
  readonly key: Uint8Array | null;
  /** null is a tombstone, as in Kafka. */
  readonly value: Uint8Array | null;
  readonly headers: Uint8Array;
}

/**
 * What is to be said about a record's time.
 * - `corrected`: the clock was wrong, and the time was computed when it became known.
 * - `estimated`: the clock was not to be trusted, and the time never became known in that boot.
 */
export interface TimeNote {
  readonly trust: 'corrected' | 'estimated';
  /** What the gateway's clock said when it received the record. */
  readonly clockMs: number;
}

/**
 * A topic's partition as the store numbers it: dense from 0 per data folder, never reused. A
 * number of its own type, so that it is not taken for a partition index or an offset.
 */
export type StreamId = number & { readonly brand: 'StreamId' };

export function streamId(value: number): StreamId {
  return value as StreamId;
}

/**
 * How soon a record is on disk, by topic.
 * - `fsync`: acknowledged after the synced commit that holds it.
 * - `os`: acknowledged after the write; synced within LIMITS.osSyncWithinMs. A power cut may take
 *   what was acknowledged within that bound; a crash of the process takes nothing.
 * - `none`: QoS 0 may wait in memory for LIMITS.memoryWaitMs; QoS 1 and 2 count as `fsync`.
 */
export type Durability = 'fsync' | 'os' | 'none';
