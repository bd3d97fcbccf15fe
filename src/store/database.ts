import type { AsideNote } from './aside-note.ts';
import type { KnowsLog } from './log-knowledge.ts';

/**
 * The seam between the log and the engine below it: small ordered databases of bytes, one for the
 * state and one per segment. LevelDB on disk is the product's (level-engine.ts); tests put a memory
 * engine and a failing one behind the same door, held together by one conformance suite.
 */
export interface KeyRange {
  readonly gte?: Uint8Array;
  readonly lte?: Uint8Array;
  readonly reverse?: boolean;
  /** Each `next` gives one entry: what can be read is had before damage further on is told. */
  readonly oneByOne?: boolean;
}

export type Entry = readonly [key: Uint8Array, value: Uint8Array];

/** A walk over a snapshot of the range. MUST be closed. */
export interface Entries {
  /** The next entries in order, at least one; an empty list at the end. */
  next(): Promise<readonly Entry[]>;
  close(): Promise<void>;
}

/** `value` undefined deletes the key. */
export interface Write {
  readonly key: Uint8Array;
  readonly value: Uint8Array | undefined;
}

export interface Database {
  /** Copies the bytes before it returns. Resolved with `sync`: nothing takes it back. */
  put(key: Uint8Array, value: Uint8Array, sync: boolean): Promise<void>;
  /** Atomic, and always synced. */
  write(writes: readonly Write[]): Promise<void>;
  get(key: Uint8Array): Promise<Uint8Array | undefined>;
  entries(range: KeyRange): Entries;
  /** Makes every earlier unsynced put durable. */
  sync(): Promise<void>;
  /** Told when it goes on in a new write-ahead file, before the first synced write there resolves. */
  onNewFile?: (() => void) | undefined;
  close(): Promise<void>;
}

/** Space that is taken for nothing, and given back in need. */
export interface SpaceReserve {
  bytes(): Promise<number>;
  /** Adds the chunk, which MUST be noise; synced when resolved. */
  grow(chunk: Uint8Array): Promise<void>;
  /** Needs no room itself. */
  shrink(toBytes: number): Promise<void>;
  /** Gives some of it back; false when there is nothing left. */
  relieve(): Promise<boolean>;
}

export interface AsideSpace {
  /**
   * Removes the oldest until so much is given back or nothing is left; resolves with how much was.
   * Never rejects for what can't be removed.
   */
  giveBack(bytes: number): Promise<number>;
}

export interface ExamineHow {
  readonly commit: number;
  /** About so much of it; LIMITS.examineBytes by default. */
  readonly bytes?: number;
  /** Also what was looked at before. */
  readonly anew?: boolean;
}

export interface DiskRoom {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

export interface Engine {
  /** For messages: where the data is. */
  readonly folder: string;
  /** What was found to be lost of the state database when it was opened, for people. */
  readonly stateDamage?: string | undefined;
  /** First commit of the newest segment that held no entry and was cleared away by `segments`; 0: none. */
  readonly prepared?: number;
  /** Opens the state database, which is the lock of the whole folder. */
  openState(): Promise<Database>;
  /** What is known of the log at that moment, for opening segments. */
  knowledge?: KnowsLog;
  /**
   * First commit numbers of the segments there are, ascending. `known`: those that held something
   * once, so that what is left of them is damage and no leftover.
   */
  segments(known?: ReadonlySet<number>): Promise<number[]>;
  /** Resolved: the segment's own directory entry is durable too. */
  openSegment(first: number, how: 'create' | 'existing'): Promise<Database>;
  /** Nothing of it is open any more, nor will be. */
  end?(): Promise<void>;
  /** The store is open, and all losses are told: from now on nobody waits for a start. */
  opened?(): Promise<void>;
  /**
   * Before a segment is read from that commit on, open or not: what would harm the process that
   * reads it is taken out. Resolves with the commit before which it can be read now; never rejects.
   */
  examineSegment?(first: number, how: ExamineHow): Promise<number>;
  /** Rebuilds what can be of a segment that can't be read. It MUST be closed. */
  repairSegment?(first: number): Promise<void>;
  /** The same for the state database. */
  repairState?(): Promise<void>;
  /**
   * Moves what can't be read out of the way and keeps it for a person; resolves with its new name.
   * It MUST be closed.
   */
  setAside?(what: number | 'state', note: AsideNote): Promise<string | undefined>;
  /** Adds to the note of what was set aside. */
  annotate?(name: string, note: Partial<AsideNote>): Promise<void>;
  /** The segment MUST be closed. Resolved: its space is given back. */
  removeSegment(first: number): Promise<void>;
  /**
   * Makes a database of what `fill` writes, to take a segment's place. `fill` may be called again, with
   * an empty one, after it found no room. Resolves with what it said; false: there is none. `note`
   * stays with it.
   */
  makeReplacement?(
    first: number,
    note: string,
    fill: (target: Database) => Promise<boolean>,
  ): Promise<boolean>;
  /** The note of the replacement that took the segment's place; undefined: none did. */
  replacedFor?(first: number): Promise<string | undefined>;
  /** Both MUST be closed. Resolved: durable, and the space of the old one is given back. */
  takeReplacement?(first: number): Promise<void>;
  dropReplacement?(first: number): Promise<void>;
  /** Bytes the segment occupies; 0 when it is gone. */
  segmentBytes(first: number): Promise<number>;
  /** Room on the disk below; an engine without has as much as is wanted. */
  room?(): Promise<DiskRoom>;
  /**
   * Whether the disk takes and syncs a write of a few bytes, or would if it were not full. One that
   * was pulled out does not.
   */
  answers?(): Promise<boolean>;
  /** Throws STORE_MISSING when the data folder, once opened, is not there any more. */
  requirePresent?(): Promise<void>;
  /** Bytes in the data folder besides the segments. */
  otherBytes?(): Promise<number>;
  /** What was set aside, if it keeps that. */
  readonly aside?: AsideSpace;
  /** An engine with one draws on it when it can't open a database for want of room. */
  readonly reserve?: SpaceReserve;
}
