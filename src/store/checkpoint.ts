import type { TrustState } from '../clock-status.ts';
import { LIMITS } from '../limits.ts';
import { unpackBoots, type ClockStamp, type PackedBoot } from './boots.ts';
import { trustOf } from './commit-clock.ts';
import { packTopic, unpackProducers, unpackTopics, type StoredTopic } from './commit-head.ts';
import { packed } from './pack.ts';
import { isList, isWhole, unpackedList, type Unpacked } from './unpack.ts';
import { readVarints, VarintWriter } from './varint.ts';

/**
 * What a segment knows of itself, as its first entry and then every so often, keyed by the commit
 * it follows: opening reads the last one and the commits after it; searches go by them. The topic
 * registry lives here and in commits, so it never depends on the state database.
 */
export interface Checkpoint {
  /** The last commit it covers; 0 before the first. */
  readonly commit: number;
  /** Commit number of the checkpoint before it in the same segment; -1 in the first. */
  readonly previous: number;
  readonly incarnation: string;
  readonly createdMs: number;
  /** Log bytes written to this segment so far. */
  readonly segmentBytes: number;
  readonly topics: readonly StoredTopic[];
  /** By stream: the next offset. */
  readonly next: readonly number[];
  /** By stream: bytes ever stored (its share of the commits' sizes). */
  readonly stored: readonly number[];
  /**
   * By stream: latest timestamp in this segment so far; in a segment's first checkpoint, of the whole
   * segment before. -1 is none (and times before 1970). Retention by time goes by it.
   */
  readonly latest: readonly number[];
  /**
   * By stream: latest timestamp ever. It only grows, so the first offset at or after a time can be
   * searched for by halving, also where the clock jumped.
   */
  readonly newest: readonly number[];
  /** All producers in a segment's first checkpoint, else those changed since the one before. */
  readonly producers: readonly (readonly [string, number])[];
  /** Commit number of the one before that holds producers; -1 when this one holds all. */
  readonly producersBefore: number;
  /**
   * The clocks at the last commit it covers, by which retention tells how old everything up to here
   * is at least; and the newest boots. undefined before the first commit that carried them.
   */
  readonly clock?: CheckpointClock | undefined;
  /**
   * By stream: the first offset that retention had left, and bytes stored before it. For when the state
   * database, whose starts count, is damaged. undefined: of an older version.
   */
  readonly start?: readonly number[] | undefined;
  readonly storedBefore?: readonly number[] | undefined;
}

export interface CheckpointClock {
  readonly stamp: ClockStamp;
  readonly boots: readonly PackedBoot[];
}

type PackedClock = [number, number, number, TrustState, readonly PackedBoot[]];

export function packCheckpoint(checkpoint: Checkpoint): Buffer {
  const { commit, previous, incarnation, createdMs, segmentBytes } = checkpoint;
  return packed([
    commit,
    previous,
    incarnation,
    createdMs,
    segmentBytes,
    checkpoint.topics.map(packTopic),
    varints(checkpoint.next),
    varints(checkpoint.stored),
    varints(checkpoint.latest.map(fromTime)),
    varints(checkpoint.newest.map(fromTime)),
    checkpoint.producers,
    checkpoint.producersBefore,
    ...packNews(checkpoint),
  ]);
}

/** What checkpoints of older versions end without. */
function packNews({ clock, start, storedBefore }: Checkpoint): unknown[] {
  const starts =
    start === undefined ? [] : [varints(upToLast(start)), varints(upToLast(storedBefore ?? []))];
  if (clock === undefined) return starts.length === 0 ? [] : [null, ...starts];
  return [packClock(clock), ...starts];
}

/** Most streams begin at 0, the newer ones above all. */
function upToLast(values: readonly number[]): readonly number[] {
  return values.slice(0, values.findLastIndex((value) => value > 0) + 1);
}

function packClock({ stamp, boots }: CheckpointClock): PackedClock {
  return [stamp.boot, stamp.monoMs, stamp.wallMs, stamp.trust, boots];
}

/** undefined when it is none. */
function unpackClock(packedClock: Unpacked | undefined): CheckpointClock | undefined {
  const [boot, monoMs, wallMs, trustText, packedBoots] = isList(packedClock) ? packedClock : [];
  const trust = trustOf(trustText);
  const boots = unpackBoots(packedBoots);
  if (!isWhole(boot) || !isWhole(monoMs) || typeof wallMs !== 'number') return undefined;
  if (!Number.isSafeInteger(wallMs) || trust === undefined || boots === undefined) return undefined;
  return { stamp: { boot, monoMs, wallMs, trust }, boots };
}

/** undefined when the bytes are not of this form; nothing in them is taken on trust. */
export function unpackCheckpoint(bytes: Uint8Array): Checkpoint | undefined {
  const parts = unpackedList(bytes) ?? [];
  const [commit, previous, incarnation, createdMs, segmentBytes] = parts;
  const topics = unpackTopics(parts[5]);
  const producers = unpackProducers(parts[10]);
  const next = numbers(parts[6]);
  const stored = numbers(parts[7]);
  const latest = numbers(parts[8])?.map(toTime);
  const newest = numbers(parts[9])?.map(toTime);
  const producersBefore = parts[11];
  if (!isWhole(commit) || !isPointer(previous, commit) || typeof incarnation !== 'string') {
    return undefined;
  }
  if (typeof createdMs !== 'number' || !isWhole(segmentBytes)) return undefined;
  if (topics === undefined || producers === undefined) return undefined;
  if (next === undefined || stored === undefined) return undefined;
  if (latest === undefined || newest === undefined) return undefined;
  if (!isPointer(producersBefore, commit)) return undefined;
  const packedClock = parts[12] ?? null;
  const clock = unpackClock(packedClock);
  if (packedClock !== null && clock === undefined) return undefined;
  const start = parts[13] === undefined ? [] : numbers(parts[13]);
  const storedBefore = parts[14] === undefined ? [] : numbers(parts[14]);
  if (start === undefined || storedBefore === undefined) return undefined;
  const starts = parts[13] === undefined ? {} : { start, storedBefore };
  return {
    commit,
    previous,
    incarnation,
    createdMs,
    segmentBytes,
    topics,
    next,
    stored,
    latest,
    newest,
    producers,
    producersBefore,
    clock,
    ...starts,
  };
}

/** To a checkpoint before this one, or -1: following them always ends. */
function isPointer(value: Unpacked | undefined, commit: number): value is number {
  return value === -1 || (isWhole(value) && value < commit);
}

function varints(values: readonly number[]): Uint8Array {
  const writer = new VarintWriter();
  for (const value of values) writer.write(value);
  return writer.bytes();
}

function numbers(bytes: Unpacked | undefined): number[] | undefined {
  return bytes instanceof Uint8Array ? readVarints(bytes, LIMITS.streams) : undefined;
}

function fromTime(time: number): number {
  return Math.max(0, time + 1);
}

function toTime(stored: number): number {
  return stored - 1;
}
