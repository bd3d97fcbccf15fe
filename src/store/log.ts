import type { Coverage, Coverages } from '../coverage.ts';
import type { LatencyCounts } from '../latency-counts.ts';
import type { LedgerEntry, Loss, LossTotals } from '../loss.ts';
import type { OffsetRange } from '../range-set.ts';
import type { Durability, LogRecord, StreamId } from '../record.ts';

/**
 * The store's narrow door: what the agent and the mirror know of the log. Interfaces, and a few words.
 *
 * The one procedure is **append → commit → durable**: appends wait, one synced commit takes
 * everything that waits (all partitions), then they are acknowledged in arrival order, and only
 * then may readers see them.
 */

export interface TopicOptions {
  /** Number of partitions; may grow, never shrink. */
  readonly partitions: number;
  readonly durability: Durability;
  /** Records older than this may be removed; undefined keeps them until retentionBytes. */
  readonly retentionMs: number | undefined;
  /** Cap for the topic's stored bytes (all partitions); undefined is no cap. */
  readonly retentionBytes: number | undefined;
  /**
   * When the disk is full: `drop-oldest` gives up records that no mirror had (ledgered), `refuse`
   * never; then appends to it are refused where nothing else can be given up.
   */
  readonly onFull?: OnFull | undefined;
  /** 0 to LIMITS.topicPriorityMax; what is lower is given up first. undefined: LIMITS.topicPriority. */
  readonly priority?: number | undefined;
}

export const ON_FULL = ['drop-oldest', 'refuse'] as const;
export type OnFull = (typeof ON_FULL)[number];

export interface TopicInfo {
  readonly name: string;
  readonly options: TopicOptions;
  /** The stream of each partition; the index is the partition number. */
  readonly streams: readonly StreamId[];
}

/**
 * Called once, in arrival order over all appends. `offset` is -1 when there is an error. `last` is
 * given for a repeat only: the last sequence of its producer.
 */
export type AppendDone = (error: Error | null, offset: number, last?: number) => void;

/** Begins the names of this machine's own producers; no gateway's id begins so. */
export const OWN_PRODUCER = '~';

/**
 * Begins the names of devices that number their messages: `~device/WHOSE/WHICH`. Beyond
 * LIMITS.deviceProducers whoever has most of them gives one up.
 */
export const DEVICE_PRODUCER = '~device/';

/** Who appends idempotently. */
export interface ProducerBook {
  /** The last sequence that it appended; -1: it is not known. */
  last(name: string): number;
  /** Those whose name begins so, and their last sequences, as committed. */
  startingWith(prefix: string): Iterable<readonly [name: string, sequence: number]>;
  /** They append no more. What an older checkpoint knows of them may come back with a start. */
  forget(names: Iterable<string>): void;
  /** Those that begin with DEVICE_PRODUCER. */
  devices(): DeviceProducerCounts;
}

export interface DeviceProducerCounts {
  readonly remembered: number;
  /** Given up for others since start. */
  readonly forgotten: number;
}

export interface LogWriter {
  /**
   * Creates the topic, or changes its options, and returns it; takes effect in memory at once and
   * on disk with the next commit. MUST be given the same name for the same topic for ever.
   * Throws GatelogError CONFIG_INVALID for an illegal name or fewer partitions than there are.
   */
  defineTopic(name: string, options: TopicOptions): TopicInfo;

  /**
   * Adds a record. `key`, `value` and `headers` MUST NOT be changed until `done`. `done` MUST be
   * called only when the record is as durable as `durability` says, in arrival order over all
   * appends and `settled` calls; on a failed commit every waiting `done` gets STORE_WRITE_FAILED
   * and no later append is acknowledged before the log was verified again. Positional and
   * callback-style on purpose: no object, closure or promise per record on the hottest path.
   * `timeIsGiven` (default false): the timestamp is not of this machine's clock, and is left as it
   * is whatever becomes known of that clock.
   */
  append(
    stream: StreamId,
    timestampMs: number,
    key: Uint8Array | null,
    value: Uint8Array | null,
    headers: Uint8Array,
    durability: Durability,
    done: AppendDone,
    timeIsGiven?: boolean,
  ): void;

  /**
   * As `append`, but only if `sequence` is greater than the last one that this producer appended;
   * else it is a repeat: nothing is stored and `done` is called (offset -1, no error, `last`)
   * once the original is durable. The producer's last sequence is stored in the same commit as the record,
   * so this holds across crashes (the idea of Kafka's idempotent producer, KIP-98). `timeIsGiven`
   * is true by default: the producer's. Names that begin with OWN_PRODUCER are counted apart.
   * What follows on a refused append of the same producer is refused too until `done` told of that:
   * taken before it, it would make a repeat of what is sent again.
   */
  appendOnce(
    producer: string,
    sequence: number,
    stream: StreamId,
    timestampMs: number,
    key: Uint8Array | null,
    value: Uint8Array | null,
    headers: Uint8Array,
    durability: Durability,
    done: AppendDone,
    timeIsGiven?: boolean,
  ): void;

  readonly producers: ProducerBook;

  /** Calls `done` when everything appended before it is settled: keeps acknowledgements in order. */
  settled(done: AppendDone): void;

  /** Bytes that wait for a commit; above LIMITS.pendingBytes the caller MUST slow its devices. */
  pendingBytes(): number;
  /** Resolves when pendingBytes is at most half of its bound. */
  relieved(): Promise<void>;
}

export interface StreamRange {
  /** First offset that can still be read. */
  readonly startOffset: number;
  /** One past the last durable record. */
  readonly endOffset: number;
}

/** Records of one stream, dense and ascending. */
export interface Slice {
  readonly stream: StreamId;
  readonly records: readonly LogRecord[];
}

/** A range that a reader asked for and that the log no longer holds. */
export interface ReadGap {
  readonly stream: StreamId;
  readonly fromOffset: number;
  /** One past the last missing offset. */
  readonly toOffset: number;
  readonly reason: 'retention' | 'corruption';
}

export interface CursorBatch {
  readonly slices: readonly Slice[];
  readonly gaps: readonly ReadGap[];
  readonly records: number;
  /** Bytes of keys, values and headers. */
  readonly bytes: number;
  /**
   * Gives the records' memory back now, which the collector would do much later. Only for who knows
   * that nobody looks at them any more and that no system call under way reads their bytes: views
   * taken from them become empty, and taking new ones throws a TypeError.
   */
  readonly release?: () => void;
}

/**
 * Reads several streams in commit order. Holds no records between calls. Sees only what a crash
 * cannot take back.
 */
export interface LogCursor {
  /** The next records, at least one if there is one; empty at the durable end. */
  next(limits: { readonly maxRecords: number; readonly maxBytes: number }): Promise<CursorBatch>;
  /** Resolves when there is something to read for this cursor, or when `signal` aborts. */
  wait(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

export interface LogReader {
  topics(): readonly TopicInfo[];
  topic(name: string): TopicInfo | undefined;
  range(stream: StreamId): StreamRange;
  /** Bytes the topic occupies, as retention counts them. */
  topicBytes(name: string): number;
  /**
   * Timestamp in ms of the record at `offset` or of the first one after it; undefined at the end.
   * For lag in seconds.
   */
  timestampAt(stream: StreamId, offset: number): Promise<number | undefined>;
  /** First offset whose timestamp is at or after `timestampMs`; the end offset if there is none. */
  offsetAtTime(stream: StreamId, timestampMs: number): Promise<number>;
  /** Where each stream starts reading (the next offset wanted). Offsets below the start yield a gap. */
  cursor(from: ReadonlyMap<StreamId, number>): LogCursor;
}

/** A number is a coverage with nothing ahead. */
export type Positions = ReadonlyMap<StreamId, number | Coverage>;

/**
 * Resume points of one reader (a mirror), kept by the same engine. A position is the next offset
 * wanted; a reader that does not read in order has had more beyond it (`coverage`). Retention keeps
 * what lies at or after the positions of every pinning reader until a topic's byte cap forces it out.
 */
export interface PositionStore {
  /** Its positions were lost with the state database: a stream without one may have had one. */
  readonly lost: boolean;
  /** Only of streams below this number, which were there then; 0 when nothing was lost. */
  readonly lostBelow: number;
  /** The stream's position was lost, and nobody has told since where it stands: what is stored is a guess. */
  isLost(stream: StreamId): boolean;
  /** Where these stand is known again. Durable when resolved. */
  found(streams: Iterable<StreamId>): Promise<void>;
  /** undefined when the reader has none for that stream. */
  get(stream: StreamId): number | undefined;
  all(): ReadonlyMap<StreamId, number>;
  /** The position, and what was had beyond it. */
  coverage(stream: StreamId): Coverage | undefined;
  coverages(): Coverages;
  /** Durable when resolved. MUST NOT take back anything that was had: asserted. */
  advance(positions: Positions): Promise<void>;
  /** A person's decision, either way; logged by the caller. Durable when resolved. */
  seek(positions: Positions): Promise<void>;
}

/** A walled-off space of small values, each write synced when resolved. */
export interface KeyValue {
  get(key: string): Promise<Uint8Array | undefined>;
  put(key: string, value: Uint8Array): Promise<void>;
  delete(key: string): Promise<void>;
}

/** One that is looked through as a whole. */
export interface KeyValueSpace extends KeyValue {
  /** In the order of the keys. */
  entries(): Promise<readonly (readonly [key: string, value: Uint8Array])[]>;
  /** In one step. */
  deleteAll(keys: readonly string[]): Promise<void>;
}

/** `value` undefined deletes the key. */
export interface KeyWrite {
  readonly key: string;
  readonly value: Uint8Array | undefined;
}

/** One of many values, written together and walked through without holding all of them. */
export interface OrderedSpace extends KeyValueSpace {
  /** In one step, synced when resolved. */
  write(writes: readonly KeyWrite[]): Promise<void>;
  /** Those whose key begins so, in the order of the keys' bytes. */
  scan(prefix: string): AsyncIterable<readonly [key: string, value: Uint8Array]>;
}

/** The account of everything that will never be delivered; each entry goes to the topic `_gaps` too. */
export interface LossLedger {
  /**
   * Durable when resolved. Offsets that stand in it already, for the same topic, partition and
   * mirror or for every reader, are left out: telling twice does no harm. What continues an entry
   * of the last minutes extends it. Throws STORE_WRITE_FAILED.
   */
  record(losses: readonly Loss[]): Promise<void>;
  /** In the order in which they were closed; those that may still grow come last. */
  entries(): AsyncIterable<LedgerEntry>;
  /**
   * The parts of the offsets [from, to) that stand in it as lost for every reader. Of a partition
   * with very many losses only the latest are known.
   */
  lost(topic: string, partition: number, from: number, to: number): readonly OffsetRange[];
  /** Since the data folder was made. */
  totals(): LossTotals;
}

export interface StoreIdentity {
  /** Random, made with the data folder: 16 hex characters. */
  readonly incarnation: string;
  /** Id of the gateway whose folder it is; undefined: nobody said. */
  readonly gateway: string | undefined;
  /** Nobody chose that id: until the first mirror runs here, a person may. */
  readonly gatewayAssumed: boolean | undefined;
  readonly formatVersion: number;
  readonly createdMs: number;
}

/** The check of everything that is stored, in the background. */
export interface ScrubStatus {
  /** `off`: it has no schedule, or the store is read-only. */
  readonly state: 'off' | 'idle' | 'running';
  /** Wall clock in ms of the end of the last whole pass; undefined: never. */
  readonly lastFinishedMs: number | undefined;
  /** By this process. */
  readonly bytesChecked: number;
  /** Damaged places that the pass under way has met, or the last whole one. */
  readonly findings: number;
}

/**
 * The steps of a disk that fills, each with all that those before it do: warn, give up segments
 * whose records were mirrored, give up those that were not (ledgered), refuse appends.
 */
export const LADDER_STEPS = ['ok', 'warn', 'drop-mirrored', 'drop-unmirrored', 'refuse'] as const;
export type LadderStep = (typeof LADDER_STEPS)[number];

/** Bytes; null where nothing is measured or capped. */
export interface DiskStatus {
  readonly step: LadderStep;
  /** How often each step was come to since start. */
  readonly entered: Readonly<Record<LadderStep, number>>;
  readonly freeBytes: number | null;
  readonly totalBytes: number | null;
  /** Everything in the data folder; measured only where it is capped. */
  readonly folderBytes: number | null;
  readonly maxBytes: number | null;
  /** What the log may still take: free beyond the reserve, or below the cap. */
  readonly roomBytes: number | null;
  /** What of the reserve is there, and what it is to be. */
  readonly reserveBytes: number;
  readonly reserveTargetBytes: number;
  /** Segments given up for space since start, and records in them that no mirror had. */
  readonly segmentsDropped: number;
  readonly recordsDropped: number;
  /** When such records were last given up, wall clock in ms; null: not since start. */
  readonly lastDroppedMs: number | null;
  /** Appends that were refused for want of space since start. */
  readonly refused: number;
  /** Why nothing is stored at present; null when it is. */
  readonly refusal: string | null;
  /** Topics to which nothing is appended at present, because they may not lose what they hold. */
  readonly refusedTopics: readonly string[];
}

export interface StoreCounters {
  /** Why the disk takes no record at present, so that none is acknowledged; null when it does. */
  readonly trouble: string | null;
  readonly recordsAppended: number;
  readonly bytesAppended: number;
  readonly commits: number;
  /** Writing and syncing one, and the longest that anything in one waited for it to be done. */
  readonly commitLatency: LatencyCounts;
  readonly appendLatency: LatencyCounts;
  /**
   * Times the disk was asked to make something durable: for commits, and for what stands beside the
   * log (positions, journals, starts). LevelDB's own, for tables, are not counted.
   */
  readonly syncs: number;
  readonly stateSyncs: number;
  /** Records dropped by force before a pinning reader had them. */
  readonly recordsDropped: number;
  readonly bytesDropped: number;
  readonly segments: number;
  readonly diskBytes: number;
  readonly scrub: ScrubStatus;
  readonly disk: DiskStatus;
  /** Everything in the loss ledger so far, by reason. */
  readonly losses: LossTotals;
}

/** What the composition root holds; everyone else gets one of the capabilities above. */
export interface Store {
  readonly identity: StoreIdentity;
  readonly writer: LogWriter;
  readonly reader: LogReader;
  /**
   * `pins`: retention keeps what this reader has not had; absent, that stays as it is. Same name, same
   * positions, for ever.
   */
  positions(name: string, options: { readonly pins?: boolean }): Promise<PositionStore>;
  /** Removes a reader's positions, and its hold on retention. */
  forgetPositions(name: string): Promise<void>;
  keyValue(space: string): OrderedSpace;
  readonly ledger: LossLedger;
  /** What was wrong with the state database, and so with the ledger, when it was opened. */
  readonly stateDamage: string | undefined;
  /** Checks everything that is stored, as fast as it can be read; what is lost is in the ledger then. */
  scrub(): Promise<void>;
  /** Runs retention once; resolves when the bounded steps it decided on are done. */
  retain(): Promise<void>;
  counters(): StoreCounters;
  /**
   * Resolves when what the disk was asked to write until now has ended, well or not: at once where
   * nothing is under way. Writes nothing. Never rejects.
   */
  answered(): Promise<void>;
  /** The counters with the disk looked at just now, unless it does not answer soon. Never rejects. */
  measured(): Promise<StoreCounters>;
  /** Commits what waits, closes, releases the folder. Idempotent. */
  close(): Promise<void>;
}
