import type { TopicOptions } from './log.ts';
import { unpacked, type Packer } from './pack.ts';
import { VarintReader, VarintWriter } from './varint.ts';

/**
 * The head of a commit. It is never compressed, so that readers skip what they do not want and
 * opening reads no bodies:
 *
 *     msgpack [first time, time spread, directory, topics or nil, producers or nil]
 *
 * The directory lists, ascending by stream: stream difference, count, base offset, bytes, latest
 * time minus first time, as varints. Topics are those that were defined or changed; producers the
 * last sequences of idempotent appends in this commit.
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
}

export type PackedTopic = [
  string,
  number,
  TopicOptions['durability'],
  number | null,
  number | null,
  number[],
];

export function packTopic({ name, options, streams }: StoredTopic): PackedTopic {
  const { partitions, durability, retentionMs, retentionBytes } = options;
  return [name, partitions, durability, retentionMs ?? null, retentionBytes ?? null, [...streams]];
}

export function unpackTopic(packed: PackedTopic): StoredTopic {
  const [name, partitions, durability, retentionMs, retentionBytes, streams] = packed;
  return {
    name,
    options: {
      partitions,
      durability,
      retentionMs: retentionMs ?? undefined,
      retentionBytes: retentionBytes ?? undefined,
    },
    streams,
  };
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
    if (topics.length > 0 || producers !== undefined) {
      head.push(topics.length > 0 ? topics.map(packTopic) : null);
      if (producers !== undefined) head.push([...producers]);
    }
    return this.#packer.pack(head);
  }
}

/** Throws when the head is not of this form; its checksum was right, so that is a wrong writer. */
export function readHead(head: Uint8Array): CommitHead {
  const parts = unpacked(head) as [
    number,
    number,
    Uint8Array,
    PackedTopic[] | null | undefined,
    [string, number][] | undefined,
  ];
  const [minTime, spread, directory, topics, producers] = parts;
  const runs: StreamRun[] = [];
  const reader = new VarintReader(directory);
  let stream = 0;
  let count = 0;
  while (!reader.done) {
    stream += reader.read();
    const run = {
      stream,
      count: reader.read(),
      baseOffset: reader.read(),
      bytes: reader.read(),
      latest: minTime + reader.read(),
    };
    count += run.count;
    runs.push(run);
  }
  return {
    minTime,
    maxTime: minTime + spread,
    runs,
    count,
    topics: (topics ?? []).map(unpackTopic),
    producers: producers ?? [],
  };
}
