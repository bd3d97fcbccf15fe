import type { StreamId } from '../record.ts';
import type { Slice } from '../store/log.ts';

/**
 * The mirror's narrow door to a far side. The pump reads the log and calls `send`; an
 * implementation (kafka, mqtt, simulated) delivers and answers with receipts.
 */

export interface MirrorStream {
  readonly stream: StreamId;
  readonly topic: string;
  readonly partition: number;
}

/** A record that the far side will never take. Its position moves on; the record is quarantined. */
export interface Rejection {
  readonly stream: StreamId;
  readonly offset: number;
  readonly reason: string;
}

export interface Receipt {
  /** Next offset wanted, of every stream in the batch. Everything below is delivered or rejected. */
  readonly positions: ReadonlyMap<StreamId, number>;
  readonly rejected: readonly Rejection[];
  /** Bytes put on the wire for this batch (compressed, with protocol framing where known). */
  readonly bytesSent: number;
}

export interface UpstreamSession {
  /**
   * What the far side says it has of each stream (next offset wanted), the truth where it knows.
   * A stream that is absent is unknown to the far side: the local position counts.
   */
  readonly positions: ReadonlyMap<StreamId, number>;
  /**
   * Delivers a batch. MUST deliver each key's records in offset order; MUST NOT resolve before the
   * far side confirmed; exactly-once implementations MUST make the batch and the resume position
   * one atomic step. May be called again before the previous call settled, up to LIMITS.mirrorWindow
   * calls: an implementation prepares (encodes, compresses) at once and delivers in call order;
   * when one call fails, every later one MUST fail too. After any rejection of the promise the
   * session is spent: the pump closes it and connects anew.
   */
  send(batch: readonly Slice[]): Promise<Receipt>;
  /** Rejects when the session breaks while nothing is being sent; never resolves. */
  readonly broken: Promise<never>;
  /** Ends the session; never rejects. After it, nothing of the session reaches the far side. */
  close(): Promise<void>;
}

/**
 * What the pump must do about a failure.
 * - `retry`: wait (back-off) and connect again; the outcome may be unknown.
 * - `stop-topic`: this topic cannot go on until a person acts; the others do.
 * - `halt`: the whole mirror stops until a person acts (fenced by a clone, another cluster).
 */
export type Disposition =
  | { readonly kind: 'retry' }
  | { readonly kind: 'stop-topic'; readonly topic: string }
  | { readonly kind: 'halt' };

export interface Upstream {
  /**
   * Connects and learns the far side's positions. `streams` are those to be mirrored. MUST reject
   * with a GatelogError of an UPSTREAM_* code, and MUST end soon after `signal` aborts.
   */
  connect(streams: readonly MirrorStream[], signal: AbortSignal): Promise<UpstreamSession>;
  /** Total: every error that connect, send or broken gives has a disposition. */
  dispositionOf(error: unknown): Disposition;
}
