import { LIMITS } from '../limits.ts';
import { packClock, readClock, type CommitClock } from './commit-clock.ts';
import { ON_FULL, type TopicOptions } from './log.ts';
import type { Packer } from './pack.ts';
import { isList, isWhole, unpackedList, type Unpacked } from './unpack.ts';
import { readVarints, VarintWriter } from './varint.ts';

/**
 * The head of a commit. It is never compressed, so that readers skip what they do not want and
 * opening reads no bodies:
 *
 *     msgpack [first time, time spread, directory, topics or nil, producers or nil,
 *              clocks]
 *
 * The directory lists, ascending by stream: stream difference, count, base offset, bytes, latest
 * time minus first time, as varints. Topics are those that were defined or changed; producers the
 * last sequences of idempotent appends in this commit; clocks are those of commit-clock.ts, nil in
 * commits that were written before there were any.
 */
export interface StreamRun {
  readonly stream: number;
  readonly count: number;
  readonly baseOffset: number;
  /** Of keys, values and headers. */
  readonly bytes: number;
  /** Latest timestamp in the run. */
  readonly latest: number;
}

export interface StoredTopic {
  readonly name: string;
  readonly options: TopicOptions;
  readonly streams: readonly number[];
}

export interface CommitHead {
  readonly minTime: number;
  readonly maxTime: number;
  readonly runs: readonly StreamRun[];
  readonly count: number;
  readonly topics: readonly StoredTopic[];
  readonly producers: readonly (readonly [string, number])[];
  /** Both clocks when it was written. */
  readonly clock?: CommitClock | undefined;
}

export type PackedTopic = [
  string,
  number,
  TopicOptions['durability'],
  number | null,
  number | null,
  number[],
  // Only where they are set; an older writer has none.
  onFull?: number | null,
  priority?: number | null,
];

export function packTopic({ name, options, streams }: StoredTopic): PackedTopic {
  const { partitions, durability, retentionMs, retentionBytes } = options;
  const { onFull, priority } = options;
  const packed: PackedTopic = [
    name,
    partitions,
    durability,
    retentionMs ?? null,
    retentionBytes ?? null,
    [...streams],
  ];
  if (onFull === undefined && priority === undefined) return packed;
  packed.push(onFull === undefined ? null : ON_FULL.indexOf(onFull), priority ?? null);
  return packed;
}

const DURABILITIES: ReadonlySet<Unpacked | undefined> = new Set<TopicOptions['durability']>([
  'fsync',
  'os',
  'none',
]);

/** undefined when any of them is no topic. */
export function unpackTopics(packed: Unpacked | undefined): readonly StoredTopic[] | undefined {
  if (!isList(packed)) return undefined;
  const topics: StoredTopic[] = [];
  for (const entry of packed) {
    const topic = isList(entry) ? unpackTopic(entry) : undefined;
    if (topic === undefined) return undefined;
    topics.push(topic);
  }
  return topics;
}

function unpackTopic(packed: readonly Unpacked[]): StoredTopic | undefined {
  const [name, partitions, durability, retentionMs = null, retentionBytes = null, streams] = packed;
  const [onFull = null, priority = null] = packed.slice(6);
  if (typeof name !== 'string' || !isWhole(partitions) || !isDurability(durability)) {
    return undefined;
  }
  if (!isBound(retentionMs) || !isBound(retentionBytes)) return undefined;
  if (!isBound(onFull) || !isBound(priority)) return undefined;
  if (!isList(streams) || streams.length > LIMITS.partitionsPerTopic) return undefined;
  const numbers = streams.filter((stream) => isWhole(stream) && stream < LIMITS.streams);
  if (numbers.length !== streams.length) return undefined;
  return {
    name,
    options: {
      partitions,
      durability,
      retentionMs: retentionMs ?? undefined,
      retentionBytes: retentionBytes ?? undefined,
      onFull: onFull === null ? undefined : ON_FULL[onFull],
      priority: priority ?? undefined,
    },
    streams: numbers as number[],
  };
}

function isDurability(value: Unpacked | undefined): value is TopicOptions['durability'] {
  return DURABILITIES.has(value);
}

function isBound(value: Unpacked): value is number | null {
  return value === null || (typeof value === 'number' && value >= 0);
}

/** undefined when any of them is no pair of name and sequence. */
export function unpackProducers(
  packed: Unpacked | undefined,
): readonly (readonly [string, number])[] | undefined {
  if (!isList(packed) || packed.length > LIMITS.producers) return undefined;
  const producers: (readonly [string, number])[] = [];
  for (const entry of packed) {
    const [name, sequence] = isList(entry) ? entry : [];
    if (typeof name !== 'string' || !isWhole(sequence)) return undefined;
    producers.push([name, sequence]);
  }
  return producers;
}

/** Packs heads into `packer`'s buffer: valid until its next use. */
export class HeadWriter {
  readonly #packer: Packer;
  readonly #directory = new VarintWriter();

  constructor(packer: Packer) {
    this.#packer = packer;
  }

  write(
    runs: readonly StreamRun[],
    times: readonly [min: number, max: number],
    topics: readonly StoredTopic[],
    producers: ReadonlyMap<string, number> | undefined,
    clock?: CommitClock,
  ): Uint8Array {
    const [minTime, maxTime] = times;
    this.#directory.reset();
    let previous = 0;
    for (const { stream, count, baseOffset, bytes, latest } of runs) {
      this.#directory.write(stream - previous);
      this.#directory.write(count);
      this.#directory.write(baseOffset);
      this.#directory.write(bytes);
      this.#directory.write(latest - minTime);
      previous = stream;
    }
    const head: unknown[] = [minTime, maxTime - minTime, this.#directory.bytes()];
    if (topics.length > 0 || producers !== undefined || clock !== undefined) {
      head.push(topics.length > 0 ? topics.map(packTopic) : null);
      if (producers !== undefined) head.push([...producers]);
      else if (clock !== undefined) head.push(null);
      if (clock !== undefined) head.push(packClock(clock, minTime));
    }
    return this.#packer.pack(head);
  }
}

/**
 * undefined when the head is not of this form. Its checksum was right then, and still nothing in it
 * is taken on trust: readers allocate and move by it.
 */
export function readHead(head: Uint8Array): CommitHead | undefined {
  const parts = unpackedList(head) ?? [];
  const [minTime, spread, directory, packedTopics, packedProducers, packedClock = null] = parts;
  if (typeof minTime !== 'number' || !Number.isSafeInteger(minTime)) return undefined;
  if (!isWhole(spread) || !Number.isSafeInteger(minTime + spread)) return undefined;
  const runs =
    directory instanceof Uint8Array ? readDirectory(directory, minTime, spread) : undefined;
  const topics = unpackTopics(packedTopics ?? []);
  const producers = unpackProducers(packedProducers ?? []);
  if (runs === undefined || topics === undefined || producers === undefined) return undefined;
  let count = 0;
  let bytes = 0;
  for (const run of runs) {
    count += run.count;
    bytes += run.bytes;
  }
  if (count > LIMITS.commitRecords || bytes > LIMITS.bodyBytes) return undefined;
  const clock = packedClock === null ? undefined : readClock(packedClock, minTime, count);
  if (packedClock !== null && clock === undefined) return undefined;
  return { minTime, maxTime: minTime + spread, runs, count, topics, producers, clock };
}

const DIRECTORY_FIELDS = 5;

function readDirectory(
  bytes: Uint8Array,
  minTime: number,
  spread: number,
): StreamRun[] | undefined {
  const numbers = readVarints(bytes, LIMITS.commitRecords * DIRECTORY_FIELDS);
  if (numbers === undefined || numbers.length % DIRECTORY_FIELDS !== 0) return undefined;
  const runs: StreamRun[] = [];
  let before = -1;
  for (let at = 0; at < numbers.length; at += DIRECTORY_FIELDS) {
    const [step = 0, count = 0, baseOffset = 0, bytesOfRun = 0, latest = 0] = numbers.slice(
      at,
      at + DIRECTORY_FIELDS,
    );
    const stream = at === 0 ? step : before + step;
    if (stream <= before || stream >= LIMITS.streams || count === 0) return undefined;
    if (!Number.isSafeInteger(baseOffset + count) || latest > spread) return undefined;
    runs.push({ stream, count, baseOffset, bytes: bytesOfRun, latest: minTime + latest });
    before = stream;
  }
  return runs;
}
