import type { Coverage, Coverages } from '../coverage.ts';
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
  /**
   * What was delivered by our own books when the pump connects; undefined if there are none. An
   * upstream that keeps positions needs it for the case that the far side forgot them.
   */
  readonly had?: Coverage | undefined;
}

/** A record that the far side will never take. Its position moves on; the record is quarantined. */
export interface Rejection {
  readonly stream: StreamId;
  readonly offset: number;
  readonly reason: string;
  /** It is larger than the far side takes. */
  readonly oversize?: boolean;
}

/** Everything of the batch is delivered or rejected. */
export interface Receipt {
  readonly rejected: readonly Rejection[];
  /** Bytes put on the wire for this batch (compressed, with protocol framing where known). */
  readonly bytesSent: number;
  /** Absent where it is not known. */
  readonly pace?: LinkPace;
}

/** How a link took one batch: from it follow how large batches may be, and how many travel at once. */
export interface LinkPace {
  /** For so long at least the link was busy with it, and at most: what is lost is late by a round trip. */
  readonly leastMs: number;
  readonly mostMs: number;
  /** For so long it would have had nothing to do, had the batch travelled alone. */
  readonly idleMs: number;
  /** What a request takes that carries next to nothing. */
  readonly tripMs: number;
  /** Nothing was under way when it was sent: of a round trip more it can't be told what it was. */
  readonly isAlone: boolean;
  /** From its beginning until it was settled, and what would be too long. */
  readonly underWayMs: number;
  readonly tooLongMs: number;
  /** When it was answered, monotonic. */
  readonly answeredMs: number;
}

/** What the pump hands to a new session. */
export interface ConnectOptions {
  /**
   * Positions that a person asked for (next offset wanted, nothing ahead), usually empty. They
   * overrule the far side's word: an implementation whose positions live at the far side MUST make these the far
   * side's position, durably, before `connect` resolves, and MUST NOT also answer the old ones.
   * Calling it twice with the same ones is harmless. Others need do nothing. The pump checks that
   * the session's positions do not contradict them, and halts the mirror if they do.
   */
  readonly seek: ReadonlyMap<StreamId, number>;
  /**
   * An implementation whose positions live at the far side tells here what those of `seek` were, before
   * it moves them: what is left out, and what comes again, is counted from there.
   */
  readonly onSought?: (had: Coverages) => void;
  /**
   * Stores rejected records of batches being sent in the quarantine topic; durable when resolved.
   * An implementation that commits positions at the far side MUST await this before it commits a
   * position beyond a rejected record (else a crash between the two loses the record silently).
   * What was handed over here MAY be named again in the receipt: it is stored once.
   */
  readonly quarantine: (rejected: readonly Rejection[]) => Promise<void>;
}

/** How a far side likes its batches; the person's configuration overrules it. */
export interface Batching {
  readonly maxRecords: number;
  /** Bytes of keys, values and headers. */
  readonly maxBytes: number;
  /** At the durable end: how long to gather before sending what little there is. 0 sends at once. */
  readonly maxWaitMs: number;
}

export interface Liveness {
  /** Monotonic ms, of the clock that the upstream was given. */
  readonly answeredMs: number;
  /** It is asked something whenever it has not answered anything for this long. */
  readonly probedAfterMs: number;
}

export interface UpstreamSession {
  /**
   * What the far side says it has of each stream, the truth where it knows. A stream that is absent
   * is unknown to the far side: the local position counts.
   */
  readonly positions: Coverages;
  /**
   * Delivers a batch: its slices in their order, each stream's records in offset order. `after` is
   * what has been had of its streams then, by this batch and all before it: records, what the log no
   * longer holds, what was left out on purpose. A batch may have no slices: only that is to be told.
   * MUST NOT resolve before the far side confirmed; exactly-once implementations MUST make the batch
   * and `after` one atomic step. May be called again before the previous call settled, up to MIRROR_LIMITS.window
   * calls: an implementation prepares (encodes, compresses) at once and delivers in call order;
   * when one call fails, every later one MUST fail too. After any rejection of the promise the
   * session is spent: the pump closes it and connects anew.
   */
  send(batch: readonly Slice[], after: Coverages): Promise<Receipt>;
  /**
   * A receipt also says: nothing here looks at the batch's records any more, and no system call
   * reads their bytes. Their memory is given back then. Absent where that can't be known.
   */
  readonly copiesRecords?: boolean;
  /** When the far side last answered anything; absent where only receipts tell that. */
  readonly liveness?: Liveness;
  /** It gives a batch up by itself after about so long, which may be longer than others wait. */
  readonly patienceMs?: number;
  /**
   * Asks the far side something at once, because the way to it may have changed: a session that
   * stands on nothing any more breaks soon, not with its next probe.
   */
  probe?(): void;
  /** Rejects when the session breaks while nothing is being sent; never resolves. */
  readonly broken: Promise<never>;
  /**
   * Ends the session; never rejects. After it, nothing of the session reaches the far side, and
   * every unsettled `send` rejects.
   */
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
  | {
      readonly kind: 'stop-topic';
      readonly topic: string;
      /** More topics that can't go on, and why: a session for each to find out costs round trips. */
      readonly others?: ReadonlyMap<string, string>;
    }
  | { readonly kind: 'halt' };

export interface Upstream {
  /**
   * Connects and learns the far side's positions. `streams` are those to be mirrored. MUST reject
   * with a GatelogError of an UPSTREAM_* code, and MUST end soon after `signal` aborts. Never
   * called again before the session of the call before was closed.
   */
  connect(
    streams: readonly MirrorStream[],
    signal: AbortSignal,
    options: ConnectOptions,
  ): Promise<UpstreamSession>;
  /** Total: every error that connect, send or broken gives has a disposition. */
  dispositionOf(error: unknown): Disposition;
  readonly batching?: Batching;
  /** What slows the far side down, for people; undefined while nothing does. */
  slowness?(): string | undefined;
  /** Its receipts tell the link's pace: a session begins with small batches, and few at once. */
  readonly tellsPace?: boolean;
}
