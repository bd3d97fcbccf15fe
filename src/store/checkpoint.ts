import { packTopic, unpackTopic, type PackedTopic, type StoredTopic } from './commit-head.ts';
import { packed, unpacked } from './pack.ts';
import { VarintReader, VarintWriter } from './varint.ts';

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
}

type Packed = [
  number,
  number,
  string,
  number,
  number,
  PackedTopic[],
  Uint8Array,
  Uint8Array,
  Uint8Array,
  Uint8Array,
  [string, number][],
  number,
];

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
  ]);
}

export function unpackCheckpoint(bytes: Uint8Array): Checkpoint {
  const parts = unpacked(bytes) as Packed;
  return {
    commit: parts[0],
    previous: parts[1],
    incarnation: parts[2],
    createdMs: parts[3],
    segmentBytes: parts[4],
    topics: parts[5].map(unpackTopic),
    next: numbers(parts[6]),
    stored: numbers(parts[7]),
    latest: numbers(parts[8]).map(toTime),
    newest: numbers(parts[9]).map(toTime),
    producers: parts[10],
    producersBefore: parts[11],
  };
}

function varints(values: readonly number[]): Uint8Array {
  const writer = new VarintWriter();
  for (const value of values) writer.write(value);
  return writer.bytes();
}

function numbers(bytes: Uint8Array): number[] {
  const reader = new VarintReader(bytes);
  const values: number[] = [];
  while (!reader.done) values.push(reader.read());
  return values;
}

function fromTime(time: number): number {
  return Math.max(0, time + 1);
}

function toTime(stored: number): number {
  return stored - 1;
}
